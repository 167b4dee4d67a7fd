"""Batches from a map-style data set, in an order that depends only on the seed and the step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.seeding import derive, seeded


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


class Order(Sampler[list[int]]):
    """The items of each step's batch, in a new order every epoch. Each of several processes gets its share.

    Args:
        items: length of the data set
        batch_size: items per step, over all processes
        seed: seed of the orders
        steps: the first step, and the one after the last
        share: (rank, number of processes)
    """

    def __init__(self, items: int, batch_size: int, seed: int, steps: range, share: tuple[int, int] = (0, 1)) -> None:
        self.items, self.batch_size, self.seed, self.steps = items, batch_size, seed, steps
        self.rank, self.world = share

    def __iter__(self) -> Iterator[list[int]]:
        per_process = self.batch_size // self.world
        epoch, order = -1, []
        for step in self.steps:
            first = step * self.batch_size + self.rank * per_process
            draws = []
            for position in range(first, first + per_process):
                if position // self.items != epoch:
                    epoch = position // self.items
                    generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
                    order = torch.randperm(self.items, generator=generator).tolist()
                draws.append(epoch * self.items + order[position % self.items])
            yield draws

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
) -> DataLoader[dict[str, Tensor]]:
    """A loader that yields the batch of each step, ``{key: (N, ...)}``.

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
    order = Order(len(dataset), batch_size, seed, steps, share)
    # Without its own generator, the loader would draw from the caller's random numbers.
    generator = torch.Generator().manual_seed(derive(seed, "workers"))
    items = SeededItems(dataset, seed)
    return DataLoader(
        items,
        batch_sampler=order,
        num_workers=workers,
        generator=generator,
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_main_process,
    )


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Ignores the signals of Ctrl-C and schedulers, which reach every process: a worker that exits would end the run."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
