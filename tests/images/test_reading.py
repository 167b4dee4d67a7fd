"""Orientation, sizes and damaged files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stylekit import datasets, images
from stylekit.errors import StylekitError
from tests.facts import assert_mentions, raises
from tests.image_files import bytes_of, grey, save

REAL = Path(__file__).parents[2] / "../shared/data"


UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}
"""How the stored image [[1, 2, 3], [4, 5, 6]] must be shown, by EXIF orientation."""


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
@pytest.mark.parametrize(("orientation", "expected"), UPRIGHT.items())
def test_every_orientation(tmp_path: Path, orientation: int, expected: list[list[int]], suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = grey([[40, 80, 120], [160, 200, 240]]).convert("RGB")
    lossless = {"lossless": True} if suffix == ".webp" else {}
    picture = images.read(save(tmp_path / f"x{suffix}", stored, exif=exif, **lossless))
    seen = (picture.image[0, 0] * 255 / 40).round().int()
    assert seen.tolist() == expected
    assert picture.metadata.exif is None


def test_exif_is_kept_without_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Model] = "a camera"
    picture = images.read(save(tmp_path / "x.jpg", Image.new("RGB", (4, 2)), exif=exif))
    assert picture.image.shape == (1, 3, 4, 2)
    assert picture.metadata.exif is not None
    images.write(tmp_path / "y.jpg", picture)
    with Image.open(tmp_path / "y.jpg") as written:
        assert dict(written.getexif()) == {ExifTags.Base.Model: "a camera"}
        assert written.size == (2, 4)


def test_an_image_with_damaged_exif_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.new("RGB", (4, 2), (9, 9, 9)), exif=b"Exif\0\0not a TIFF header")
    picture = images.read(path)
    assert picture.image.shape == (1, 3, 2, 4)
    assert picture.metadata.exif is None or picture.metadata.exif.startswith(b"Exif")


def test_least_reads_a_jpeg_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.new("RGB", (1600, 800), (50, 100, 150)))
    assert images.read(path).image.shape == (1, 3, 800, 1600)
    small = images.read(path, least=101).image
    assert small.shape == (1, 3, 200, 400)
    assert bytes_of(small)[0][0] == pytest.approx([50, 100, 150], abs=2)
    assert images.read(path, least=5000).image.shape == (1, 3, 800, 1600)


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (1, 700)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    for suffix in (".png", ".jpg", ".webp", ".tiff", ".bmp"):
        picture = images.read(save(tmp_path / f"x{suffix}", Image.new("RGB", size, (255, 255, 255))))
        assert picture.image.shape == (1, 3, size[1], size[0])
        assert picture.image.min() > 0.98


def test_large_images_are_read_without_a_warning_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    images.read(save(tmp_path / "fits.png", Image.new("L", (10, 10))))
    path = save(tmp_path / "large.png", Image.new("L", (11, 10)))
    with raises(StylekitError, path, 100, "pixels"):
        images.read(path)


def test_an_unreadable_file_is_named_with_the_reason(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "JPEG")
    (tmp_path / "truncated.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    for name, reason in {
        "truncated.jpg": "truncated",
        "text.jpg": "damaged",
        "empty.png": "empty",
        "folder.png": "a folder",
        "gone.png": "no such file",
        "missing.png": "no such file",
    }.items():
        with raises(StylekitError, tmp_path / name) as caught:
            images.read(tmp_path / name)
        assert_mentions(str(caught.value).replace(str(tmp_path / name), ""), reason)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real images is not available")
def test_real_images() -> None:
    files = datasets.find_images(REAL / "content") + datasets.find_images(REAL / "style")
    assert len(files) > 50
    for file in files[::3]:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        picture = images.read(file)
        assert np.array_equal((picture.image[0] * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert images.read(file, least=64).image.shape[-1] >= 64


def test_image_files_of_a_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "w/1.png")
    monkeypatch.chdir(tmp_path)
    assert len(images.ImageFiles("w")) == 1


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_a_header_that_claims_more_pixels_than_the_file_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name.lower()}"
    Image.new("RGB", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    if name == "PNG":
        data[16:24] = struct.pack(">II", 10_000, 10_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", 10_000, 10_000)
    path.write_bytes(data)
    with raises(StylekitError, path, "10000x10000", f"{len(data):,} bytes"):
        images.read(path)


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_large_flat_images_are_no_bombs(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / f"a.{name.lower()}"
    Image.new(mode, (4000, 3000)).save(path, optimize=True, **({"progressive": True} if name == "JPEG" else {}))
    assert images.size(path) == (3000, 4000)
