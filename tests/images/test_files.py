"""The readable images of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import images
from stylekit.errors import StylekitError, StylekitWarning
from tests.facts import raises, warns
from tests.image_files import save


def shades(folder: Path, *names: str) -> list[Path]:
    """Images of 4 x 3 pixels; the first has the shade 10, the second 20, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    return [save(folder / name, Image.new("RGB", (4, 3), (10 * number,) * 3)) for number, name in enumerate(names, 1)]


def shade(image: torch.Tensor) -> int:
    assert image.shape == (1, 3, 3, 4)
    return round(float(image.mean()) * 255)


def broken(path: Path, kept: int = 300) -> Path:
    """A BMP, which has no end marker, so that only decoding it shows that pixels are missing."""
    Image.effect_noise((20, 20), 90).save(path, "BMP")
    path.write_bytes(path.read_bytes()[:kept])
    return path


def test_a_folders_images_are_read_in_order_as_tensors(tmp_path: Path) -> None:
    shades(tmp_path, "b.png", "c.png", "a.png")
    (tmp_path / "notes.txt").write_text("not an image")
    files = images.ImageFiles(tmp_path)
    assert len(files) == 3
    assert [path.name for path in files.files] == ["a.png", "b.png", "c.png"]
    assert [shade(files.read(index)) for index in range(3)] == [30, 10, 20]
    assert files.what == str(tmp_path)


def test_a_list_of_files_keeps_its_order(tmp_path: Path) -> None:
    first, second = shades(tmp_path, "b.png", "a.png")
    files = images.ImageFiles([first, second, first])
    assert [shade(files.read(index)) for index in range(3)] == [10, 20, 10]


def test_transparent_images_are_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 3), (0, 0, 0, 51)).save(tmp_path / "clear.png")
    assert shade(images.ImageFiles(tmp_path).read(0)) == 204


def test_a_large_jpeg_may_be_decoded_at_a_smaller_size(tmp_path: Path) -> None:
    Image.new("RGB", (400, 320)).save(tmp_path / "large.jpg")
    files = images.ImageFiles(tmp_path)
    assert files.read(0).shape == (1, 3, 320, 400)
    assert files.read(0, least=40).shape == (1, 3, 40, 50)


def test_files_that_cannot_be_opened_are_left_out_with_one_warning(tmp_path: Path) -> None:
    shades(tmp_path, "good.png")
    for number in range(12):
        (tmp_path / f"bad{number:02}.png").write_text("text")
    with warns(StylekitWarning, 12, 2, tmp_path / "bad00.png", f"stylekit data check {tmp_path}") as caught:
        files = images.ImageFiles(tmp_path)
    assert len(caught) == 1
    assert str(caught[0].message).count(".png") == 10
    assert [path.name for path in files.files] == ["good.png"]


def test_a_file_that_turns_out_damaged_is_replaced_by_the_next_with_one_warning(tmp_path: Path) -> None:
    shades(tmp_path, "a.png", "c.png")
    files = images.ImageFiles([tmp_path / "a.png", broken(tmp_path / "b.bmp"), tmp_path / "c.png"])
    assert len(files) == 3
    with warns(StylekitWarning, tmp_path / "b.bmp", f"stylekit data check {tmp_path}"):
        assert shade(files.read(1)) == 20
    assert [shade(files.read(index)) for index in range(3)] == [10, 20, 20]  # warnings are errors in these tests


def test_a_file_of_values_that_are_no_pictures_is_replaced_by_the_next(tmp_path: Path) -> None:
    Image.fromarray(np.array([[40, -1000]], np.int32)).save(tmp_path / "a.tif")
    shades(tmp_path, "b.png")
    with warns(StylekitWarning, tmp_path / "a.tif", -1000, 40, "'rasters'"):
        assert shade(images.ImageFiles(tmp_path).read(0)) == 10


def test_the_last_file_is_replaced_by_the_first(tmp_path: Path) -> None:
    (good,) = shades(tmp_path, "a.png")
    files = images.ImageFiles([good, broken(tmp_path / "b.bmp")])
    with pytest.warns(StylekitWarning):
        assert shade(files.read(1)) == 10


def test_files_none_of_which_can_be_read_are_an_error(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere"):
        images.ImageFiles(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, tmp_path / "empty", ".jpg", ".png", f"stylekit data check {tmp_path / 'empty'}"):
        images.ImageFiles(tmp_path / "empty")
    with raises(StylekitError, "the styles"):
        images.ImageFiles([], "the styles")
    (tmp_path / "text.png").write_text("text")
    with raises(StylekitError, "the styles", "read"):
        images.ImageFiles([tmp_path / "text.png"], "the styles")
    files = images.ImageFiles([broken(tmp_path / "a.bmp"), broken(tmp_path / "b.bmp")], "the styles")
    with warns(StylekitWarning, tmp_path / "b.bmp") as caught, raises(StylekitError, "the styles", "read"):
        files.read(1)
    assert len(caught) == 2
    with raises(StylekitError, "the styles"):
        files.read(0)
