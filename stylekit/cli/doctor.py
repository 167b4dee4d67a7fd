"""``stylekit doctor``: what this machine offers, and what that means."""

from __future__ import annotations

import os
import platform

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import stylekit
from stylekit import plugins


def command() -> None:
    """Report versions, devices, compilers and the state of every plugin."""
    import torch

    from stylekit.memory import free_memory
    from stylekit.runtime import find_compiler, pick_device

    device = pick_device("auto")
    facts = {
        "stylekit": stylekit.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'not in this build'}",
        "device": f"{device} ({_describe(device)}): what --device auto takes",
        "free memory": f"{free_memory(device) / 2**30:.1f} GiB",
        "C++ compiler": find_compiler() or "none: --compile will not work, everything else does",
        "kernels": "none in this version: every operation runs on torch's own",
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, fact in facts.items():
        table.add_row(f"[bold]{name}[/bold]", fact)
    for plugin in plugins.installed():
        table.add_row(f"[bold]plugin[/bold] {plugin.name}", escape(plugins.state(plugin)))
    Console(highlight=False).print(table)


def _describe(device: object) -> str:
    import torch

    if getattr(device, "type", "") == "cuda":
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
