"""Animated images keep their frames."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylekit import images
from stylekit.errors import StylekitError
from tests.facts import raises
from tests.image_files import bytes_of, moving, save


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("suffix", [".gif", ".png", ".apng", ".webp", ".tiff"])
def test_an_animation_keeps_its_frames_durations_and_loop(tmp_path: Path, suffix: str, alpha: bool) -> None:
    animation, path = moving(alpha=alpha), tmp_path / f"x{suffix}"
    images.write_frames(path, animation)
    assert images.frame_count(path) == 4
    back = images.read_frames(path)
    assert back.format == {".gif": "GIF", ".webp": "WEBP", ".tiff": "TIFF"}.get(suffix, "PNG")
    if suffix != ".tiff":
        assert (back.durations, back.loop) == (animation.durations, 3)
    for before, after in zip(animation.frames, back.frames, strict=True):
        seen, shown = images.over_white(after.image, after.alpha), images.over_white(before.image, before.alpha)
        assert (seen - shown).abs().mean() < (0.02 if suffix == ".webp" else 1e-6)
    assert torch.equal(images.read(path).image, back.frames[0].image)


@pytest.mark.parametrize(("loop", "options"), [(0, {"loop": 0}), (1, {}), (2, {"loop": 1})])
def test_the_loop_of_a_gif_counts_how_often_it_is_shown(tmp_path: Path, loop: int, options: dict[str, int]) -> None:
    frames = [images.to_pil(each.image) for each in moving(2).frames]
    path = save(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:], duration=40, **options)
    animation = images.read_frames(path)
    assert (animation.loop, animation.durations) == (loop, [40, 40])
    images.write_frames(tmp_path / "y.gif", animation)
    assert images.read_frames(tmp_path / "y.gif").loop == loop


def test_frames_of_a_still_image_and_of_a_still_format(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.new("RGB", (4, 3), (10, 20, 30)))
    assert images.frame_count(path) == 1
    animation = images.read_frames(path)
    assert [bytes_of(each.image)[0][0] for each in animation.frames] == [[10, 20, 30]]
    with raises(StylekitError, tmp_path / "x.jpg", "JPEG"):
        images.write_frames(tmp_path / "x.jpg", moving())


def test_a_jpeg_with_a_second_image_is_not_animated(tmp_path: Path) -> None:
    """Cameras add a preview or a depth map."""
    one, two = Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (8, 8))
    one.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[two])
    assert images.frame_count(tmp_path / "x.jpg") == 1
    assert len(images.read_frames(tmp_path / "x.jpg").frames) == 1


def test_the_first_image_of_an_animated_png_may_not_be_a_frame(tmp_path: Path) -> None:
    frames = [images.to_pil(each) for each in moving(3).frames]
    default = Image.new("RGB", frames[0].size, (1, 2, 3))
    path = save(tmp_path / "x.png", default, save_all=True, append_images=frames, default_image=True, duration=40)
    assert images.frame_count(path) == 3
    first = images.read_frames(path).frames[0]
    assert torch.equal(first.image, moving(3).frames[0].image)


def test_a_reduced_copy_in_a_tiff_file_is_not_a_frame(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (16, 16), (200, 10, 10)), Image.new("RGB", (4, 4)), Image.new("RGB", (16, 16))]
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    path = save(tmp_path / "x.tiff", pages[0], save_all=True, append_images=pages[1:])
    assert images.frame_count(path) == 2
    assert [each.image.shape[-1] for each in images.read_frames(path).frames] == [16, 16]


def test_a_file_that_is_damaged_behind_its_first_frame_is_a_still_image(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (200, 10 * number, 10)) for number in range(3)]
    path = save(tmp_path / "x.tiff", frames[0], save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    second = data.index(struct.pack("<HHII", 256, 4, 1, 16), data.index(struct.pack("<HHII", 256, 4, 1, 16)) + 1)
    data[second : second + 2] = b"\xf0\xff"
    path.write_bytes(data)
    assert images.frame_count(path) == 1
    assert bytes_of(images.read(path).image)[0][0] == [200, 0, 10]
