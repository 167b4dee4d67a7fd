"""Sets of images: what is chosen of a folder or a data set, and how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError, images
from stylekit.evaluation import DatasetPictures, FolderPictures
from tests.facts import raises


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(6):
        images.write(tmp_path / f"{index}.png", torch.full((3, 40, 60), index / 10))
    return tmp_path


def test_images_of_a_folder_are_chosen_evenly_and_reduced(folder: Path) -> None:
    chosen = FolderPictures(folder, 30, 3)
    assert list(chosen) == ["0.png", "2.png", "4.png"]
    assert all(image.shape == (1, 3, 20, 30) for image in chosen.values())
    assert float(chosen["4.png"].mean()) == pytest.approx(102 / 255)  # 0.4 in 8 bits
    assert len(FolderPictures(folder, 30)) == 6
    assert FolderPictures(folder, 100, 1)["0.png"].shape == (1, 3, 40, 60)


def test_transparency_is_shown_over_white(tmp_path: Path) -> None:
    half = images.Picture(torch.zeros(1, 3, 4, 4), torch.full((1, 1, 4, 4), 128 / 255))
    images.write(tmp_path / "a.png", half)
    assert float(FolderPictures(tmp_path)["a.png"].mean()) == pytest.approx(127 / 255)


def test_an_image_is_read_once_while_it_is_among_the_latest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = FolderPictures(folder)
    first = chosen["0.png"]
    assert chosen["0.png"] is first
    monkeypatch.setattr("stylekit.evaluation.pictures.LIMIT", first.nbytes)
    small = FolderPictures(folder)
    first = small["0.png"]
    assert small["1.png"] is not first
    assert small["0.png"] is not first


class Numbers:
    """A data set of plain images, whose items also draw a random number."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"content": torch.full((3, 4, 4), index / 51), "noisy": torch.rand(3, 4, 4)}


def test_items_of_a_data_set_are_chosen_evenly_and_always_the_same() -> None:
    chosen = DatasetPictures(Numbers(), "content", 4)
    assert list(chosen) == ["00000", "00002", "00005", "00007"]
    assert float(chosen["00007"].mean()) == pytest.approx(35 / 255)
    noisy = [DatasetPictures(Numbers(), "noisy", 2).digest() for _ in range(2)]
    assert noisy[0] == noisy[1]
    with raises(StylekitError, "style", "content"):
        DatasetPictures(Numbers(), "style", what="the numbers")
