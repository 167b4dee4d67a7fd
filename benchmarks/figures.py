"""Reads the recorded figures of the kernels from ``benchmarks/results``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
OPERATIONS = {
    "adain_forward": "AdaIN, forward",
    "adain_forward_backward": "AdaIN, forward and backward",
    "instance_norm_relu_forward": "instance norm + ReLU, forward",
    "instance_norm_relu_forward_backward": "instance norm + ReLU, forward and backward",
    "gram_forward": "Gram matrix, forward",
    "gram_mse_forward_backward": "`gram_mse`, forward and backward",
    "style_loss_forward_backward": "style loss of five layers, forward and backward",
}


@dataclass(frozen=True)
class Kernel:
    """One measured case of a kernel, as ``bench_kernels.py`` recorded it."""

    operation: str
    layer: str
    size: int
    batch: int
    precision: str
    figures: dict[str, Any]

    @property
    def shape(self) -> list[int]:
        """The shape of the features; empty for a case of five layers."""
        shape: list[int] = self.figures.get("shape", [])
        return shape

    @property
    def channels(self) -> int:
        return self.shape[1] if self.shape else 0

    @property
    def megabytes(self) -> float:
        return float(self.figures["megabytes"])

    def ratio(self, peer: str) -> float | None:
        """The peer's time divided by the kernel's; of several compiled peers, that of the fastest."""
        names = ("compiled", "instance_norm_compiled") if peer == "compiled" else (peer,)
        ratios = [self.figures[f"{name}_ratio"] for name in names if f"{name}_ratio" in self.figures]
        return min(ratios, default=None)


@dataclass(frozen=True)
class Device:
    """A machine on which the kernels were measured."""

    machine: dict[str, Any]
    kernels: list[Kernel]

    @property
    def on_gpu(self) -> bool:
        return "gpu" in self.machine

    @property
    def title(self) -> str:
        machine = self.machine
        if self.on_gpu:
            return f"{machine['gpu']}, torch {machine['torch']}, CUDA {machine['cuda']}"
        return f"{machine['cpu']}, {machine['cores']} cores, {machine['vector']}, torch {machine['torch']}"

    def groups(self) -> list[tuple[str, str, list[Kernel]]]:
        """The cases by operation and precision, in the order of the tables."""
        order = list(OPERATIONS)
        ordered = sorted(self.kernels, key=lambda kernel: (order.index(kernel.operation), kernel.precision))
        keyed = groupby(ordered, key=lambda kernel: (kernel.operation, kernel.precision))
        return [(operation, precision, list(cases)) for (operation, precision), cases in keyed]


def devices() -> list[Device]:
    """The measured devices: the CPU, then the GPUs."""
    measured = []
    for path in sorted(RESULTS.glob("*.json")):
        results = json.loads(path.read_text())
        device = Device(results.get("machine", {}), kernels_of(results.get("figures", {})))
        if device.kernels and (device.on_gpu or path.stem == "cpu"):
            measured.append(device)
    return sorted(measured, key=lambda device: device.on_gpu)


def kernels_of(figures: dict[str, dict[str, Any]]) -> list[Kernel]:
    """The kernel cases among the figures, in the order in which they were recorded."""
    names = "|".join(OPERATIONS)
    pattern = rf"kernel_({names})_(relu\d_1|layers)_(\d+)_b(\d+)(?:_(tf32|bf16))?"
    matches = [(re.fullmatch(pattern, key), row) for key, row in figures.items()]
    return [
        Kernel(match[1], match[2], int(match[3]), int(match[4]), match[5] or "fp32", row)
        for match, row in matches
        if match
    ]
