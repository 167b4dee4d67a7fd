"""The compiled kernels, once they are built: loading them, and telling how they were built."""

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
"""What the library registers under ``torch.ops.stylekit``, with how many arguments."""


@dataclass(frozen=True)
class Kernels:
    """Whether the compiled kernels run, whether on CUDA too, and why."""

    live: bool
    cuda: bool
    why: str


def requested_kernels() -> str:
    """What ``STYLEKIT_KERNELS`` asks for: ``auto`` or ``reference``.

    Raises:
        StylekitError: it is something else.
    """
    word = os.environ.get("STYLEKIT_KERNELS") or "auto"
    if word not in ("auto", "reference"):
        raise StylekitError(
            f"STYLEKIT_KERNELS={word} means nothing. Say auto, or reference for torch's own operations."
        )
    return word


def load_kernels() -> Kernels:
    """Registers the compiled kernels with torch, unless ``STYLEKIT_KERNELS=reference``. To be called once.

    A library that is there and does not load costs one warning.

    Raises:
        StylekitError: ``STYLEKIT_KERNELS`` is something else than ``auto`` or ``reference``.
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
            raise RuntimeError(f"{library} is of another version, as {stale[0]} shows")
    except (OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        why = f"failed to load: {reason}; rebuild with `{BUILD}`"
        warn(f"The compiled kernels {why}. Until then torch's own operations do the work.")
        return Kernels(False, False, why)
    cuda = torch.version.cuda is not None and torch._C._dispatch_has_kernel_for_dispatch_key("stylekit::gram", "CUDA")
    told = build_report()
    return Kernels(True, cuda, f"built with {told['compiler']}, {told['isa']}" if told else "built")


def _arguments(name: str) -> int:
    import torch

    operation = getattr(torch.ops.stylekit, name, None)
    return len(operation.default._schema.arguments) if operation else -1


def build_report() -> dict[str, Any]:
    """How the kernels were built: ``compiler``, ``isas``, ``isa`` (this machine's), ``cuda`` and ``architectures``
    (empty without), ``torch`` (built against) and ``torch_from`` (the oldest that they load into).

    Empty if nothing was built, or without pybind11.
    """
    importlib.invalidate_caches()
    try:
        told: dict[str, Any] = importlib.import_module("stylekit.native._build").report()
    except ImportError:
        return {}
    return told
