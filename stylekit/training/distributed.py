"""Processes of a run: starting them, and what they tell each other. The only place that uses lightning-fabric, which is
imported when training starts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException

from stylekit.errors import PlainWarnings, StylekitError, StylekitWarning
from stylekit.native.devices import pick_device
from stylekit.training.launchers import external
from stylekit.training.settings import Settings

_Result = TypeVar("_Result")


class Runtime:
    """What one process of a run knows of the others, and of its device."""

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric
        self.device: torch.device = fabric.device
        self.rank: int = fabric.global_rank
        self.world: int = fabric.world_size
        # Flags and names travel between the processors, so that no GPU has to be waited for.
        apart = self.world > 1 and self.device.type != "cpu"
        self._control = torch.distributed.new_group(backend="gloo") if apart else None

    @property
    def main(self) -> bool:
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._fabric.autocast()
        return context

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Averages tensors of one type over all processes, in place, in one message."""
        parts = list(tensors)
        if self.world == 1 or not parts:
            return
        flat = torch.cat([part.reshape(-1) for part in parts])
        torch.distributed.all_reduce(flat)
        flat /= self.world
        for part, mean in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(mean.view_as(part))

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Averages gradients over all processes; where only some have one, the others count as zero."""
        if self.world == 1:
            return
        present = self._sum([float(p.grad is not None) for p in parameters])
        learning = [p for p, count in zip(parameters, present, strict=True) if count]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for parameter in learning:
            assert parameter.grad is not None
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            self.average(gradients)

    def from_main(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the main one's values, in place."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), src=0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.world == 1 else self._sum([float(flag)])[0] > 0

    def decided_by_main(self, decide: Callable[[], str]) -> str:
        """What the main process decides, in every process.

        Raises:
            StylekitError: what ``decide`` raises in the main process, in every process.
        """
        if self.world == 1:
            return decide()
        answer: list[Any] = [None, None]
        if self.main:
            try:
                answer[0] = decide()
            except StylekitError as error:
                answer[1] = str(error)
        torch.distributed.broadcast_object_list(answer, src=0, group=self._control)
        if answer[1] is not None:
            raise StylekitError(answer[1])
        return str(answer[0])

    def _sum(self, numbers: list[float]) -> list[float]:
        """Numbers summed over all processes."""
        total = torch.tensor(numbers)
        torch.distributed.all_reduce(total, group=self._control)
        summed: list[float] = total.tolist()
        return summed


def launch(work: Callable[..., _Result], settings: Settings, *arguments: Any) -> _Result:
    """Calls ``work(runtime, settings, *arguments)`` on the device, or in one process for each of several.

    Where torchrun or srun has started the processes, this is one of them, and calls it alone.

    Raises:
        StylekitError: the device is not there, or there are too few; and what the work raises.
    """
    chosen, outside = pick_device(settings.device), external()
    if outside and settings.devices not in (1, outside.world):
        raise StylekitError(
            f"--devices {settings.devices} contradicts the launcher, which started {outside.world} processes. Leave it out."
        )
    devices = outside.local_world if outside else settings.devices
    if chosen.type == "cuda" and devices > torch.cuda.device_count():
        raise StylekitError(
            f"--devices {devices} asks for more than the {torch.cuda.device_count()} CUDA devices here."
        )
    if chosen.type == "mps" and devices > 1:
        raise StylekitError("On mps there is one device. Leave --devices out.")
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    _quiet()
    fabric = Fabric(
        accelerator=chosen.type,
        devices=devices,
        num_nodes=outside.world // outside.local_world if outside else 1,
        strategy="ddp" if outside else "ddp_spawn" if devices > 1 else "auto",
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        plugins=None if outside else LightningEnvironment(),  # its own guess differs from ours
    )
    try:
        result: _Result = fabric.launch(_Work(work), settings, *arguments)
        return result
    except ProcessRaisedException as error:
        _, found, message = str(error).rpartition("StylekitError: ")
        if not found:
            raise
        raise StylekitError(message.strip()) from error


def _quiet() -> None:
    """Silences what fabric and torch report of every process that they start and stop."""
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

    def __call__(self, fabric: Any, *arguments: Any) -> Any:
        if fabric.global_rank:
            warnings.simplefilter("ignore", StylekitWarning)  # every process has the same, and the main one shows it
        result = self.work(Runtime(fabric), *arguments)
        if fabric.world_size > 1:
            # Leaving while another process still talks to this one aborts both.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        return result
