"""Animated images keep their frames."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from stylekit import images
from stylekit.errors import StylekitError, StylekitWarning
from stylekit.images.tiff import encode_tiff
from tests.facts import raises
from tests.image_files import bytes_of, moving, noise16, save
from tests.images.test_profiles import ADOBE, P3


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


PAGES = [
    (noise16(3), images.Metadata()),
    (noise16(4)[:5], images.Metadata(P3, xmp=b"<x/>", dpi=(300.0, 300.0))),
    ((noise16(3) // 257).astype(np.uint8), images.Metadata(ADOBE, dpi=(72.0, 96.0))),
    (noise16(3)[:4], images.Metadata(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\2\0\0\0\2a\0\0\0\0\0\0\0")),
]
"""Pages of 16 and 8 bits, of several sizes, with and without profile and metadata."""


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 1, 0]])
def test_every_page_of_a_tiff_file_keeps_its_depth_profile_and_metadata(tmp_path: Path, order: list[int]) -> None:
    pages = [PAGES[number] for number in order]
    (tmp_path / "x.tiff").write_bytes(encode_tiff(pages))
    images.write_frames(tmp_path / "y.tiff", images.read_frames(tmp_path / "x.tiff"))
    assert (tmp_path / "y.tiff").read_bytes() == (tmp_path / "x.tiff").read_bytes()
    for (values, metadata), page in zip(pages, images.read_frames(tmp_path / "y.tiff").frames, strict=True):
        (tmp_path / "one.tiff").write_bytes(encode_tiff([(values, metadata)]))
        alone = images.read(tmp_path / "one.tiff")
        assert torch.equal(page.image, alone.image)
        assert (page.depth, page.metadata) == (alone.depth, alone.metadata)
        assert (page.metadata.icc_profile, page.metadata.dpi) == (metadata.icc_profile, metadata.dpi)


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [1, 0, 0, 1]])
def test_pages_that_another_program_wrote_are_read_like_images_of_their_own(tmp_path: Path, order: list[int]) -> None:
    options = [{}, {"icc_profile": P3, "dpi": (300, 300), "description": "tagged"}]
    with AppendingTiffWriter(str(tmp_path / "x.tiff"), new=True) as file:
        for number in order:
            Image.new("RGB", (6, 4), (200, 40, 10)).save(file, "TIFF", **options[number])
            file.newFrame()
    alone = [
        images.read(save(tmp_path / "y.tiff", Image.new("RGB", (6, 4), (200, 40, 10)), **each)) for each in options
    ]
    for number, page in zip(order, images.read_frames(tmp_path / "x.tiff").frames, strict=True):
        assert page.metadata == alone[number].metadata
        assert torch.equal(page.image, alone[number].image)


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_all_frames_are_written_with_the_profile_of_the_file(tmp_path: Path, suffix: str) -> None:
    values = np.full((4, 6, 3), (200, 90, 60), np.uint8)
    pages = [(values, images.Metadata(profile)) for profile in (P3, None, ADOBE)]
    (tmp_path / "x.tiff").write_bytes(encode_tiff(pages))
    animation = replace(images.read_frames(tmp_path / "x.tiff"), durations=[40.0] * 3, loop=0)
    images.write_frames(tmp_path / f"x{suffix}", animation)
    for before, after in zip(animation.frames, images.read_frames(tmp_path / f"x{suffix}").frames, strict=True):
        assert after.metadata.icc_profile == (P3 if suffix == ".png" else None)
        assert (before.image - after.image).abs().max() < 1.5 / 255


def test_frames_of_a_png_file_are_written_with_8_bits_and_a_warning(tmp_path: Path) -> None:
    animation = replace(moving(2), frames=[replace(each, depth=16) for each in moving(2).frames])
    with pytest.warns(StylekitWarning, match=r"frames of .*x\.png are written with 8 bits"):
        images.write_frames(tmp_path / "x.png", animation)
    with raises(StylekitError, tmp_path / "y.png", "16 bits", "TIFF"):
        images.write_frames(tmp_path / "y.png", animation, depth=16)


def test_the_depth_of_pages_may_be_chosen(tmp_path: Path) -> None:
    for depth in (8, 16):
        images.write_frames(tmp_path / "x.tiff", moving(2), depth=depth)
        assert [each.depth for each in images.read_frames(tmp_path / "x.tiff").frames] == [depth] * 2


def test_the_memory_for_pages_is_that_of_each_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Image.new("L", (16, 16)), Image.new("L", (2000, 1500))
    path = save(tmp_path / "x.tiff", small, save_all=True, append_images=[large, small])
    assert images.frame_sizes(path) == [(16, 16), (1500, 2000), (16, 16)]
    monkeypatch.setattr("stylekit.images.reading.free_cpu_memory", lambda: 10**8)
    assert len(images.read_frames(path).frames) == 3
    monkeypatch.setattr("stylekit.images.reading.free_cpu_memory", lambda: 8 * 10**7)
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", lambda self: pytest.fail("decoded"))
    with raises(StylekitError, path, "up to 2000x1500", "3 frames", "MiB"):
        images.read_frames(path)
