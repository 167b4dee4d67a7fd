"""Large images that are made part by part, and whose values are in a file until they are written."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import StylekitError, images
from stylekit.images import Canvas, Metadata, Picture, tiff
from stylekit.images.canvas import part_path
from stylekit.images.decoded import Decoded
from tests.facts import raises
from tests.images.test_profiles import ADOBE
from tests.tensors import noise

SIZE = (600, 70)
META = Metadata(dpi=(300, 300), text={"Comment": "a test"})


def picture(depth: int = 8, alpha: bool = False) -> Picture:
    return Picture(noise(1, 3, *SIZE), noise(1, 1, *SIZE) if alpha else None, depth, META)


def part(whole: Picture, rows: slice, columns: slice) -> Picture:
    alpha = None if whole.alpha is None else whole.alpha[..., rows, columns]
    return replace(whole, image=whole.image[..., rows, columns], alpha=alpha)


PARTS = [(slice(top, top + 200), slice(left, left + 35)) for top in (0, 200, 400) for left in (0, 35)]


def painted(target: Path, whole: Picture, count: int = len(PARTS), **options: Any) -> Canvas:
    """A canvas with the first parts of a picture, after those that it has already."""
    canvas = Canvas(target, SIZE, part(whole, slice(1), slice(1)), **options)
    for rows, columns in PARTS[canvas.done : count]:
        canvas.put(rows.start, columns.start, part(whole, rows, columns))
    return canvas


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.jpg", "out.webp", "out.bmp", "out.gif"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_canvas_makes_the_same_image_as_the_whole_picture(tmp_path: Path, name: str, alpha: bool, depth: int) -> None:
    whole = picture(depth, alpha)
    painted(tmp_path / name, whole).save()
    images.write(tmp_path / f"whole-{name}", whole)
    made, expected = images.read(tmp_path / name), images.read(tmp_path / f"whole-{name}")
    assert torch.equal(made.image, expected.image)
    assert (made.alpha is None) == (expected.alpha is None)
    assert made.alpha is None or expected.alpha is None or torch.equal(made.alpha, expected.alpha)
    assert (made.depth, made.metadata) == (expected.depth, expected.metadata)
    assert {each.name for each in tmp_path.iterdir()} == {name, f"whole-{name}"}


@pytest.mark.parametrize("values", [np.uint8, np.uint16])
def test_a_file_that_is_too_large_for_tiff_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: Any
) -> None:
    monkeypatch.setattr(tiff, "LARGEST", 1000)
    whole = picture(16 if values is np.uint16 else 8, alpha=True)
    painted(tmp_path / "out.tif", whole).save()
    assert (tmp_path / "out.tif").read_bytes()[:4] == b"II+\0"
    monkeypatch.undo()
    images.write(tmp_path / "whole.tif", whole)
    assert torch.equal(images.read(tmp_path / "out.tif").image, images.read(tmp_path / "whole.tif").image)
    with Image.open(tmp_path / "out.tif") as file:
        assert file.info["dpi"] == (300, 300)


def test_what_was_made_before_is_kept(tmp_path: Path) -> None:
    whole, target = picture(), tmp_path / "out.png"
    first = painted(target, whole, 4, key="a")
    first.close()
    other = replace(whole, image=1 - whole.image)
    painted(target, other, key="a", resume=True).save()
    made = images.read(target).image
    images.write(tmp_path / "a.png", whole)
    images.write(tmp_path / "b.png", other)
    old, new = (images.read(tmp_path / name).image for name in ("a.png", "b.png"))
    assert torch.equal(made[..., :400, :], old[..., :400, :])
    assert torch.equal(made[..., 400:, :], new[..., 400:, :])
    assert not part_path(target).exists()


@pytest.mark.parametrize(
    "options", [{"key": "b", "resume": True}, {"key": "a"}, {"key": "a", "resume": True, "depth": 16}]
)
def test_parts_of_other_settings_are_not_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    painted(tmp_path / "out.png", picture(), 4, key="a").close()
    canvas = Canvas(tmp_path / "out.png", SIZE, picture(), **options)
    assert canvas.done == 0
    canvas.discard()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]" + bytes(5000), b'{"key": 1, "done": "x"}' + bytes(5000)])
def test_a_file_that_is_no_canvas_is_replaced(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "out.png"
    part_path(target).write_bytes(content)
    painted(target, picture(), resume=True).save()
    assert images.size(target) == SIZE


def test_a_full_disk_is_noticed_at_the_start_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with raises(StylekitError, "space", "out.png"):
        Canvas(tmp_path / "out.png", SIZE, picture())
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_the_format_cannot_hold_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out.jpg"
    target.write_bytes(b"old")
    canvas = Canvas(target, (70_000, 1), picture())
    with raises(StylekitError, "JPEG", "out.jpg"):
        canvas.save()
    canvas.discard()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_parts_of_a_decoded_file_are_those_of_the_picture(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    values[:8, :8, 3] = 0
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=ADOBE, exif=_turned())
    decoded, whole = images.decode(tmp_path / "a.png"), images.read(tmp_path / "a.png")
    assert isinstance(decoded, Decoded)
    assert decoded.size == whole.size == (30, 40)
    rows, columns = slice(3, 20), slice(5, 33)
    piece = decoded.part(rows, columns)
    assert torch.equal(piece.image, whole.image[..., rows, columns])
    assert whole.alpha is not None
    assert piece.alpha is not None
    assert torch.equal(piece.alpha, whole.alpha[..., rows, columns])
    assert piece.metadata == whole.metadata
    assert piece.stored is not None
    visible = whole.alpha > 0
    mean = (whole.image.double() * visible).sum((0, 2, 3)) / visible.sum()
    assert np.allclose(decoded.visible_color, mean.numpy(), atol=1e-6)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif
