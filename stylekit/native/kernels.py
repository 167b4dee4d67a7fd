"""Loads the compiled kernels, and reports how they were built."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.native.building import BUILD, LIBRARY, PACKAGE

OPS = {
    "adain": 4,
    "channel_stats": 2,
    "channel_stats_backward": 5,
    "gram": 2,
    "normalize": 7,
    "normalize_backward": 9,
}
"""The operations that the library registers under ``torch.ops.stylekit``, with their numbers of arguments."""


@dataclass(frozen=True)
class Kernels:
    """The state of the compiled kernels.

    Attributes:
        live: whether they are used
        cuda: whether they are also used on CUDA
        why: the reason, or how they were built
    """

    live: bool
    cuda: bool
    why: str


def requested_kernels() -> str:
    """The value of the environment variable ``STYLEKIT_KERNELS``: ``auto`` (the default) or ``reference``.

    Raises:
        StylekitError: it has another value.
    """
    value = os.environ.get("STYLEKIT_KERNELS") or "auto"
    if value not in ("auto", "reference"):
        raise StylekitError(f"Invalid STYLEKIT_KERNELS={value!r}: use 'auto', or 'reference' for plain PyTorch.")
    return value


def load_kernels() -> Kernels:
    """Registers the compiled kernels with torch, unless ``STYLEKIT_KERNELS=reference``. Call it once.

    A library that exists but fails to load causes a warning.

    Raises:
        StylekitError: ``STYLEKIT_KERNELS`` is neither ``auto`` nor ``reference``.
    """
    if requested_kernels() == "reference":
        return Kernels(False, False, "STYLEKIT_KERNELS=reference")
    library = PACKAGE / LIBRARY
    if not library.is_file():
        return Kernels(False, False, f"not built: run `{BUILD}`")
    import torch

    try:
        torch.ops.load_library(library)
        stale = [name for name, count in OPS.items() if _arguments(name) != count]
        if stale:
            raise RuntimeError(f"{library} was built from another version of stylekit: {stale[0]} differs")
    except (OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        why = f"failed to load: {reason}; rebuild with `{BUILD}`"
        warn(f"The compiled kernels {why}. Until then stylekit uses plain PyTorch.")
        return Kernels(False, False, why)
    cuda = torch.version.cuda is not None and torch._C._dispatch_has_kernel_for_dispatch_key("stylekit::gram", "CUDA")
    report = build_report()
    return Kernels(True, cuda, f"built with {report['compiler']}, {report['isa']}" if report else "built")


def _arguments(name: str) -> int:
    """The number of arguments of a registered operation; -1 if there is none of that name."""
    import torch

    operation = getattr(torch.ops.stylekit, name, None)
    return len(operation.default._schema.arguments) if operation else -1


def build_report() -> dict[str, Any]:
    """How the kernels were built; empty if they were not built, or built without pybind11.

    The keys are ``compiler``, ``isas``, ``isa`` (the one that this machine uses), ``cuda`` and ``architectures`` (empty
    without CUDA), ``torch`` (the version compiled against) and ``torch_from`` (the oldest version that they load into).
    """
    importlib.invalidate_caches()
    try:
        report: dict[str, Any] = importlib.import_module("stylekit.native._build").report()
    except ImportError:
        return {}
    return report
