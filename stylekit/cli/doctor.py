"""``stylekit doctor``: reports what this machine offers to stylekit."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import stylekit
from stylekit.native import building, compiling, kernels
from stylekit.registry import lookup

MEASURED = 0.3
"""Seconds spent on measuring how much faster the kernels are."""


def command() -> None:
    """Report versions, device, compiler, kernels and the state of every plugin."""
    import torch

    from stylekit.native.devices import free_memory, pick_device

    device = pick_device("auto")
    facts = {
        "stylekit": stylekit.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'not in this build'}",
        "device": f"{device} ({_describe(device)}), selected by --device auto",
        "free memory": f"{free_memory(device) / 2**30:.1f} GiB",
        "C++ compiler": compiling.find_compiler()
        or "none: cannot build kernels or use --compile; everything else works",
        "kernels": _kernels(device),
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, fact in facts.items():
        table.add_row(f"[bold]{name}[/bold]", escape(fact))
    for plugin in lookup.visible_plugins():
        table.add_row(f"[bold]plugin[/bold] {plugin.name}", escape(": ".join(lookup.loaded_state(plugin))))
    Console(highlight=False).print(table)


def _describe(device: object) -> str:
    import torch

    if getattr(device, "type", "") == "cuda":
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"


def _kernels(device: Any) -> str:
    from stylekit.ops.kernel import KERNELS

    if not KERNELS.live:
        return f"reference: plain PyTorch operations ({KERNELS.why})"
    measured = device if KERNELS.cuda and device.type == "cuda" else "cpu"
    return "; ".join([f"in use ({KERNELS.why})", *_cuda(kernels.build_report()), _gain(measured)])


def _cuda(report: dict[str, Any]) -> list[str]:
    """A note on CUDA in the build of the kernels, if there is one to make."""
    import torch

    built, torch_cuda = report.get("cuda", ""), torch.version.cuda
    if torch_cuda and not built:
        return [f"without CUDA: put nvcc on the PATH and run `{building.BUILD}`"]
    if not built:
        return []
    differs = torch_cuda and built.partition(".")[0] != torch_cuda.partition(".")[0]
    warning = f", but torch has CUDA {torch_cuda}: if they fail on the GPU, build with a toolkit of that version"
    return [f"CUDA {built} for {report['architectures']}{warning if differs else ''}"]


def _gain(device: Any) -> str:
    """How much faster an instance norm with ReLU is with the kernels than in plain PyTorch, measured alternately."""
    import torch

    from stylekit import ops

    x = torch.rand(1, 64, 256, 256, device=device)

    def seconds(normalize: Callable[..., Any]) -> float:
        start = time.perf_counter()
        normalize(x, activation="relu")
        if x.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    deadline = time.perf_counter() + MEASURED
    ratios: list[float] = []
    with torch.inference_mode():
        while len(ratios) < 2 or time.perf_counter() < deadline:
            ratios.append(seconds(ops.reference.instance_norm) / seconds(ops.instance_norm))
    return f"instance norm with ReLU: {statistics.median(ratios[1:]):.1f} times as fast as plain PyTorch"
