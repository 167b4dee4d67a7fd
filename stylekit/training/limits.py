"""Refuses settings that this machine cannot handle, before any process starts."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from stylekit.errors import StylekitError
from stylekit.native.devices import free_memory, pick_device
from stylekit.native.memory import memory_text
from stylekit.training.launchers import external
from stylekit.training.settings import Settings

PROCESSES = 8
"""Processes that may train on a CPU with fewer cores."""
WORKERS = 32
"""Processes that may load images on a machine with fewer cores."""


def require_possible(settings: Settings, batch_keys: Sequence[str]) -> None:
    """Checks that settings do not contradict each other, the number of processes, and that a batch of images fits in memory.

    Raises:
        StylekitError: a setting lacks another one, there are too many processes, the batch cannot be divided among them, or
            it is too large.
    """
    for name in ("eval_metric", "patience"):
        if getattr(settings, name) is not None and settings.eval_every is None:
            raise StylekitError(
                f"--{name.replace('_', '-')} is about evaluations. Add --eval-every N, or leave it out."
            )
    device, launched = pick_device(settings.device), external()
    if not launched:
        _require_processes(settings, device)
    world = launched.world if launched else settings.devices
    share = 12 * settings.size**2 * max(1, len(batch_keys)) * settings.batch_size // world  # float32, three channels
    here = share * (launched.local_world if launched else world)
    for needed, place in ((here, torch.device("cpu")), (share, device)):
        if needed > (free := free_memory(place)):
            raise StylekitError(
                f"The images of a batch of {settings.batch_size} of {settings.size}x{settings.size} pixels need at least "
                f"{memory_text(needed)}, but only {memory_text(free)} are free on {place}. Choose a smaller "
                "--batch-size or --size."
            )


def _require_processes(settings: Settings, device: torch.device) -> None:
    cores = os.cpu_count() or 1
    if device.type == "cpu" and settings.devices > (most := max(PROCESSES, cores)):
        raise StylekitError(
            f"--devices {settings.devices} means {settings.devices} processes on a CPU with {cores} cores. Use at most {most}."
        )
    workers = (settings.workers or 0) * settings.devices
    if workers > (most := max(WORKERS, 4 * cores)):
        raise StylekitError(
            f"--workers {settings.workers} means {workers} processes that load images, on a "
            f"machine with {cores} cores. Use at most {most // settings.devices}."
        )
    if settings.batch_size % settings.devices:
        raise StylekitError(
            f"A batch of {settings.batch_size} cannot be divided evenly among {settings.devices} processes. Choose a "
            f"--batch-size that is a multiple of {settings.devices}, or other --devices."
        )
    if (own := settings.batch_size // settings.devices) % settings.accumulate:
        raise StylekitError(
            f"{own} images of a batch cannot be divided evenly into {settings.accumulate} parts. Choose an --accumulate that "
            f"divides {own}, or another --batch-size."
        )
