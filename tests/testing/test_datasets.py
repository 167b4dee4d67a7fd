"""Each way in which a data set breaks the contract is told in words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.testing.samples import DATASET, OWN, altered, assert_told, faults, part, untried

if TYPE_CHECKING:
    from tests.testing.conftest import Write


ITEM, KEEPS = "torch.rand(3, self.size, self.size)", "self.size = size"
DATASETS = {
    "arguments": ('split: str = "train"', 'part: str = "train"', {"arguments": "its constructor lacks split."}),
    "broken": (KEEPS, KEEPS + "; int('x')", {"items": "cannot be built with size=64, seed=1, split='train': inv"}),
    "another key": ('("content",)', '("content", "style")', {"items": "item_keys names 'style', and the items have only"}),
    "no keys": ('item_keys = ("content",)', "", {"items": "item_keys must name the keys of an item"}),
    "size": ("self.size, self.size)", "self.size, 32)", {"items": "item['content'] gave (2, 3, 64, 32) for (2, 3, 64, 64)"}),
    "range": (ITEM, "255 * " + ITEM, {"items": "images are in [0, 1]."}),
    "drawn": (ITEM, f"{OWN} * torch.ones(3, 64, 64)", {"seed": "item['content'] differs for the same seed, epoch and index",
                                                       "loader processes": "An item differs in a loader process"}),
    "counted": (KEEPS, KEEPS + "; self.own = random.Random(1)", ITEM, "self.own.random() * " + ITEM,
                {"seed": "item['content'] differs for the same seed"}),
    "no test split": (KEEPS, KEEPS + "; {'train': 0}[split]",
                      {"splits": "The split 'test' fails: KeyError: 'test'. If there is none, raise StylekitError."}),
    "lambda": (KEEPS, KEEPS + "; self.own = lambda: 0", {"loader processes": "Loader processes cannot take it"}),
}  # fmt: skip

BROKEN = [pytest.param(DATASET, case[:-1], case[-1], id=f"dataset: {name}") for name, case in DATASETS.items()]


@pytest.mark.parametrize(("source", "changes", "told"), BROKEN)
def test_each_fault_is_one_line_of_its_own(write: Write, source: str, changes: list[str], told: dict[str, str]) -> None:
    assert_told(faults(part(write(altered(source, changes)))), told)


def test_a_data_set_that_refuses_to_open_is_not_tried(write: Write) -> None:
    source = DATASET.replace(KEEPS, "raise StylekitError('Get the pictures first.')")
    subject = part(write(source.replace("hookimpl,", "StylekitError, hookimpl,")))
    assert (faults(subject), untried(subject)) == ({}, ["Get the pictures first."])


def test_a_dataset_that_needs_a_path_says_so_and_is_not_tried(write: Write) -> None:
    source = DATASET.replace("self, size", "self, root: str, size").replace(
        "size: side", "size: side\n        root: where"
    )
    subject = part(write(source))
    assert faults(subject) == {}
    assert untried(subject) == ["needs the option 'root' (where)"]
