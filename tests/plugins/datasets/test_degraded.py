"""Patches in their own resolution, and pairs of them with what a degradation makes of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from stylekit import StylekitError, images, make, testing
from stylekit.images import Degradations
from stylekit.seeding import seeded
from stylekit.training.loader import SeededItems, batches
from stylekit_plugins.datasets.degraded import Degraded, Patches
from tests.facts import raises


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 40 x 30 pixels whose values say where they are, and a small one."""
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(30, 40), (30, 40), (30, 40), (8, 12)]):
        down, across = torch.meshgrid(*map(torch.arange, size), indexing="ij")
        picture = torch.stack([down, across, torch.full(size, 10 * number)])[None] / 255
        images.write(tmp_path / f"photos/{number}.png", picture)
    return tmp_path / "photos"


def test_a_patch_is_cut_out_of_the_picture_as_it_is(folder: Path) -> None:
    items = SeededItems(Patches(folder, size=16), 0)
    corners = set()
    for draw in range(40):
        if draw % 4 == 3:
            continue
        patch = (items[draw]["content"] * 255).round()
        rows, columns = patch[0, :, 0], patch[1, 0]
        columns = columns.flip(0) if columns[0] > columns[-1] else columns
        assert torch.equal(rows - rows[0], torch.arange(16.0))
        assert torch.equal(columns - columns[0], torch.arange(16.0))
        assert float(patch[2].max()) == 10 * (draw % 4)
        corners.add((int(rows[0]), int(columns[0])))
    assert len(corners) > 20
    assert max(down for down, _ in corners) <= 14


def test_the_middle_is_tested_and_small_pictures_are_enlarged(folder: Path) -> None:
    patches = Patches(folder, size=16, split="test")
    middle = (patches[0]["content"] * 255).round()
    assert (float(middle[0, 0, 0]), float(middle[1, 0, 0])) == (7, 12)
    assert patches[3]["content"].shape == (3, 16, 16)


def test_a_pair_is_a_clean_picture_and_what_the_degradation_makes_of_it(folder: Path) -> None:
    data = make("dataset", "degraded", degradation={"name": "jpeg", "quality": 20}, content=folder, size=16)
    item = data[0]
    assert list(item) == ["content", "style"]
    expected = Degradations({"name": "jpeg", "quality": 20})(item["style"][None])[0]
    assert torch.equal(item["content"], expected)
    assert not torch.equal(item["content"], item["style"])


def test_what_became_smaller_is_enlarged_again(folder: Path) -> None:
    data = make("dataset", "degraded", degradation=["blur", {"name": "downscale", "scale": 2}], content=folder, size=16)
    with seeded(0):
        item = data[0]
    assert item["content"].shape == item["style"].shape == (3, 16, 16)
    torch.testing.assert_close(item["content"], item["style"], rtol=0, atol=4 / 255)  # a slope survives blur


def test_the_same_item_of_an_epoch_is_degraded_alike_and_others_are_not(folder: Path) -> None:
    data = Degraded("gaussian-noise", content=folder, size=16, split="test")
    first, again = SeededItems(data, 3), SeededItems(data, 3)
    assert torch.equal(first[1]["content"], again[1]["content"])
    next_epoch = first[1 + len(data)]
    assert torch.equal(first[1]["style"], next_epoch["style"])
    assert not torch.equal(first[1]["content"], next_epoch["content"])
    assert not torch.equal(first[1]["content"], SeededItems(data, 4)[1]["content"])


@pytest.mark.slow
def test_loading_processes_do_not_matter(folder: Path) -> None:
    data = Degraded(("blur", "gaussian-noise", "jpeg"), content=folder, size=16)
    alone, apart = (next(iter(batches(data, 4, 1, range(1), workers=workers))) for workers in (0, 2))
    assert torch.equal(alone["content"], apart["content"])


def test_clean_pictures_may_come_from_any_data_set() -> None:
    data = make("dataset", "degraded", clean={"name": "scenes", "length": 2}, size=32)
    assert data[0]["style"].shape == (3, 32, 32)
    assert data.data_files() == {}


def test_the_files_are_named(folder: Path) -> None:
    names = ["content/0.png", "content/1.png", "content/2.png", "content/3.png"]
    assert list(make("dataset", "degraded", content=folder, size=16).data_files()) == names


def test_what_is_missing_is_named(folder: Path) -> None:
    with raises(StylekitError, "--content DIR"):
        make("dataset", "patches")
    with raises(StylekitError, "split", "'dev'", "'train' or 'test'"):
        make("dataset", "patches", content=folder, split="dev")


def test_conformance(folder: Path) -> None:
    testing.check("dataset", partial(Patches, folder))
    testing.check("dataset", partial(Degraded, content=folder))
