"""Batches from a map-style data set, in an order that depends only on the seed and the step."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from stylekit.errors import StylekitError, explain, one_line_error
from stylekit.registry import lookup
from stylekit.seeding import derive, seeded
from stylekit.training import guard
from stylekit.training.signals import SIGNALS

PR_SET_PDEATHSIG = 1


class SeededItems(Dataset[dict[str, Tensor]]):
    """Repeats a data set epoch by epoch; the random numbers of an item are seeded with (seed, epoch, index).

    Item ``epoch * len(dataset) + index`` is item ``index`` of that epoch.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, draw: int) -> dict[str, Tensor]:
        epoch, index = divmod(draw, len(self.dataset))
        with seeded(self.seed, "item", epoch, index):
            item: dict[str, Tensor] = self.dataset[index]
        return item

    def __getstate__(self) -> dict[str, Any]:
        return {"files": _PluginFiles(), **vars(self)}


class _PluginFiles:
    """Unpickled before the data set, to import the plugin files in a spawned process."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[list[Path]]]:
        return lookup.import_files, (lookup.imported_files(),)


@dataclass
class _Failure:
    """An error in a loading process. As an exception, torch would pass it on with a traceback in its message."""

    message: str
    trace: str


class _WholeBatches(Dataset[dict[str, Tensor]]):
    """Collated batches of a data set, or what went wrong."""

    def __init__(self, items: SeededItems) -> None:
        self.items = items

    def __getitems__(self, draws: list[int]) -> dict[str, Tensor] | _Failure:
        try:
            batch: dict[str, Tensor] = default_collate([self.items[draw] for draw in draws])
            return batch
        except Exception as error:
            message = explain(error)
            if not isinstance(error, StylekitError):
                message = f"The data set {type(self.items.dataset).__name__} failed: {message}."
            return _Failure(message, traceback.format_exc())


class Order(Sampler[list[int]]):
    """The items of each step's batch, in a new order every epoch. Each of several processes gets its share.

    Args:
        items: length of the data set
        batch_size: items per step, over all processes
        seed: seed of the orders
        steps: the first step, and the one after the last
        share: (rank, number of processes)
        arrange: gives the order of an epoch, of a function that gives a random order of the numbers below a number; by
            default, the order that this function gives of all items
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        steps: range,
        share: tuple[int, int] = (0, 1),
        arrange: Callable[[Callable[[int], list[int]]], list[int]] | None = None,
    ) -> None:
        self.items, self.batch_size, self.seed, self.steps = items, batch_size, seed, steps
        self.rank, self.world = share
        self.arrange = arrange or (lambda permute: permute(items))

    def __iter__(self) -> Iterator[list[int]]:
        per_process = self.batch_size // self.world
        epoch, order = -1, list[int]()
        for step in self.steps:
            first = step * self.batch_size + self.rank * per_process
            draws = []
            for position in range(first, first + per_process):
                if position // self.items != epoch:
                    epoch = position // self.items
                    order = self._epoch(epoch)
                draws.append(epoch * self.items + order[position % self.items])
            yield draws

    def _epoch(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))

        def permute(count: int) -> list[int]:
            order: list[int] = torch.randperm(count, generator=generator).tolist()
            return order

        return self.arrange(permute)

    def __len__(self) -> int:
        return len(self.steps)


def batches(
    dataset: Any,
    batch_size: int,
    seed: int,
    steps: range,
    share: tuple[int, int] = (0, 1),
    workers: int = 0,
    pinned: bool = False,
) -> Batches:
    """The batch of each step, ``{key: (N, ...)}``.

    Args:
        dataset: map-style data set
        batch_size: items per step, over all processes
        seed: seed of the orders and of the items' random numbers
        steps: the first step, and the one after the last
        share: (rank, number of processes)
        workers: processes that load items
        pinned: put batches into pinned memory, from which copies to a GPU are asynchronous

    Raises:
        StylekitError: the data set is empty, or the batch cannot be divided evenly.
    """
    if len(dataset) == 0:
        raise StylekitError("The data set is empty: there is nothing to train on.")
    if batch_size % share[1]:
        raise StylekitError(
            f"A batch of {batch_size} cannot be divided evenly among {share[1]} processes. Choose a multiple of {share[1]}."
        )
    order = Order(len(dataset), batch_size, seed, steps, share, getattr(dataset, "order", None))
    # Without its own generator, the loader would draw from the caller's random numbers.
    generator = torch.Generator().manual_seed(derive(seed, "workers"))
    loader: DataLoader[Any] = DataLoader(
        _WholeBatches(SeededItems(dataset, seed)),
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_unchanged,
        generator=generator,
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_main_process,
    )
    return Batches(loader)


class Batches:
    """The batches of a loader, whose processes end with the iteration, however it ends."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yields the batches.

        Raises:
            StylekitError: an item cannot be loaded, or a loading process ended.
        """
        try:
            iterator = iter(self._loader)
        except (EOFError, ConnectionError) as error:  # the fork server ended while it imported the script
            raise StylekitError(guard.MESSAGE) from error
        while True:
            batch, failure = _next(iterator)
            if failure is not None:
                del iterator  # ends the processes; the traceback of the error would keep them waiting
                raise failure
            if batch is None:
                return
            yield batch


def _next(iterator: Iterator[Any]) -> tuple[dict[str, Tensor] | None, BaseException | None]:
    """The next batch, or an error without a traceback, whose frames would keep the iterator alive."""
    try:
        batch = next(iterator, None)
    except KeyboardInterrupt:
        return None, KeyboardInterrupt()
    except Exception as error:
        unguarded = any(worker.exitcode == guard.UNGUARDED for worker in getattr(iterator, "_workers", ()))
        return None, StylekitError(guard.MESSAGE if unguarded else one_line_error(error))
    if isinstance(batch, _Failure):
        failure = StylekitError(batch.message)
        failure.__cause__ = RuntimeError(batch.trace)
        return None, failure
    return batch, None


def _unchanged(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ignores Ctrl-C, the closing of a terminal, and the first request to terminate, which schedulers send to every process:
    a worker that exits would end the run. The second one comes from the main process, which does not wait for an item that
    takes forever. If the main process is killed, Linux kills the worker too; elsewhere, torch ends it after some seconds."""
    received: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        if received:
            os._exit(0)
        received.append(number)

    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, terminate)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
