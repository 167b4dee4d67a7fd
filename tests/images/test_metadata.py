"""What is kept of a file's metadata, and what is dropped."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, PngImagePlugin

from stylekit import images
from stylekit.errors import StylekitWarning
from tests.facts import warns
from tests.image_files import LOSSLESS, XMP, camera, save, with_metadata


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("source", LOSSLESS)
def test_exif_xmp_and_resolution_go_from_every_format_to_every_format(tmp_path: Path, source: str, target: str) -> None:
    images.write(tmp_path / f"y{target}", images.read(with_metadata(tmp_path / f"x{source}")))
    with Image.open(tmp_path / f"y{target}") as written:
        exif = written.getexif()
        assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Artist]) == ("a maker", "somebody")
        assert float(exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber]) == pytest.approx(2.8)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}
        assert written.size == (40, 30)
    back = images.read(tmp_path / f"y{target}").metadata
    assert back.xmp == XMP % (b"", b"")
    assert back.dpi == pytest.approx((150, 150), abs=0.1)


@pytest.mark.parametrize("metadata", [{}, None], ids=["its own", "none"])
def test_tifffiles_note_of_the_shape_is_dropped(
    tmp_path: Path, metadata: dict[str, str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((61, 47), np.uint8), metadata=metadata)
    images.write(tmp_path / "y.tif", images.read(tmp_path / "x.tif"))
    with tifffile.TiffFile(tmp_path / "y.tif") as written:
        assert written.asarray().shape == (61, 47, 3)
        assert 270 not in written.pages.first.tags
    assert not caplog.records


@pytest.mark.parametrize("text", ["a slice", '{"place": "a lake"}', "[3]", "12"])
def test_other_descriptions_are_kept(tmp_path: Path, text: str) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((61, 47), np.uint8), metadata=None, description=text)
    images.write(tmp_path / "y.tif", images.read(tmp_path / "x.tif"))
    with Image.open(tmp_path / "y.tif") as written:
        assert written.getexif()[ExifTags.Base.ImageDescription] == text


@pytest.mark.parametrize("dpi", [(300, 300), (72, 144), None])
def test_the_resolution_of_a_bmp_file(tmp_path: Path, dpi: tuple[int, int] | None) -> None:
    images.write(tmp_path / "x.bmp", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(dpi=dpi)))
    back = images.read(tmp_path / "x.bmp").metadata.dpi
    assert back == (dpi and pytest.approx(dpi, abs=0.1))


@pytest.mark.parametrize("dpi", [(0, 0), (float("nan"), 72), (1e9, 72), "text", (72,), None])
def test_an_impossible_resolution_is_left_out(dpi: object) -> None:
    image = Image.new("RGB", (2, 2))
    image.info["dpi"] = dpi
    assert images.from_pil(image).metadata.dpi is None


@pytest.mark.parametrize("orientation", [1, 6, None])
def test_previews_are_never_kept(tmp_path: Path, orientation: int | None) -> None:
    """They would show the image as it was."""
    preview = io.BytesIO()
    Image.new("RGB", (8, 6), (1, 2, 3)).save(preview, "JPEG")
    exif = camera()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"maker" + preview.getvalue(), ExifTags.Base.FNumber: 2.8}
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    exif.endian = ">"
    data = exif.tobytes()[6:]
    second = struct.pack(">HHHIIHHIII", 2, 513, 4, 1, len(data) + 30, 514, 4, 1, len(preview.getvalue()), 0)
    count = struct.unpack(">H", data[8:10])[0]
    place = 10 + 12 * count
    data = data[:place] + struct.pack(">I", len(data)) + data[place + 4 :] + second + preview.getvalue()
    thumbnails = b"<xmp:Thumbnails><rdf:Alt><rdf:li>%s</rdf:li></rdf:Alt></xmp:Thumbnails>" % (b"/9j/" * 99)
    image = Image.new("RGB", (40, 30))
    path = save(tmp_path / "x.jpg", image, exif=b"Exif\0\0" + data, xmp=XMP % (b' tiff:Orientation="1"', thumbnails))
    with Image.open(path) as stored:
        assert stored.getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(preview.getvalue())
    picture = images.read(path)
    assert picture.metadata.exif is not None
    assert b"\xff\xd8\xff" not in picture.metadata.exif
    assert picture.metadata.xmp == XMP % (b"", b"")
    for suffix in LOSSLESS:
        images.write(tmp_path / f"y{suffix}", picture)
        written = (tmp_path / f"y{suffix}").read_bytes()
        assert written.count(b"\xff\xd8\xff") == (suffix == ".jpg")
        assert b"Thumbnails" not in written
        with Image.open(tmp_path / f"y{suffix}") as image:
            assert ExifTags.Base.Orientation not in image.getexif()
            assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == pytest.approx(2.8)


def test_an_orientation_in_xmp_is_applied_and_dropped(tmp_path: Path) -> None:
    xmp = XMP % (b' tiff:Orientation="6"', b"")
    picture = images.read(save(tmp_path / "x.jpg", Image.new("RGB", (40, 30)), xmp=xmp))
    assert picture.image.shape == (1, 3, 40, 30)
    assert picture.metadata.xmp == XMP % (b"", b"")


def test_texts_of_a_png_file_are_kept(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "mine")
    info.add_text("prompt", "x" * 5000, zip=True)
    info.add_itxt("Title2", "\u00fcber", "de", "Titel")
    info.add_text("Raw profile type exif", "preview")
    info.add_text("Thumb::Image::Width", "3")
    picture = images.read(save(tmp_path / "x.png", Image.new("RGB", (4, 3)), pnginfo=info))
    expected = {"Title": "mine", "prompt": "x" * 5000, "Title2": "\u00fcber"}
    assert dict(picture.metadata.text) == expected
    images.write(tmp_path / "y.png", picture)
    images.write(tmp_path / "z.png", picture, depth=16)
    for name in ("y.png", "z.png"):
        with Image.open(tmp_path / name) as written:
            assert written.text == expected
            assert (written.text["Title2"].lang, written.text["Title2"].tkey) == ("de", "Titel")


@pytest.mark.parametrize("suffix", [".jpg", ".gif"])
def test_the_comment_of_a_file_is_kept(tmp_path: Path, suffix: str) -> None:
    picture = images.read(save(tmp_path / f"x{suffix}", Image.new("RGB", (4, 3)), comment="made by me"))
    assert dict(picture.metadata.text) == {"Comment": "made by me"}
    for target in (".jpg", ".gif", ".png"):
        images.write(tmp_path / f"y{target}", picture)
        assert dict(images.read(tmp_path / f"y{target}").metadata.text) == {"Comment": "made by me"}


def test_what_is_too_long_for_a_jpeg_file_is_left_out_with_a_warning(tmp_path: Path) -> None:
    long = XMP % (b"", b"x" * 70_000)
    with warns(StylekitWarning, "XMP", "JPEG"):
        images.write(tmp_path / "x.jpg", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(xmp=long)))
    assert images.read(tmp_path / "x.jpg").metadata.xmp is None
    images.write(tmp_path / "x.png", images.Picture(torch.rand(1, 3, 4, 4), metadata=images.Metadata(xmp=long)))
    assert images.read(tmp_path / "x.png").metadata.xmp == long
