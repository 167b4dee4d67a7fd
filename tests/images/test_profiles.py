"""Colours are converted from and to the colour profile of a file."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.images import icc
from tests.facts import raises
from tests.image_files import bytes_of, chunk, deep_png, noise16, save, srgb_profile, with_chunks

P3 = icc.build(icc.primaries_matrix((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), icc.SRGB_CURVE)
ADOBE = icc.build(
    icc.primaries_matrix((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), icc.gamma_curve(563 / 256)
)
SWAPPED = icc.build(icc.SRGB[:, [1, 0, 2]], icc.SRGB_CURVE)
PROFILES = {"P3": P3, "AdobeRGB": ADOBE, "swapped": SWAPPED}


def grey_profile(gamma: float) -> bytes:
    """The RGB profile of that gamma, made grey."""
    profile = icc.build(icc.SRGB, icc.gamma_curve(gamma))
    return profile[:16] + b"GRAY" + profile[20:].replace(b"rTRC", b"kTRC")


def converted(image: Image.Image, source: bytes, target: bytes) -> Image.Image:
    """By lcms with 8 bits, as a colour-managed program does."""
    one, two = (ImageCms.ImageCmsProfile(io.BytesIO(profile)) for profile in (source, target))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(one, two, "RGB", "RGB", intent).apply(image)


def muted(size: int = 48) -> Image.Image:
    """Colours that all of the profiles contain."""
    values = np.random.default_rng(0).integers(70, 186, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


def differences(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max() * 255)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("name", PROFILES)
def test_colours_of_a_profile_are_read_as_srgb(tmp_path: Path, name: str, depth: int) -> None:
    profile, image = PROFILES[name], muted()
    encoded = converted(image, srgb_profile(), profile)
    if depth == 8:
        path = save(tmp_path / "x.png", encoded, icc_profile=profile)
    else:
        path = tmp_path / "x.tiff"
        metadata = images.Metadata(profile)
        stored = np.asarray(encoded).astype(np.uint16) * 257
        images.write(path, images.Picture(images.to_tensor(image), None, 16, metadata, stored))
    picture = images.read(path)
    assert (picture.depth, picture.metadata.icc_profile) == (depth, profile)
    assert differences(picture.image, images.to_tensor(image)) <= 2.01  # a level is lost by the encoding alone


@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_written_in_the_profile_of_the_picture(tmp_path: Path, name: str) -> None:
    """What a colour-managed program shows is the same whatever the profile."""
    profile, image = PROFILES[name], images.to_tensor(muted())
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"x{suffix}", images.Picture(image, metadata=images.Metadata(profile)))
        with Image.open(tmp_path / f"x{suffix}") as written:
            assert written.info["icc_profile"] == profile
            shown = converted(written.convert("RGB"), profile, srgb_profile())
        assert differences(images.to_tensor(shown), image) <= 2
        images.write(tmp_path / f"y{suffix}", images.Picture(image, metadata=images.Metadata(profile)), depth=16)
        assert differences(images.read(tmp_path / f"y{suffix}").image, image) <= 0.02


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("name", PROFILES)
def test_pixels_that_do_not_change_keep_a_wide_gamut_exactly(tmp_path: Path, name: str, depth: int) -> None:
    values = noise16(3) if depth == 16 else (noise16(3) >> 8) * 257
    plain = deep_png(tmp_path / "x.png", values) if depth == 16 else None
    if plain:
        data = plain.read_bytes()
        plain.write_bytes(data[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILES[name])) + data[33:])
    else:
        plain = save(tmp_path / "x.png", Image.fromarray((values // 257).astype(np.uint8)), icc_profile=PROFILES[name])
    picture = images.read(plain)
    image = picture.image.clone()
    image[..., 4, :] = 0.5
    for suffix in (".png", ".tiff"):
        images.write(tmp_path / f"y{suffix}", replace(picture, image=image))
        stored = images.read(tmp_path / f"y{suffix}").stored
        assert stored is not None
        stored = stored.astype(np.uint16) * (257 if depth == 8 else 1)
        assert np.array_equal(stored[:4], values[:4])
        assert np.array_equal(stored[5:], values[5:])
        assert not np.array_equal(stored[4], values[4])


@pytest.mark.parametrize("deep", [False, True])
def test_a_grey_profile_is_converted_and_becomes_one_of_rgb(tmp_path: Path, deep: bool) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stored = Image.fromarray(values.astype(np.uint16) * 257 if deep else values)
    picture = images.read(save(tmp_path / "x.png", stored, icc_profile=grey_profile(1.8)))
    linear = (values / 255) ** (round(1.8 * 256) / 256)
    wanted = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(picture.image[0, 1].numpy() - wanted).max() * 255 <= (0.1 if deep else 1)
    images.write(tmp_path / "y.png", picture)
    back = images.read(tmp_path / "y.png")
    assert torch.equal(back.image, picture.image)
    assert back.stored is not None
    assert np.array_equal(back.stored[..., 0] // (257 if deep else 1), values)


def test_a_profile_that_is_srgb_changes_nothing(tmp_path: Path) -> None:
    for profile in (srgb_profile(), icc.build(icc.SRGB, icc.SRGB_CURVE)):
        path = save(tmp_path / "x.png", muted(), icc_profile=profile)
        picture = images.read(path)
        assert picture.metadata.icc_profile == profile
        assert picture.stored is None
        assert torch.equal(picture.image, images.to_tensor(muted()))


@pytest.mark.parametrize(
    "profile", [b"no profile" * 20, P3[:200], P3[:128] + bytes(300), b"", P3[:16] + b"CMYK" + P3[20:]]
)
def test_a_damaged_or_unfitting_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    picture = images.read(save(tmp_path / "x.png", muted(), icc_profile=profile))
    assert picture.metadata.icc_profile is None
    assert torch.equal(picture.image, images.to_tensor(muted()))


def test_a_long_profile_of_a_png_file_is_used(tmp_path: Path) -> None:
    long = P3 + bytes(2**21)
    long = struct.pack(">I", len(long)) + long[4:]
    picture = images.read(save(tmp_path / "x.png", muted(), icc_profile=long))
    assert picture.metadata.icc_profile == long
    assert picture.stored is not None


@pytest.mark.parametrize(
    ("chunks", "exponent"),
    [
        ([(b"gAMA", struct.pack(">I", 100000))], 1.0),
        ([(b"gAMA", struct.pack(">I", 55556))], 1.8),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")], None),
        ([(b"gAMA", struct.pack(">I", 0))], None),
        ([(b"cHRM", bytes(32))], None),
    ],
    ids=["linear", "1.8", "the usual one", "sRGB", "zero", "impossible"],
)
def test_the_gamma_of_a_png_file_counts(
    tmp_path: Path, chunks: list[tuple[bytes, bytes]], exponent: float | None
) -> None:
    path = with_chunks(tmp_path / "x.png", *(chunk(*each) for each in chunks))
    picture = images.read(path)
    linear = np.array([10, 20, 30]) / 255
    wanted = linear if exponent is None else icc.encode(linear**exponent)
    assert np.abs(picture.image[0, :, 0, 0].numpy() - wanted).max() * 255 <= 1.5
    images.write(tmp_path / "y.png", picture)
    back = images.read(tmp_path / "y.png")
    assert torch.equal(back.image, picture.image)
    assert bytes_of(images.to_tensor(Image.open(tmp_path / "y.png")))[0][0] == [10, 20, 30]


def test_the_primaries_of_a_png_file_count(tmp_path: Path) -> None:
    points = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06]
    path = with_chunks(tmp_path / "x.png", chunk(b"cHRM", struct.pack(">8I", *(round(1e5 * each) for each in points))))
    by_profile = images.read(save(tmp_path / "y.png", Image.new("RGB", (4, 3), (10, 20, 30)), icc_profile=P3))
    assert differences(images.read(path).image, by_profile.image) <= 1


def test_lab_is_converted_alike_from_a_file_and_from_pil(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(muted(), srgb, lab, outputMode="LAB")
    picture = images.read(save(tmp_path / "x.tiff", image))
    assert (picture.image - images.to_tensor(muted())).abs().mean() * 255 < 1.5  # LAB with 8 bits is coarse
    assert torch.equal(images.from_pil(image).image, picture.image)
    assert picture.metadata.icc_profile is None


def test_pil_images_are_converted_from_and_to_their_profile() -> None:
    image = muted()
    image.info["icc_profile"] = P3
    picture = images.from_pil(image)
    assert not torch.equal(picture.image, images.to_tensor(image))
    back = images.to_pil(picture)
    assert back.info["icc_profile"] == P3
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_a_closed_pil_image_is_one_sentence(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", muted())
    image = Image.open(path)
    image.close()
    with raises(StylekitError, "PIL image", "closed"):
        images.from_pil(image)


MODES = "1 L LA La P PA RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV I F I;16"


@pytest.mark.parametrize("mode", MODES.split())
def test_every_mode_of_pil_is_read(mode: str) -> None:
    image = Image.new(mode, (4, 3))
    picture = images.from_pil(image)
    assert picture.image.shape == (1, 3, 3, 4)
    assert 0 <= float(picture.image.min()) <= float(picture.image.max()) <= 1
