"""The kernels' figures, read back from ``benchmarks/results``."""

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
        """Empty if it is of five layers."""
        shape: list[int] = self.figures.get("shape", [])
        return shape

    @property
    def channels(self) -> int:
        return self.shape[1] if self.shape else 0

    @property
    def megabytes(self) -> float:
        return float(self.figures["megabytes"])

    def ratio(self, peer: str) -> float | None:
        """How many times as long as the kernel the peer takes; of compiled ones, the fastest."""
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
        told = self.machine
        if self.on_gpu:
            return f"{told['gpu']}, torch {told['torch']}, CUDA {told['cuda']}"
        return f"{told['cpu']}, {told['cores']} cores, {told['vector']}, torch {told['torch']}"

    def groups(self) -> list[tuple[str, str, list[Kernel]]]:
        """Operation, precision and cases, in the order of the tables."""
        order = list(OPERATIONS)
        ordered = sorted(self.kernels, key=lambda kernel: (order.index(kernel.operation), kernel.precision))
        keyed = groupby(ordered, key=lambda kernel: (kernel.operation, kernel.precision))
        return [(operation, precision, list(cases)) for (operation, precision), cases in keyed]


def devices() -> list[Device]:
    """The processor's, then the GPUs'."""
    found = []
    for path in sorted(RESULTS.glob("*.json")):
        told = json.loads(path.read_text())
        device = Device(told.get("machine", {}), kernels_of(told.get("figures", {})))
        if device.kernels and (device.on_gpu or path.stem == "cpu"):
            found.append(device)
    return sorted(found, key=lambda device: device.on_gpu)


def kernels_of(figures: dict[str, dict[str, Any]]) -> list[Kernel]:
    """Those among the figures, in the order in which they were recorded."""
    names = "|".join(OPERATIONS)
    pattern = rf"kernel_({names})_(relu\d_1|layers)_(\d+)_b(\d+)(?:_(tf32|bf16))?"
    found = [(re.fullmatch(pattern, key), row) for key, row in figures.items()]
    return [
        Kernel(match[1], match[2], int(match[3]), int(match[4]), match[5] or "fp32", row)
        for match, row in found
        if match
    ]
