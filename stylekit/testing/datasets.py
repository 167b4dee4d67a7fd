"""What a data set must do. One that cannot be opened without more, such as a path, is not tried, and says what it needs."""

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
    lacking = {"size", "seed", "split"} - set(arguments(subject.target))
    require(
        not lacking,
        f"A data set is built with size, seed and split; its constructor lacks {' and '.join(sorted(lacking))}.",
    )
    return ""


def _open(subject: Subject, split: str = "train") -> Any:
    return subject.build(size=SIDE, seed=1, split=split)


def _opened(look: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """The check, for data sets that open by themselves."""

    def looked(subject: Subject) -> str:
        try:
            _open(subject)
        except StylekitError as error:
            if _broken(error) or isinstance(error, NotTried):
                raise
            raise NotTried(one_line(error)) from error
        return look(subject)

    return looked


def _broken(error: StylekitError) -> bool:
    """Whether the data set did not say so itself: :func:`stylekit.registry.parts.construct` passes on what else it raises."""
    return error.__cause__ is not None


def _first(dataset: Any) -> dict[str, Tensor]:
    """The first batch, of two items, as in training."""
    batch: dict[str, Tensor] = next(iter(batches(dataset, 2, 1, range(1))))
    return batch


def _items(subject: Subject) -> str:
    dataset = _open(subject)
    keys = getattr(dataset, "item_keys", ())
    require(
        isinstance(keys, tuple | list) and bool(keys),
        'item_keys must name the keys of an item, as in item_keys = ("content",).',
    )
    item = _first(dataset)
    for key in keys:
        require(key in item, f"item_keys names {key!r}, and the items have only {', '.join(item)}.")
        require_image(item[key], pictures(2), f"item[{key!r}]")
    return f"{len(dataset)} items with {', '.join(keys)}"


def _seed(subject: Subject) -> str:
    dataset, again = _open(subject), _open(subject)
    first, others = _first(dataset), (_first(again), _first(dataset))
    for key in first:
        same = all(torch.equal(first[key], other[key]) for other in others)
        require(same, f"item[{key!r}] differs for the same seed, epoch and index: draw it with torch's own functions.")
    return ""


def _splits(subject: Subject) -> str:
    # That there is no test split may be said, by StylekitError: then training goes on without held-out pictures.
    try:
        with explained("The split 'test' fails", "If there is none, raise StylekitError."):
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
        "Loader processes cannot take it", "Keep open files, locks and lambdas out of it, and its class global."
    ):
        copy = ForkingPickler.loads(ForkingPickler.dumps(SeededItems(dataset, 1)))
    mine, theirs = SeededItems(dataset, 1)[0], copy[0]
    require(
        all(torch.equal(torch.as_tensor(mine[key]), torch.as_tensor(theirs[key])) for key in mine),
        "An item differs in a loader process, pickled and back.",
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
