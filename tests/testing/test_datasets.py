"""The checks of data sets: each fault is found, and reported in one line that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.testing.samples import (
    DATASET,
    OWN,
    altered,
    assert_every_check_finds_a_fault,
    assert_faults,
    faults,
    part,
    untried,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write


ITEM, KEEPS = "torch.rand(3, self.size, self.size)", "self.size = size"
DATASETS: dict[str, tuple[Any, ...]] = {
    "arguments": ('split: str = "train"', 'part: str = "train"', {"arguments": ("size, seed and split", "add split")}),
    "untyped option": ('split: str = "train"', 'split: str = "train", length=4', {"options": ("type", "option length")}),
    "broken": (KEEPS, KEEPS + "; int('x')", {"items": ("size=64", "seed=1", "split='train'", "invalid literal", "'x'")}),
    "another key": ('("content",)', '("content", "style")', {"items": ("item_keys", "'style'", "content")}),
    "no keys": ('item_keys = ("content",)', "", {"items": 'item_keys = ("content",)'}),
    "order": (KEEPS, KEEPS + "; self.order = lambda permute: [0] * len(self)", {"items": ("order", "index", "once"),
              "loader processes": ("loader processes", "lambda")}),
    "size": ("self.size, self.size)", "self.size, 32)", {"items": ("item['content']", "(2, 3, 64, 32)", "(2, 3, 64, 64)")}),
    "range": (ITEM, "255 * " + ITEM, {"items": ("item['content']", "[0, 1]")}),
    "drawn": (ITEM, f"{OWN} * torch.ones(3, 64, 64)", {
        "seed": ("item['content']", "seed", "epoch", "index"), "loader processes": ("item", "loader process"),
    }),
    "counted": (KEEPS, KEEPS + "; self.own = random.Random(1)", ITEM, "self.own.random() * " + ITEM,
                {"seed": ("item['content']", "seed", "epoch", "index")}),
    "no test split": (KEEPS, KEEPS + "; {'train': 0}[split]",
                      {"splits": ("split 'test'", "KeyError: 'test'", "StylekitError")}),
    "lambda": (KEEPS, KEEPS + "; self.own = lambda: 0", {"loader processes": ("loader processes", "lambda")}),
}  # fmt: skip

BROKEN = [pytest.param(case[:-1], case[-1], id=name) for name, case in DATASETS.items()]


@pytest.mark.parametrize(("changes", "expected"), BROKEN)
def test_each_fault_is_reported_in_one_line(write: Write, changes: list[str], expected: dict[str, Any]) -> None:
    assert_faults(faults(part(write(altered(DATASET, changes)))), expected)


def test_every_check_finds_a_fault() -> None:
    assert_every_check_finds_a_fault(["dataset"], [DATASETS])


@pytest.mark.parametrize("label", ["torch.tensor(index % 2)", "index % 2"])
def test_an_item_may_hold_a_label_besides_its_images(write: Write, label: str) -> None:
    source = altered(DATASET, (f'{{"content": {ITEM}}}', f'{{"content": {ITEM}, "label": {label}}}'))
    assert faults(part(write(source))) == {}


def test_a_data_set_that_refuses_to_open_is_not_tried(write: Write) -> None:
    source = altered(DATASET, (KEEPS, "raise StylekitError('Download the images first.')"))
    subject = part(write(source.replace("hookimpl,", "StylekitError, hookimpl,")))
    assert (faults(subject), untried(subject)) == ({}, ["Download the images first."])


def test_a_data_set_that_needs_a_path_is_not_tried_and_says_so(write: Write) -> None:
    source = altered(DATASET, ("self, size", "self, root: str, size", "size: side", "size: side\n        root: where"))
    subject = part(write(source))
    assert faults(subject) == {}
    (message,) = untried(subject)
    assert "'root'" in message
    assert "where" in message
