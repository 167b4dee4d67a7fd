"""Finds the side effects of importing a plugin on its process. It must have none."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import nn

import stylekit
from stylekit.errors import StylekitError
from stylekit.registry import loading, lookup
from stylekit.testing.switches import switches


def footprint(plugin: loading.Plugin) -> tuple[list[str], float]:
    """Imports a plugin in a new process, after torch and stylekit, and returns its side effects in words and the seconds.

    Raises:
        StylekitError: the process failed.
    """
    script = "from stylekit.testing.footprint import tell; tell()"
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as results:
        report = Path(results) / "report.json"
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        process = subprocess.run(
            [sys.executable, "-c", script, str(plugin.file or ""), plugin.module, str(report)],
            cwd=work,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            reason = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            raise StylekitError(f"A new process that imports the plugin ends during the import: {reason}.")
        result = json.loads(report.read_text())
        files = [f"leaves the file {path.name} behind" for path in sorted(Path(work).iterdir())]
        return [*result["changed"], *files], float(result["seconds"])


def tell() -> None:
    """Runs in the new process: imports the plugin, and writes a report on what changed."""
    file, module, report = sys.argv[1:]
    for each in public_modules():
        importlib.import_module(each)
    before = _state()
    start = time.perf_counter()
    with _outputs() as printed:
        if file:
            loading.load_hooks(lookup.add_file(Path(file)))
        else:
            __import__(module)
    seconds = time.perf_counter() - start
    after = _state()
    changed = [f"changes {name}{_which(before[name], after[name])}" for name in before if before[name] != after[name]]
    changed += [f"prints {line!r}" for line in printed[:1]]
    Path(report).write_text(json.dumps({"changed": changed, "seconds": seconds}))


def _which(before: Any, after: Any) -> str:
    """The first key that differs between two dicts, in parentheses; empty for other values."""
    if not isinstance(before, dict):
        return ""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return f" ({keys[0]})"


@contextlib.contextmanager
def _outputs() -> Iterator[list[str]]:
    """Collects the lines that are printed within the block, including those of compiled code."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as capture:
        saved = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(capture.fileno(), number)
        try:
            yield lines
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, before in zip((1, 2), saved, strict=True):
                os.dup2(before, number)
                os.close(before)
            capture.seek(0)
            lines += capture.read().decode(errors="replace").strip().splitlines()


def _state() -> dict[str, Any]:
    """The state of the process that a plugin must not change, by its name in messages."""
    return {
        "torch's random numbers": torch.get_rng_state().tolist(),
        "NumPy's random numbers": repr(np.random.get_state()),
        "Python's random numbers": random.getstate(),
        "torch's number of interop threads": torch.get_num_interop_threads(),
        **switches(),
        "sys.path": list(sys.path),
        "os.environ": dict(os.environ),
        "the warning filters": [repr(each) for each in warnings.filters],
        "warnings.showwarning": id(warnings.showwarning),
        "the root logger": (logging.root.level, [repr(handler) for handler in logging.root.handlers]),
        "the signal handlers": {str(each): repr(signal.getsignal(each)) for each in signal.valid_signals()},
        "sys.excepthook": id(sys.excepthook),
        **{f"the contents of {name}": _contents(names) for name, names in _namespaces().items()},
    }


def public_modules() -> list[str]:
    """The modules of stylekit that define ``__all__``, found without importing the others."""
    folder = Path(stylekit.__path__[0])
    modules = {f"stylekit.{path.stem}": path for path in folder.glob("*.py") if path.stem != "__init__"}
    modules |= {f"stylekit.{path.parent.name}": path for path in folder.glob("*/__init__.py")}
    return ["stylekit", *sorted(name for name, path in modules.items() if "\n__all__" in path.read_text())]


def _namespaces() -> dict[str, dict[str, Any]]:
    """What a plugin must not patch: the public modules of stylekit, and commonly used parts of torch, NumPy and PIL."""
    modules = [sys.modules[name] for name in public_modules()]
    modules += [nn, nn.functional, nn.init, torch.optim, np.random]
    classes = {"nn.Module": nn.Module, "torch.Tensor": torch.Tensor, "torch.optim.Optimizer": torch.optim.Optimizer}
    limits = {each.__name__: {k: v for k, v in vars(each).items() if k.isupper()} for each in (Image, ImageFile)}
    return {
        **{module.__name__: {k: v for k, v in vars(module).items() if not k.startswith("__")} for module in modules},
        **{name: dict(vars(owner)) for name, owner in classes.items()},
        "torch": {"save": torch.save, "load": torch.load},
        **limits,
    }


def _contents(names: dict[str, Any]) -> dict[str, int]:
    """The identities of the objects behind the names, without modules, which may be added by imports."""
    return {name: id(value) for name, value in names.items() if not isinstance(value, ModuleType)}
