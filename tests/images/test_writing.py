"""Images are converted to PIL images and written to files."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from stylekit import datasets, images
from stylekit.datasets import files
from stylekit.errors import StylekitError, StylekitWarning
from tests.facts import raises, warns
from tests.image_files import XMP, moving, srgb_profile, with_metadata


def test_bytes_survive_a_round_trip() -> None:
    pixels = np.arange(256 * 3, dtype=np.uint8).reshape(16, 16, 3)
    back = images.to_pil(images.to_tensor(Image.fromarray(pixels)))
    assert np.array_equal(np.asarray(back), pixels)


def test_to_pil_clamps_and_rounds_a_half_upwards() -> None:
    values = torch.tensor([-1.0, 0.49 / 255, 0.5 / 255, 2.5 / 255, 254.4 / 255, 9.0, float("inf")])
    image = images.to_pil(values.expand(3, 1, -1))
    assert [image.getpixel((i, 0))[0] for i in range(7)] == [0, 0, 1, 3, 254, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_to_pil_accepts_any_float_type(dtype: torch.dtype) -> None:
    image = images.to_pil(torch.full((1, 3, 1, 1), 0.5, dtype=dtype, requires_grad=True))
    assert image.getpixel((0, 0)) == (128, 128, 128)


def test_to_pil_refuses_tensors_that_are_not_images() -> None:
    with raises(TypeError, torch.uint8):
        images.to_pil(torch.zeros(3, 2, 2, dtype=torch.uint8))
    for shape in [(2, 2), (2, 3, 4, 4), (1, 4, 4), (1, 1, 4, 4), (3, 0, 4)]:
        with raises(ValueError, shape):
            images.to_pil(torch.zeros(shape))
    with raises(StylekitError, "NaN"):
        images.to_pil(torch.full((3, 2, 2), torch.nan))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_lossless_formats_keep_the_image(tmp_path: Path, suffix: str) -> None:
    image = torch.randint(0, 256, (1, 3, 5, 7)) / 255
    images.write(tmp_path / f"x{suffix}", image)
    assert torch.equal(images.read(tmp_path / f"x{suffix}").image, image)
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_nearly_keep_the_image(tmp_path: Path, suffix: str) -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    images.write(tmp_path / f"x{suffix}", ramp)
    assert (images.read(tmp_path / f"x{suffix}").image - ramp).abs().mean() < 0.01


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    images.write(tmp_path / "x.jpg", torch.rand(3, 16, 16))
    with Image.open(tmp_path / "x.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3
        assert image.quantization[0][0] <= 2  # quality 95


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_is_written_if_the_format_supports_it(tmp_path: Path, suffix: str) -> None:
    alpha = torch.tensor([[0.2, 1.0]])[None, None]
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.full((1, 3, 1, 2), 0.4), alpha))
    picture = images.read(tmp_path / f"x{suffix}")
    assert picture.alpha is not None
    assert torch.allclose(picture.alpha, alpha)
    assert torch.allclose(picture.image, torch.tensor(0.4), atol=0.02)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_composited_over_white_if_the_format_has_none(tmp_path: Path, suffix: str) -> None:
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.zeros(1, 3, 8, 8), torch.full((1, 1, 8, 8), 0.4)))
    picture = images.read(tmp_path / f"x{suffix}")
    assert picture.alpha is None
    assert torch.allclose(picture.image, torch.tensor(0.6), atol=0.005)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_profile_and_exif_are_written_with_the_image(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "a camera"
    metadata = images.Metadata(profile, exif.tobytes())
    images.write(tmp_path / f"x{suffix}", images.Picture(torch.rand(1, 3, 4, 4), metadata=metadata))
    assert images.read(tmp_path / f"x{suffix}").metadata.icc_profile == profile
    with Image.open(tmp_path / f"x{suffix}") as image:
        assert image.getexif()[ExifTags.Base.Model] == "a camera"


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    for name in ("x.psd", "x"):
        with raises(StylekitError, tmp_path / name, ".jpg", ".png", ".webp"):
            images.write(tmp_path / name, torch.rand(3, 2, 2))


@pytest.mark.parametrize(
    ("code", "fact"),
    [(errno.ENOSPC, "space"), (errno.EACCES, "what the system says")],
)
def test_a_failed_write_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fact: str
) -> None:
    (tmp_path / "x.png").write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(code, "what the system says")

    monkeypatch.setattr(os, "fsync", fail)
    with raises(StylekitError, tmp_path / "x.png", fact):
        images.write(tmp_path / "x.png", torch.rand(3, 2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == b"old"


def test_write_names_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere/x.png", "no such file"):
        images.write(tmp_path / "nowhere/x.png", torch.rand(3, 2, 2))
    with raises(StylekitError, tmp_path / "x.webp") as caught:
        images.write(tmp_path / "x.webp", torch.zeros(3, 1, 20000))
    assert "WEBP" in str(caught.value)
    (tmp_path / "folder.png").mkdir()
    with raises(StylekitError, tmp_path / "folder.png"):
        images.write(tmp_path / "folder.png", torch.rand(3, 2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("suffix", images.FORMATS)
def test_every_format_that_is_found_is_also_read_and_written(tmp_path: Path, suffix: str) -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    images.write(tmp_path / f"x{suffix}", images.Picture(ramp, metadata=images.Metadata(srgb_profile())))
    assert datasets.find_images(tmp_path) == [tmp_path / f"x{suffix}"]
    assert (images.read(tmp_path / f"x{suffix}").image - ramp).abs().mean() < 0.02


@pytest.mark.skipif(".avif" not in datasets.SUFFIXES, reason="this Pillow reads no AVIF")
def test_avif_keeps_an_animation_and_metadata(tmp_path: Path) -> None:
    animation = moving(alpha=True)
    images.write_frames(tmp_path / "x.avif", animation)
    assert images.frame_count(tmp_path / "x.avif") == 4
    back = images.read_frames(tmp_path / "x.avif")
    assert (back.format, back.durations) == ("AVIF", animation.durations)
    images.write(tmp_path / "y.avif", images.read(with_metadata(tmp_path / "y.jpg")))
    metadata = images.read(tmp_path / "y.avif").metadata
    assert metadata.dpi == pytest.approx((150, 150), abs=0.1)
    assert metadata.xmp == XMP % (b"", b"")


def test_heic_is_read_where_its_reader_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    picture = images.read(with_metadata(tmp_path / "x.jpg"))
    images.write(tmp_path / "x.heic", replace(picture, image=ramp))
    back = images.read(tmp_path / "x.heic")
    assert (back.image - ramp).abs().mean() < 0.02
    assert back.metadata.xmp == picture.metadata.xmp
    assert images.size(tmp_path / "x.heic") == (48, 64)


def test_heic_without_its_reader_is_counted_with_the_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tuple(suffix for suffix in datasets.SUFFIXES if suffix not in files.HEIC)
    monkeypatch.setattr(files, "SUFFIXES", plain)
    monkeypatch.setattr(files, "OTHERS", {*files.OTHERS, *files.HEIC})
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with warns(StylekitWarning, "1 .heic", "stylekit-torch[heic]"):
        assert datasets.find_images(tmp_path) == []
    monkeypatch.setattr(files, "_formats", lambda: ["PNG"])
    with raises(StylekitError, tmp_path / "x.heic", "stylekit-torch[heic]"):
        images.read(tmp_path / "x.heic")
