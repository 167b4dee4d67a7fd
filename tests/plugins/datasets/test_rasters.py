"""The data sets of images of any type: what their items are, by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch.utils.data import DataLoader

from stylekit import StylekitError, make, testing
from stylekit.training.loader import SeededItems
from stylekit_plugins.datasets.rasters import RasterPairs, Rasters, stylekit_datasets
from tests.facts import raises

WINDOW = (-1000.0, 400.0)


def slices(seed: int, shape: tuple[int, ...] = (40, 52)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-1500, 1500, shape, np.int16)


def unit(values: np.ndarray[Any, Any]) -> torch.Tensor:
    """The values in [0, 1], by hand."""
    return torch.from_numpy(((values.astype(float) + 1000) / 1400).clip(0, 1)).float()


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three pairs of slices: TIFF files, and negatives as NPY files."""
    for side in "AB":
        (tmp_path / side).mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / f"A/{number}.tif", slices(number))
        np.save(tmp_path / f"B/{number}.npy", -600 - slices(number))
    return tmp_path


def middle(image: torch.Tensor, size: int) -> torch.Tensor:
    top, left = ((side - size) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]


def test_an_item_in_testing_is_the_middle_in_its_own_resolution(folders: Path) -> None:
    data = Rasters(data=folders, window=WINDOW, size=24, split="test")
    assert (len(data), data.channels, data.item_keys) == (3, 1, ("content", "style"))
    for number in range(3):
        torch.testing.assert_close(data[number]["content"], middle(unit(slices(number))[None], 24), rtol=0, atol=1e-6)
        torch.testing.assert_close(data[number]["style"], 1 - data[number]["content"], rtol=0, atol=1e-6)


def test_a_pair_is_cropped_in_the_same_way(folders: Path) -> None:
    data = RasterPairs(data=folders, window=WINDOW, size=24, flip=True)
    items = SeededItems(data, 3)
    seen = [items[number] for number in range(12)]
    for item in seen:
        torch.testing.assert_close(item["style"], 1 - item["content"], rtol=0, atol=1e-6)
    assert len({float(item["content"].sum()) for item in seen}) == 12
    back = RasterPairs(data=folders, window=WINDOW, size=24, split="test", reverse=True)[0]
    torch.testing.assert_close(back["style"], middle(unit(slices(0))[None], 24), rtol=0, atol=1e-6)


def test_a_random_slice_of_a_volume_is_shown_and_in_testing_the_middle_one(tmp_path: Path) -> None:
    values = np.arange(5, dtype=np.float32)[:, None, None, None] / 8 + np.zeros((5, 24, 24, 2), np.float32)
    np.save(tmp_path / "volume.npy", values)
    items = SeededItems(Rasters(tmp_path, channels=2, size=24), 0)
    assert {float(items[number]["content"].mean()) for number in range(40)} == {0, 1 / 8, 2 / 8, 3 / 8, 4 / 8}
    assert float(Rasters(tmp_path, channels=2, size=24, split="test")[0]["content"].mean()) == 2 / 8


