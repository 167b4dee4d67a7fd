"""Checks of data sets. One that needs an option, such as a path, is not tried, and the finding says what it needs."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.registry.schema import arguments
from stylekit.testing.kit import Check, NotTried, Subject, explained, one_line, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import SIDE, pictures, require_image
from stylekit.training.loader import SeededItems, batches


def _takes(subject: Subject) -> str:
    missing = {"size", "seed", "split"} - set(arguments(subject.target))
    require(
        not missing,
        f"A data set is built with size, seed and split: add {' and '.join(sorted(missing))} to its constructor.",
    )
    return ""


def _open(subject: Subject, split: str = "train") -> Any:
    return subject.build(size=SIDE, seed=1, split=split)


def _opened(check: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """The check, not tried on data sets that cannot be opened with their defaults."""

    def checked(subject: Subject) -> str:
        try:
            _open(subject)
        except StylekitError as error:
            if _broken(error) or isinstance(error, NotTried):
                raise
            raise NotTried(one_line(error)) from error
        return check(subject)

    return checked


def _broken(error: StylekitError) -> bool:
    """Whether the data set raised another error, which :func:`stylekit.registry.parts.construct` wrapped in this one."""
    return error.__cause__ is not None


def _first(dataset: Any) -> dict[str, Tensor]:
    """The first batch of two items, loaded as in training."""
    batch: dict[str, Tensor] = next(iter(batches(dataset, 2, 1, range(1))))
    return batch


def _items(subject: Subject) -> str:
    dataset = _open(subject)
    keys = getattr(dataset, "item_keys", ())
    require(
        isinstance(keys, tuple | list) and bool(keys),
        'item_keys must list the keys of an item, as in item_keys = ("content",).',
    )
    order = getattr(dataset, "order", None)
    require(
        order is None or sorted(order(lambda count: list(range(count)))) == list(range(len(dataset))),
        "order must return the index of each item once, in the order that the given function makes.",
    )
    item, channels = _first(dataset), getattr(dataset, "channels", 3)
    for key in keys:
        require(key in item, f"item_keys lists {key!r}, but the items have only {', '.join(item)}.")
        require_image(item[key], pictures(2)[:, :1].repeat(1, channels, 1, 1), f"item[{key!r}]")
    return f"{len(dataset)} items with {', '.join(keys)}"


def _seed(subject: Subject) -> str:
    dataset, again = _open(subject), _open(subject)
    first, others = _first(dataset), (_first(again), _first(dataset))
    for key in first:
        same = all(torch.equal(first[key], other[key]) for other in others)
        require(
            same,
            f"item[{key!r}] differs for the same seed, epoch and index: draw random numbers with torch's functions, whose "
            "generator is seeded.",
        )
    return ""


def _splits(subject: Subject) -> str:
    # A data set may raise StylekitError if it has no test split: training then runs without held-out images.
    try:
        with explained("The split 'test' fails", "If there is no test split, raise StylekitError."):
            dataset = _open(subject, "test")
    except StylekitError as error:
        if _broken(error):
            raise
        return "no test split"
    _first(dataset)
    return ""


def _pickled(subject: Subject) -> str:
    dataset = _open(subject)
    with explained(
        "The data set cannot be pickled for loader processes",
        "Keep no open files, locks or lambdas on it, and define its class at the top level of the module.",
    ):
        copy = ForkingPickler.loads(ForkingPickler.dumps(SeededItems(dataset, 1)))
    original, pickled = SeededItems(dataset, 1)[0], copy[0]
    require(
        all(torch.equal(torch.as_tensor(original[key]), torch.as_tensor(pickled[key])) for key in original),
        "An item of the data set differs after pickling, as in a loader process: keep everything that it depends on in "
        "attributes that can be pickled.",
    )
    return ""


CHECKS = (
    Check("arguments", _takes),
    OPTIONS,
    Check("items", _opened(_items)),
    Check("seed", _opened(_seed)),
    Check("splits", _opened(_splits)),
    Check("loader processes", _opened(_pickled)),
)
