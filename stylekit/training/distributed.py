"""Devices, precision and processes: the one place that touches lightning-fabric, imported when training starts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException

from stylekit.errors import PlainWarnings, StylekitError, StylekitWarning
from stylekit.native.devices import pick_device
from stylekit.training.settings import Settings


class Runtime:
    """What one process of a run knows of the others, and of its device."""

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.device: torch.device = fabric.device
        self.rank: int = fabric.global_rank
        self.world: int = fabric.world_size

    @property
    def main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._fabric.autocast()
        return context

    def average(self, gradients: Iterable[Tensor]) -> None:
        """Averages tensors over all processes, in place, in one message."""
        tensors = list(gradients)
        if self.world == 1 or not tensors:
            return
        flat = torch._utils._flatten_dense_tensors(tensors)
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for tensor, mean in zip(tensors, torch._utils._unflatten_dense_tensors(flat, tensors), strict=True):
            tensor.copy_(mean)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Averages gradients over all processes; where only some have one, the others count as zero."""
        if self.world == 1:
            return
        there = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        torch.distributed.all_reduce(there)
        learning = [p for p, count in zip(parameters, there.tolist(), strict=True) if count]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.average([p.grad for p in learning if p.grad is not None])

    def from_main(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the main one's values, in place."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, src=0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        torch.distributed.all_reduce(raised)
        return bool(raised > 0)


def launch(work: Callable[..., None], settings: Settings, *arguments: Any) -> None:
    """Calls ``work(runtime, settings, *arguments)`` on the device, or in one process for each of several.

    Raises:
        StylekitError: the device is not there, or not so often; and what the work raises.
    """
    chosen, devices = pick_device(settings.device), settings.devices
    if chosen.type == "cuda" and devices > torch.cuda.device_count():
        raise StylekitError(
            f"--devices {devices} asks for more than the {torch.cuda.device_count()} CUDA devices here."
        )
    if chosen.type == "mps" and devices > 1:
        raise StylekitError("On mps there is one device. Leave --devices out.")
    from lightning_fabric import Fabric

    _quiet()
    fabric = Fabric(
        accelerator=chosen.type,
        devices=devices,
        strategy="ddp_spawn" if devices > 1 else "auto",
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
    )
    try:
        fabric.launch(_Work(work), settings, *arguments)
    except ProcessRaisedException as error:
        _, told, message = str(error).rpartition("StylekitError: ")
        if not told:
            raise
        raise StylekitError(message.strip()) from error


def _quiet() -> None:
    """Leaves out what fabric and torch tell of every process that they start and stop."""
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)


class _Work:
    """Picklable, so that spawned processes receive it."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work
        self.shows = warnings.showwarning if isinstance(warnings.showwarning, PlainWarnings) else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _quiet()  # in the new process, before fabric joins the others
        warnings.showwarning = self.shows or warnings.showwarning

    def __call__(self, fabric: Any, *arguments: Any) -> None:
        if fabric.global_rank:
            warnings.simplefilter("ignore", StylekitWarning)  # every process sees the same, and the main one says it
        self.work(Runtime(fabric), *arguments)
        if fabric.world_size > 1:
            # Leaving while another process still talks to this one aborts both.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
