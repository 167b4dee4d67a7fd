"""``stylekit doctor``: reports what this machine offers to stylekit."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

from rich.text import Text

import stylekit
from stylekit.cli.output import Json, cell, print_json, print_table
from stylekit.errors import explain
from stylekit.native import building, compiling, kernels
from stylekit.native.memory import memory_text
from stylekit.registry import lookup
from stylekit.registry.loading import Plugin

MEASURED = 0.3
"""Seconds spent on measuring how much faster the kernels are."""


def command(json: Json = False) -> None:
    """Report versions, device, compiler, kernels and the state of every plugin."""
    facts = _facts()
    if json:
        print_json(facts)
        return
    rows: list[list[str | Text]] = [[cell(name, "bold"), text] for name, text in _lines(facts).items()]
    rows += [
        [Text.assemble(cell("plugin", "bold"), " ", cell(each["name"])), f"{each['state']}: {each['details']}"]
        for each in facts["plugins"]
    ]
    print_table([], rows)


def _facts() -> dict[str, Any]:
    """What this machine offers. An unknown fact is None, and ``problems`` says why; the other facts are still reported."""
    problems: dict[str, str] = {}

    def attempt(name: str, find: Callable[[], Any]) -> Any:
        try:
            return find()
        except Exception as error:  # any error of a driver, a compiler or a plugin
            problems[name] = explain(error)
            return None

    device = attempt("device", _pick_device)
    return {
        "stylekit": stylekit.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": attempt("torch", lambda: importlib.import_module("torch").__version__),
        "cuda": attempt("cuda", lambda: importlib.import_module("torch").version.cuda),
        "device": device and str(device),
        "device_details": device and attempt("device_details", lambda: _describe(device)),
        "free_memory": device and attempt("free_memory", lambda: _free_memory(device)),
        "compiler": attempt("compiler", compiling.find_compiler),
        "kernels": device and attempt("kernels", lambda: _kernels(device)),
        "plugins": [_plugin(plugin) for plugin in lookup.visible_plugins()],
        "problems": problems,
    }


def _lines(facts: dict[str, Any]) -> dict[str, str]:
    """The facts as text, by the name that is shown."""
    memory, kernels_, problems = facts["free_memory"], facts["kernels"], facts["problems"]
    lines = {
        "stylekit": facts["stylekit"],
        "python": f"{facts['python']} on {facts['platform']}",
        "torch": f"{facts['torch']}, CUDA {facts['cuda'] or 'not in this build'}",
        "device": f"{facts['device']} ({facts['device_details']}), selected by --device auto",
        "free memory": "unknown" if memory is None else memory_text(memory),
        "C++ compiler": facts["compiler"] or "none: cannot build kernels or use --compile; everything else works",
        "kernels": "unknown" if kernels_ is None else _kernels_line(kernels_),
    }
    return lines | {f"{name} failed": message for name, message in problems.items()}


def _kernels_line(facts: dict[str, Any]) -> str:
    if not facts["in_use"]:
        return f"reference: plain PyTorch operations ({facts['reason']})"
    cuda = [facts["cuda"]] if facts["cuda"] else []
    gain = f"instance norm with ReLU: {facts['speedup']:.1f} times as fast as plain PyTorch"
    return "; ".join([f"in use ({facts['reason']})", *cuda, gain])


def _plugin(plugin: Plugin) -> dict[str, str]:
    state, details = lookup.loaded_state(plugin)
    return {"name": plugin.name, "origin": plugin.origin, "state": state, "details": details}


def _pick_device() -> Any:
    from stylekit.native.devices import pick_device

    return pick_device("auto")


def _free_memory(device: Any) -> int:
    from stylekit.native.devices import free_memory

    return free_memory(device)


def _describe(device: Any) -> str:
    import torch

    if device.type == "cuda":
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"


def _kernels(device: Any) -> dict[str, Any]:
    from stylekit.ops.kernel import KERNELS

    if not KERNELS.live:
        return {"in_use": False, "reason": KERNELS.why, "cuda": None, "speedup": None}
    measured = device if KERNELS.cuda and device.type == "cuda" else "cpu"
    return {"in_use": True, "reason": KERNELS.why, "cuda": _cuda(kernels.build_report()), "speedup": _gain(measured)}


def _cuda(report: dict[str, Any]) -> str | None:
    """A note on CUDA in the build of the kernels, if there is one to make."""
    import torch

    built, torch_cuda = report.get("cuda", ""), torch.version.cuda
    if torch_cuda and not built:
        return f"without CUDA: put nvcc on the PATH and run `{building.BUILD}`"
    if not built:
        return None
    differs = torch_cuda and built.partition(".")[0] != torch_cuda.partition(".")[0]
    warning = f", but torch has CUDA {torch_cuda}: if they fail on the GPU, build with a toolkit of that version"
    return f"CUDA {built} for {report['architectures']}{warning if differs else ''}"


def _gain(device: Any) -> float:
    """How many times as fast an instance norm with ReLU is with the kernels as in plain PyTorch, measured alternately."""
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
    return statistics.median(ratios[1:])