def test_percentiles_are_those_of_the_whole_file(tmp_path: Path) -> None:
    values = np.linspace(5, 25, 32 * 32, dtype=np.float32).reshape(32, 32)
    np.save(tmp_path / "image.npy", values)
    item = Rasters(tmp_path, percentile=(10.0, 90.0), size=32, split="test")[0]["content"]
    low, high = np.percentile(values, [10, 90])
    torch.testing.assert_close(
        item[0], torch.from_numpy(((values - low) / (high - low)).clip(0, 1)).float(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", ["rasters", "raster-pairs"])
def test_every_augmentation_works_with_seven_channels(tmp_path: Path, name: str) -> None:
    for side in "AB":
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "image.npy", np.random.default_rng(0).random((40, 52, 7), np.float32))
    options = {"crop": (1.0, 1.5), "flip": True, "rotate": 20.0, "noise": 0.1}
    data = make("dataset", {"name": name, "data": tmp_path, "channels": 7, "size": 24, **options})
    batch = next(iter(DataLoader(SeededItems(data, 0), batch_size=2, sampler=[0, 1])))
    assert batch["content"].shape == batch["style"].shape == (2, 7, 24, 24)
    assert 0 <= float(batch["content"].min()) < float(batch["content"].max()) <= 1


def test_the_degraded_of_such_images_have_no_steps_of_8_bits(folders: Path) -> None:
    clean = {"name": "rasters", "window": WINDOW}
    data = make("dataset", {"name": "degraded", "clean": clean, "content": folders / "A", "size": 24})
    assert (data.channels, data.intensities.window) == (1, WINDOW)
    content = SeededItems(data, 0)[0]["content"] * 255
    assert float((content - content.round()).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["rasters", "raster-pairs"])
def test_the_data_sets_pass_the_checks(folders: Path, name: str) -> None:
    testing.check("dataset", partial(stylekit_datasets()[name], data=folders, window=WINDOW))


def rename(folders: Path) -> None:
    (folders / "B/2.npy").rename(folders / "B/other.npy")


def enlarge(folders: Path) -> None:
    np.save(folders / "B/0.npy", slices(0, (41, 52)))


def color(folders: Path) -> None:
    np.save(folders / "B/0.npy", slices(0, (40, 52, 3)))


@pytest.mark.parametrize(
    ("change", "options", "facts"),
    [
        (rename, {}, ["2 files", "partner"]),
        (enlarge, {}, ["0.tif", "0.npy", "1 slices of 52x40 pixels", "52x41 pixels"]),
        (color, {}, ["0.npy", "3 channels", "1 is needed"]),
        (lambda folders: None, {"window": (1.0, 0.0)}, ["'window'"]),
        (lambda folders: None, {"data": None}, ["raster-pairs", "--content DIR --style DIR"]),
        (lambda folders: None, {"data": None, "content": "."}, ["raster-pairs", "--style DIR"]),
    ],
)
def test_what_cannot_be_a_pair_is_refused(
    folders: Path, change: Callable[[Path], None], options: dict[str, Any], facts: list[object]
) -> None:
    change(folders)
    with raises(StylekitError, *facts):
        RasterPairs(**{"data": folders, "size": 24, "split": "test", **options})[0]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with raises(StylekitError, tmp_path, ".npy"):
        Rasters(tmp_path)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A picture of seven channels, and its label map of three classes."""
    for side in "AB":
        (tmp_path / side).mkdir()
    np.save(tmp_path / "A/0.npy", np.random.default_rng(0).random((30, 40, 7), np.float32))
    labels = np.random.default_rng(1).integers(0, 3, (5, 7)).repeat(6, 0)[:, [0, 1, 2, 3, 4, 5, 6]].repeat(6, 1)[:, :40]
    tifffile.imwrite(tmp_path / "B/0.tif", labels.astype(np.uint8))
    return tmp_path


def test_classes_of_a_label_map_are_channels_and_stay_hard(labelled: Path) -> None:
    given = {"data": labelled, "channels": 7, "labels": 3, "size": 24}
    data = RasterPairs(**given, split="test")
    assert (data.channels, data.style_channels, data.results.labels) == (7, 3, 3)
    item = data[0]
    by_hand = np.eye(3)[tifffile.imread(labelled / "B/0.tif")[3:27, 8:32]].transpose(2, 0, 1)
    assert np.array_equal(item["style"].numpy(), by_hand)
    assert item["content"].shape == (7, 24, 24)
    drawn = SeededItems(RasterPairs(**given, crop=(1.1, 1.6), rotate=20.0, noise=0.05), 0)[0]["style"]
    assert set(drawn.unique().tolist()) == {0, 1}
    assert bool((drawn.sum(0) == 1).all())


def test_a_label_map_may_be_the_content(labelled: Path) -> None:
    data = RasterPairs(data=labelled, channels=7, labels=3, size=24, split="test", reverse=True)
    assert (data.channels, data.style_channels, data.intensities.labels) == (3, 7, 3)
    assert data[0]["content"].shape == (3, 24, 24)


def test_other_numbers_than_those_of_classes_name_the_file(labelled: Path) -> None:
    with raises(StylekitError, "0.tif", "0 to 1", "value 2"):
        RasterPairs(data=labelled, channels=7, labels=2, size=24)[0]


def test_the_style_may_have_a_window_of_its_own(folders: Path) -> None:
    data = RasterPairs(data=folders, window=WINDOW, style_window=(-600.0, 800.0), size=24, split="test")
    assert data.results.window == (-600, 800)
    by_hand = ((-600 - slices(0).astype(float) + 600) / 1400).clip(0, 1)
    torch.testing.assert_close(data[0]["style"], middle(torch.from_numpy(by_hand).float()[None], 24), rtol=0, atol=1e-6)
