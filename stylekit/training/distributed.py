"""Starts the processes of a run and communicates between them. The only module that uses lightning-fabric, which is
imported when training starts."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from stylekit.errors import PlainWarnings, StylekitError, StylekitWarning, explain, warn
from stylekit.native.devices import pick_device
from stylekit.training import guard
from stylekit.training.connection import ConnectionLost, connected
from stylekit.training.launchers import external, shares_store
from stylekit.training.pool import ImagePool
from stylekit.training.settings import Settings
from stylekit.training.signals import Stop, interruptible

_Result = TypeVar("_Result")


class Runtime:
    """One process of a run: its device, its rank, and the communication with the other processes."""

    def __init__(self, fabric: Any, stop: Stop | None = None) -> None:
        self._fabric, self._stop = fabric, stop
        self.device: torch.device = fabric.device
        self.rank: int = fabric.global_rank
        self.world: int = fabric.world_size
        # Flags and names are exchanged on the CPU, so that no process has to wait for its GPU.
        separate = self.world > 1 and self.device.type != "cpu"
        self._control = torch.distributed.new_group(backend="gloo") if separate else None

    @property
    def main(self) -> bool:
        return self.rank == 0

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[Callable[[], bool]]:
        """Yields a function that returns whether the run is to end after this step."""
        if self._stop is None:
            with interruptible() as interrupted:
                yield interrupted
        else:
            yield partial(bool, self._stop)

    def autocast(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._fabric.autocast()
        return context

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Averages tensors of one dtype over all processes, in place, with a single all-reduce."""
        parts = list(tensors)
        if self.world == 1 or not parts:
            return
        with _flattened(parts) as flat, connected():
            torch.distributed.all_reduce(flat.div_(self.world))

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Averages gradients over all processes. If only some processes have a gradient, it counts as zero in the others."""
        if self.world == 1:
            return
        present = self._sum([float(p.grad is not None) for p in parameters])
        learning = [p for p, count in zip(parameters, present, strict=True) if count]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for gradients in _by_dtype(p.grad for p in learning if p.grad is not None):
            self.average(gradients)

    @contextlib.contextmanager
    def shared_buffers(self, method: nn.Module) -> Iterator[None]:
        """Gives all processes the same value of each buffer that changes within the block.

        Floating-point buffers are averaged; of others, the main process's value counts. A checkpoint holds one value, so
        a resumed run could not continue exactly otherwise. Image pools are the same in all processes already.
        """
        before = _versions(method) if self.world > 1 else {}
        yield
        if self.world == 1:
            return
        after = _versions(method)
        if not after:
            return
        changes = self._sum([float(after[name] != before.get(name)) for name in after])
        buffers = [method.get_buffer(name) for name, count in zip(after, changes, strict=True) if count]
        for group in _by_dtype(buffers):
            if group[0].is_floating_point():
                self.average(group)
            else:
                with _flattened(group) as flat:
                    self.from_main([flat])

    def from_main(self, tensors: Iterable[Tensor]) -> None:
        """Broadcasts the values of the main process to all processes, in place."""
        if self.world > 1:
            with connected():
                for tensor in tensors:
                    torch.distributed.broadcast(tensor.detach(), src=0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.world == 1 else self._sum([float(flag)])[0] > 0

    def decided_by_main(self, decide: Callable[[], str]) -> str:
        """Calls ``decide`` in the main process and returns its result in every process.

        Raises:
            StylekitError: raised by ``decide`` in the main process, and then in every process.
        """
        if self.world == 1:
            return decide()
        answer: list[Any] = [None, None]
        if self.main:
            try:
                answer[0] = decide()
            except StylekitError as error:
                answer[1] = str(error)
        with connected():
            torch.distributed.broadcast_object_list(answer, src=0, group=self._control)
        if answer[1] is not None:
            raise StylekitError(answer[1])
        return str(answer[0])

    def _sum(self, numbers: list[float]) -> list[float]:
        """Numbers summed over all processes."""
        total = torch.tensor(numbers)
        with connected():
            torch.distributed.all_reduce(total, group=self._control)
        summed: list[float] = total.tolist()
        return summed


@contextlib.contextmanager
def _flattened(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yields tensors of one dtype as one vector, and copies its values back at the end."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    yield flat
    for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view_as(tensor))


def _by_dtype(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors in groups of one dtype, in the order of their first tensors."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def _versions(method: nn.Module) -> dict[str, tuple[int, int]]:
    """What tells whether a buffer was changed in place or replaced, by the name of the buffer."""
    return {
        f"{path}.{name}" if path else name: (id(buffer), 0 if buffer.is_inference() else buffer._version)
        for path, module in method.named_modules()
        if not isinstance(module, ImagePool)
        for name, buffer in module.named_buffers(recurse=False)
    }


def launch(work: Callable[..., _Result], settings: Settings, *arguments: Any) -> _Result:
    """Calls ``work(runtime, settings, *arguments)`` in this process, or with several devices in one process per device.

    If torchrun or srun started the processes, this is one of them, and no others are started.

    Raises:
        StylekitError: the device is not available, there are too few devices, or ``work`` raised the error.
    """
    chosen, launched = pick_device(settings.device), external()
    if launched and settings.devices not in (1, launched.world):
        raise StylekitError(
            f"--devices {settings.devices} contradicts the launcher, which started {launched.world} processes. Leave "
            "--devices out."
        )
    devices = launched.local_world if launched else settings.devices
    if chosen.type == "cuda" and devices > torch.cuda.device_count():
        wanted = f"{devices} processes were started here" if launched else f"--devices {devices} was given"
        raise StylekitError(f"{wanted}, but only {torch.cuda.device_count()} CUDA devices are available. Use fewer.")
    if chosen.type == "mps" and devices > 1:
        raise StylekitError("mps has only one device. Leave --devices out.")
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    _quiet()
    # Stated, because Fabric detects launchers in other ways.
    environment: Any = LightningEnvironment
    if launched and launched.by == "torchrun":
        environment = TorchElasticEnvironment
    elif launched:
        # Fabric requires it, and srun sets it only with the option of that name.
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(launched.local_world))
        environment = partial(SLURMEnvironment, auto_requeue=False)
    fabric = Fabric(
        accelerator=chosen.type,
        devices=devices,
        num_nodes=launched.world // launched.local_world if launched else 1,
        strategy="ddp" if launched else "ddp_spawn" if devices > 1 else "auto",
        precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        plugins=environment(),
    )
    stop = Stop() if devices > 1 and not launched else None
    try:
        with stop.on_signal() if stop else contextlib.nullcontext():
            result: _Result = fabric.launch(_Work(work, stop), settings, *arguments)
            return result
    except ProcessRaisedException as error:
        _, separator, message = str(error).rpartition("StylekitError: ")
        if not separator:
            raise
        raise StylekitError(message.strip()) from error
    except ProcessExitedException as error:
        if error.exit_code == guard.UNGUARDED:
            raise StylekitError(guard.MESSAGE) from None
        hint = " Perhaps the machine ran out of memory." if "SIGKILL" in str(error) else ""
        raise StylekitError(f"A process of the run ended: {error}.{hint}") from error


def _quiet() -> None:
    """Silences the messages of Fabric and torch about every process that they start and stop."""
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)


class _Work:
    """Calls the function in each process. It can be pickled, so that spawned processes receive it."""

    def __init__(self, work: Callable[..., Any], stop: Stop | None) -> None:
        self.work, self.stop = work, stop
        self.showwarning = warnings.showwarning if isinstance(warnings.showwarning, PlainWarnings) else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _quiet()  # in the new process, before Fabric connects it to the others
        warnings.showwarning = self.showwarning or warnings.showwarning

    def __call__(self, fabric: Any, *arguments: Any) -> Any:
        if fabric.global_rank:
            warnings.simplefilter("ignore", StylekitWarning)  # the main process shows the same warnings
        elif shares_store():
            warn(
                "After a restart, torchrun's nodes may wait for one another without end. Set "
                "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 where torchrun starts, on each node."
            )
        with contextlib.nullcontext() if self.stop is None else _in_one_sentence():
            result = self.work(Runtime(fabric, self.stop), *arguments)
        if fabric.world_size > 1:
            # A process that exits while another one still communicates with it aborts both.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        return result


@contextlib.contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Raises every error of the block as a StylekitError: only the text reaches the process that started this one."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ConnectionLost):
            time.sleep(5)  # so that the process that failed is noticed first
        raise StylekitError(explain(error)) from error
