"""Pictures: each is read, stylised in Python, and stylised by the program in its folder."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin

import stylekit
from stylekit import images
from tests.fuzz import encoders
from tests.fuzz.cases import Case, Kind
from tests.fuzz.damage import damaged, spliced
from tests.fuzz.encoders import Pixels, png, tiff
from tests.fuzz.judge import CLEAR, RIGHT, Bad, ClearError
from tests.image_files import chunk, srgb_profile

kind = Kind("pictures", 1000)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>a-name-to-keep</dc:creator></x:xmpmeta>'
LARGE = 2**22
"""Pixels of a picture that is not given in Python, where whoever gives it has decoded it already."""
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


# What is done with a picture


@functools.cache
def loaded(path: Path) -> stylekit.inference.model.Model:
    return stylekit.load(path, "cpu")


def three_ways(case: Case, path: Path, pixels: Pixels | None = None, kept: Mapping[str, Any] | None = None) -> None:
    """Reads a picture, stylises it in Python, and stylises it with the program.

    Args:
        case: the case
        path: the picture
        pixels: its colours ``(H, W, 3)``, if they are known; then it must be read right
        kept: the metadata that its output must have
    """
    case.mentions = (path.name,)
    case.keep(path)
    case.every(
        lambda: read(case, path, pixels),
        lambda: stylize(case, path),
        lambda: command(case, path, kept or {}),
    )


def read(case: Case, path: Path, pixels: Pixels | None) -> None:
    picture = case.measured(images.read, path, size=path.stat().st_size)
    image = picture.image
    require_image(image)
    sizes = {pixels.shape[1::-1]} if pixels is not None else upright_sizes(path)
    if tuple(image.shape[:1:-1]) not in sizes:
        raise Bad(f"the size of {path.name} is {sizes}, but it was read as {tuple(image.shape)}")
    if pixels is not None:
        full = 255 if pixels.dtype == np.uint8 else 65535
        expected = torch.from_numpy(pixels.astype(np.float32) / full).permute(2, 0, 1)[None]
        difference = float((image - expected).abs().max())
        if difference > 0.5 / full:
            raise Bad(f"the pixels of {path.name} were read wrongly, by up to {difference * 255:.2f} of 255")
    parts = case.measured(lambda: images.decode(path).part(), size=path.stat().st_size)
    if not torch.equal(parts.image, image):
        raise Bad(f"the pixels of {path.name} are others when they are read part by part")


def stylize(case: Case, path: Path) -> None:
    """Stylises the picture in Python. What Pillow cannot open cannot be given."""
    try:
        with opened(path) as file:
            if file.width * file.height > LARGE:
                raise ValueError
            file.load()
            picture = file.copy()
    except Exception:
        raise ClearError("Pillow cannot open it, or only as a large image") from None
    output = case.measured(loaded(case.material.cyclegan).stylize, picture, size=path.stat().st_size)
    if output.size not in (picture.size, picture.size[::-1]):
        raise Bad(f"the output has the size {output.size}, not {picture.size}")


def command(case: Case, path: Path, kept: Mapping[str, Any]) -> None:
    """Stylises the picture with the program; without change, its pixels must stay."""
    strength = case.random.choice((0, 0, 1, 0.5))
    target = case.folder / "out" / path.with_suffix(path.suffix or ".png").name
    arguments = ("--model", case.material.cyclegan, "--strength", strength, "--device", "cpu")
    case.program("stylize", path, "-o", target.parent, *arguments, size=path.stat().st_size)
    if [file.name for file in target.parent.iterdir()] != [target.name]:
        raise Bad(f"written: {[file.name for file in target.parent.iterdir()]}, not {target.name}")
    with opened(path) as before, Image.open(target) as after:
        after.load()
        require_metadata(after, kept)
        if after.size not in upright_sizes(path):
            raise Bad(f"the output has the size {after.size}, not one of {upright_sizes(path)}")
        comparable = before.mode in ("RGB", "L", "RGBA", "LA", "P", "1") and after.format in ("PNG", "TIFF")
        unchanged = strength == 0 and comparable and "exif" not in before.info
        if unchanged and not np.array_equal(visible(before), visible(after)):
            raise Bad(f"strength 0 changed the pixels of {path.name}")


def upright_sizes(path: Path) -> set[tuple[int, int]]:
    """The size of a picture, upright; both ways round if its EXIF metadata is damaged."""
    with opened(path) as file:
        try:
            return {ImageOps.exif_transpose(file).size}
        except Exception:  # Pillow raises errors of any type here
            return {file.size, file.size[::-1]}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture as Pillow opens it, with texts of any length."""
    before = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**28
    try:
        with Image.open(path) as file:
            yield file
    finally:
        PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = before


def visible(image: Image.Image) -> Pixels:
    """The colours of an image; those of transparent pixels do not count."""
    pixels = np.array(image.convert("RGBA"))
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def require_image(image: torch.Tensor) -> None:
    """Checks that a tensor is an image by our own rules.

    Raises:
        Bad: it is not.
    """
    if image.dtype != torch.float32 or image.ndim != 4 or image.shape[:2] != (1, 3):
        raise Bad(f"not an image: {image.dtype} {tuple(image.shape)}")
    if not bool(image.isfinite().all()) or float(image.min()) < 0 or float(image.max()) > 1:
        raise Bad("an image has values outside of [0, 1]")


def require_metadata(after: Image.Image, kept: Mapping[str, Any]) -> None:
    """Checks that an output carries the metadata.

    Raises:
        Bad: some is lost.
    """
    info, tags = after.info, after.getexif()
    if "dpi" in kept and not np.allclose([float(side) for side in info.get("dpi", (0, 0))], kept["dpi"], atol=0.6):
        raise Bad(f"the DPI {kept['dpi']} became {info.get('dpi')} in {after.format}")
    if "make" in kept and str(tags.get(271, "")).strip("\0") != kept["make"]:
        raise Bad(f"the EXIF tag Make is lost in {after.format}: {dict(tags)}")
    if tags.get(274, 1) != 1:
        raise Bad("the output has an orientation, but is upright already")
    if "thumbnail" in kept and (tags.get_ifd(1) or kept["thumbnail"] in (info.get("exif") or b"")):
        raise Bad("the thumbnail of the picture that was not stylised is in the output")
    if "xmp" in kept and kept["xmp"] not in (info.get("xmp") or info.get("XML:com.adobe.xmp", "").encode() or b""):
        raise Bad(f"the XMP metadata is lost in {after.format}")
    if "icc" in kept and info.get("icc_profile") != kept["icc"]:
        raise Bad(f"the colour profile is lost in {after.format}")
    for key, value in kept.get("text", {}).items():
        if info.get(key) != value:
            raise Bad(f"the PNG text {key!r} is lost")


# Making pictures


def some_pixels(case: Case, channels: int = 3, dtype: type = np.uint8) -> Pixels:
    """Pixels of a smooth image with noise; sides from 1 to 90."""
    height, width = (case.random.choice((1, 2, 17, 32, 63, 90)) for _ in range(2))
    top = np.iinfo(dtype).max
    waves = np.sin(np.add.outer(np.arange(height), np.arange(width))[..., None] / (3 + np.arange(channels)))
    noise = case.numbers.uniform(-0.2, 0.2, (height, width, channels))
    return ((waves * 0.3 + 0.5 + noise).clip(0, 1) * top).round().astype(dtype)


def some_image(case: Case, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(some_pixels(case)).convert(mode)


def saved(case: Case, image: Image.Image, name: str, **options: Any) -> Path:
    path = case.folder / f"picture{SUFFIXES[name]}"
    image.save(path, name, **options)
    return path


def written(case: Case, data: bytes, name: str = "picture.png") -> Path:
    path = case.folder / name
    path.write_bytes(data)
    return path


# Whole pictures of every kind: these must work


@kind.often(2)
def eight_bits_of_any_mode(case: Case) -> None:
    case.expected = RIGHT
    name, modes = case.random.choice(
        (
            ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
            ("JPEG", ("L", "RGB", "CMYK")),
            ("WEBP", ("RGB", "RGBA", "L")),
            ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F", "I")),
            ("BMP", ("1", "L", "P", "RGB", "RGBA")),
        )
    )
    mode = case.random.choice(modes)
    image = some_image(case, "L" if mode[0] in "IF" else "RGB" if mode == "P" else mode.replace("RGBA", "RGB"))
    if mode.startswith("I"):
        values = np.array(image).astype(np.uint16) * 257
        image = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values.astype(np.int32))
    elif mode == "F":
        image = Image.fromarray(np.array(image, np.float32) / 255)
    elif mode in ("P", "RGBA"):
        image = image.quantize(16) if mode == "P" else image.convert("RGBA")
    three_ways(case, saved(case, image, name))


@kind.often(2)
def known_pixels(case: Case) -> None:
    case.expected = RIGHT
    pixels = some_pixels(case)
    name = case.random.choice(("PNG", "TIFF", "BMP", "WEBP"))
    options = {
        "WEBP": {"lossless": True},
        "TIFF": {"compression": case.random.choice(("raw", "tiff_lzw", "tiff_adobe_deflate"))},
    }
    three_ways(case, saved(case, Image.fromarray(pixels), name, **options.get(name, {})), pixels)


@kind.often(3)
def sixteen_bits(case: Case) -> None:
    """Read at 16 bits, and written at 16 bits: bit by bit the same without change."""
    case.expected = RIGHT
    form = case.random.choice(("png", "tif"))
    channels = case.random.choice((1, 2, 3, 4) if form == "png" else (1, 3, 4))
    pixels = some_pixels(case, channels, np.uint16)
    if channels in (2, 4):
        pixels[..., -1] |= 1  # nothing is wholly transparent, where colours do not count
    data = png(pixels) if form == "png" else tiff(pixels, case.random.choice("<>"))
    path, target = written(case, data, f"picture.{form}"), case.folder / "out" / f"picture.{form}"
    colors = pixels[..., :1].repeat(3, 2) if channels < 3 else pixels[..., :3]
    case.mentions = (path.name,)
    case.keep(path)
    case.measured(read, case, path, colors)
    case.program("stylize", path, "-o", target, "--model", case.material.cyclegan, "--strength", 0, "--device", "cpu")
    before, after = images.read(path), images.read(target)
    if not torch.equal(before.image, after.image):
        raise Bad(f"{channels} channels of 16 bits in {form} changed at strength 0")
    if form == "png" and target.read_bytes()[24] != 16:
        raise Bad(f"{channels} channels of 16 bits were written with {target.read_bytes()[24]} bits")


@kind
def transparent_palette(case: Case) -> None:
    case.expected = RIGHT
    image = some_image(case).quantize(case.random.choice((2, 16, 256)))
    transparency = case.random.choice((0, 1, bytes(case.random.randbytes(16))))
    three_ways(case, saved(case, image, "PNG", transparency=transparency))


@kind
def transparent_colour(case: Case) -> None:
    case.expected = RIGHT
    image = some_image(case, case.random.choice(("RGB", "L")))
    value = image.getpixel((0, 0))
    three_ways(case, saved(case, image, "PNG", transparency=value))


@kind
def lab(case: Case) -> None:
    """A TIFF in LAB works, or is refused, both ways."""
    path = saved(case, some_image(case).convert("LAB"), "TIFF")
    case.mentions = (path.name, "LAB")
    three_ways(case, path)


@kind
def progressive_or_odd_jpeg(case: Case) -> None:
    case.expected = RIGHT
    options = case.random.choice(
        (
            {"progressive": True},
            {"subsampling": "4:2:0"},
            {"subsampling": "4:1:1"},
            {"restart_marker_blocks": 1},
            {"quality": 1},
        )
    )
    three_ways(case, saved(case, some_image(case, case.random.choice(("RGB", "L"))), "JPEG", **options))


@kind
def extreme_sides(case: Case) -> None:
    case.expected = RIGHT
    sides = case.random.choice(((1, 1), (1, 3000), (3000, 1), (2, 2), (1, 2), (777, 3)))
    image = Image.fromarray(case.numbers.integers(0, 256, (*sides, 3), np.uint8))
    three_ways(case, saved(case, image, case.random.choice(("PNG", "JPEG", "BMP", "TIFF"))))


@kind.often(2)
def animation(case: Case) -> None:
    """GIF, WebP, APNG and TIFF with several frames: every frame is kept where the format is one that is written."""
    frames = [some_image(case)]
    frames += [Image.fromarray(np.roll(np.array(frames[0]), shift, 0)) for shift in range(1, case.random.randint(2, 4))]
    name, suffix = case.random.choice((("GIF", ".gif"), ("WEBP", ".webp"), ("PNG", ".png"), ("TIFF", ".tif")))
    timing = {} if name == "TIFF" else {"duration": 70, "loop": 0}
    path = written(case, encoders.animated(frames, name, **timing), f"moving{suffix}")
    case.mentions = (path.name,)
    case.keep(path)
    count = Image.open(path).n_frames
    case.measured(images.read, path)
    case.program("stylize", path, "-o", case.folder / "out", "--model", case.material.cyclegan, "--device", "cpu")
    [target] = (case.folder / "out").iterdir()
    if target.suffix == path.suffix and (after := getattr(Image.open(target), "n_frames", 1)) != count:
        raise Bad(f"{name}: {count} frames became {after}")


# Metadata


@kind.often(3)
def resolution(case: Case) -> None:
    case.expected = RIGHT
    name, dpi = case.random.choice(("PNG", "JPEG", "TIFF", "BMP")), case.random.choice((72, 96, 150, 300, 1200))
    three_ways(case, saved(case, some_image(case), name, dpi=(dpi, dpi)), None, {"dpi": (dpi, dpi)})


@kind.often(3)
def camera_tags(case: Case) -> None:
    """EXIF in every format; the orientation is applied, the thumbnail dropped."""
    case.expected = RIGHT
    name = case.random.choice(("JPEG", "PNG", "WEBP", "TIFF"))
    image, turn = some_image(case), case.random.randint(1, 8)
    if name == "TIFF":
        tags = Image.Exif()
        tags[271] = "Camera"
        three_ways(case, saved(case, image, name, exif=tags), None, {"make": "Camera"})
        return
    thumbnail = encoders.jpeg_of((255, 0, 0))
    data = encoders.exif(turn, thumbnail=case.random.choice((b"", thumbnail)))
    three_ways(case, saved(case, image, name, exif=data), None, {"make": "Camera", "thumbnail": thumbnail})


@kind.often(2)
def damaged_camera_tags(case: Case) -> None:
    """Damaged EXIF is no reason to refuse the pixels."""
    case.expected = RIGHT
    data = b"Exif\0\0" + damaged(encoders.exif(case.random.randint(0, 9))[6:], case.random)[:60_000]
    image = some_image(case)
    path = saved(case, image, case.random.choice(("JPEG", "WEBP", "PNG")), exif=data)
    case.keep(path)
    case.mentions = (path.name,)
    case.every(lambda: case.measured(images.read, path), lambda: stylize(case, path))
    case.program("stylize", path, "-o", case.folder / "out", "--model", case.material.cyclegan, "--device", "cpu")


@kind.often(2)
def xmp(case: Case) -> None:
    case.expected = RIGHT
    name = case.random.choice(("JPEG", "PNG", "WEBP", "TIFF"))
    image = some_image(case)
    if name == "PNG":
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
        path = written(case, png(np.array(image), chunk(b"iTXt", text)))
    elif name == "TIFF":
        tags = Image.Exif()
        tags[700] = XMP
        path = saved(case, image, name, exif=tags)
    else:
        path = saved(case, image, name, xmp=XMP)
    three_ways(case, path, None, {"xmp": b"a-name-to-keep"})


@kind.often(2)
def png_text(case: Case) -> None:
    case.expected = RIGHT
    value = "words " * case.random.choice((1, 10, 1000))
    form, content = case.random.choice(
        (
            (b"tEXt", b"Comment\0" + value.encode()),
            (b"zTXt", b"Comment\0\0" + zlib.compress(value.encode())),
            (b"iTXt", b"Comment\0\1\0de\0\0" + zlib.compress(value.encode())),
        )
    )
    place = case.random.choice(("before", "after"))
    path = written(case, png(some_pixels(case), **{place: chunk(form, content)}))
    three_ways(case, path, None, {"text": {"Comment": value}})


@kind
def long_png_text(case: Case) -> None:
    """Two megabytes of text, as some editors write; and a bomb of text, which may be refused."""
    value = case.random.choice((b"a" * 2_400_000, b"b" * 200_000_000))
    path = written(case, png(some_pixels(case), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(value))))
    case.expected = RIGHT if len(value) < 10_000_000 else ""
    three_ways(case, path)


@kind.often(3)
def colour_profile(case: Case) -> None:
    """Profiles of all kinds; those of RGB stay with their pixels."""
    case.expected = RIGHT
    name = case.random.choice(("PNG", "JPEG", "TIFF", "WEBP"))
    mode, data = case.random.choice(
        (
            ("RGB", srgb_profile()),
            ("RGB", encoders.swapped_profile()),
            ("L", encoders.profile()),
            ("RGB", encoders.profile()),
            ("RGB", encoders.profile(b"CMYK")),
            ("RGB", encoders.profile(b"Lab ")),
            ("RGB", encoders.profile(b"RGB ")),
            ("RGB", case.random.randbytes(3000)),
            ("RGB", encoders.swapped_profile()[: case.random.randrange(1, 600)]),
            ("RGB", damaged(srgb_profile(), case.random)),
        )
    )
    whole = data in (srgb_profile(), encoders.swapped_profile())
    path = saved(case, some_image(case, mode), name, icc_profile=data)
    three_ways(case, path, None, {"icc": data} if whole and name != "WEBP" else {})


@kind
def gamma(case: Case) -> None:
    case.expected = RIGHT
    value = case.random.choice((45455, 100000, 0, 1, 0xFFFFFFFF))
    three_ways(case, written(case, png(some_pixels(case), chunk(b"gAMA", struct.pack(">I", value)))))


# Damage


def encoded(case: Case) -> tuple[bytes, str]:
    """An image in a format that is read, and its suffix."""
    image = some_image(case, case.random.choice(("RGB", "L", "RGBA", "P")))
    name = case.random.choice(tuple(SUFFIXES))
    if name == "JPEG":
        image = image.convert("RGB")
    file = io.BytesIO()
    options: dict[str, Any] = {"exif": encoders.exif()} if name in ("JPEG", "WEBP") else {}
    image.save(file, name, **options)
    return file.getvalue(), SUFFIXES[name]


@kind.often(14)
def damaged_file(case: Case) -> None:
    case.consistent = False
    data, suffix = encoded(case)
    three_ways(case, written(case, damaged(data, case.random), f"damaged{suffix}"))


@kind.often(3)
def spliced_files(case: Case) -> None:
    case.consistent = False
    (first, suffix), (second, _) = encoded(case), encoded(case)
    three_ways(case, written(case, spliced(first, second, case.random), f"spliced{suffix}"))


@kind.often(3)
def damaged_behind_a_valid_checksum(case: Case) -> None:
    """A PNG whose chunks are whole, but whose content is not."""
    case.consistent = False
    pixels = some_pixels(case, case.random.choice((1, 2, 3, 4)))
    data = bytearray(png(pixels))
    for _ in range(case.random.randint(1, 3)):
        data[case.random.randrange(16, 29)] = case.random.randrange(256)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    three_ways(case, written(case, bytes(data)))


@kind.often(2)
def damaged_tiff_tags(case: Case) -> None:
    case.consistent = False
    tag = case.random.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 338))
    value = case.random.choice((0, 1, 2, 3, 7, 16, 65535, 2**31, 2**32 - 1, case.random.randrange(2**32)))
    data = tiff(some_pixels(case, case.random.choice((1, 3, 4))), case.random.choice("<>"), **{f"t{tag}": value})
    three_ways(case, written(case, data, "tags.tif"))


@kind
def empty_or_tiny(case: Case) -> None:
    case.expected = CLEAR
    data = case.random.choice((b"", b"\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"BM"))
    three_ways(case, written(case, data, f"tiny{case.random.choice(tuple(SUFFIXES.values()))}"))


@kind.often(3)
def another_file(case: Case) -> None:
    """Text, code, documents and archives with the suffix of an image: refused, and nothing is run."""
    case.expected = CLEAR
    script = f"import pathlib; pathlib.Path({str(case.marker)!r}).touch()".encode()
    eps = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n"
        + f"({case.marker}) (w) file closefile showpage\n%%EOF\n".encode()
    )
    data = case.random.choice(
        (
            eps,
            b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
            b"GIMP xcf v003\0" + bytes(100),
            b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 10, 10, 8, 3) + bytes(400),
            script,
            b"PK\3\4" + bytes(60),
            b"\x1f\x8b\x08" + bytes(30),
            b"P6 10 10 255\n" + bytes(10),
            b"\x7fELF" + bytes(200),
            b"#!/bin/sh\ntouch hostile-code-was-here\n",
            b"\x00\x00\x01\x00\x01\x00" + bytes(100),
            b"qoif" + struct.pack(">II", 10, 10) + bytes(20),
            struct.pack("<IHHHHH", 128, 0xAF11, 3, 10, 10, 8) + bytes(120),
        )
    )
    three_ways(case, written(case, data, f"other{case.random.choice(tuple(SUFFIXES.values()))}"))


@kind.often(2)
def bomb_by_its_header(case: Case) -> None:
    """A few bytes that claim to be gigabytes of pixels."""
    case.expected = CLEAR
    sides = case.random.choice(((65535, 65535), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 65535)))
    form = case.random.choice(("png", "bmp", "tif", "jpg", "gif", "webp"))
    if form == "png":
        data = png(some_pixels(case), size=sides)
    elif form == "bmp":
        data = b"BM" + struct.pack("<IIIIiiHHIIIIII", 100, 0, 54, 40, *sides, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(50)
    elif form == "tif":
        data = tiff(some_pixels(case), t256=sides[0], t257=sides[1])
    elif form == "jpg":
        data = bytearray(encoders.jpeg_of((1, 2, 3)))
        start = data.index(b"\xff\xc0")
        data[start + 5 : start + 9] = struct.pack(">HH", *(min(side, 65535) for side in sides))
        data = bytes(data)
    else:
        image = some_image(case)
        data = bytearray(encoders.animated([image], "GIF"))
        data[6:10] = struct.pack("<HH", *(min(side, 65535) for side in sides))
        data, form = bytes(data), "png"
    three_ways(case, written(case, data, f"bomb.{form}"))


@kind
def bomb_of_pixels(case: Case) -> None:
    """45 KB of a valid file that are gigabytes of pixels: stylising it is refused before it is decoded."""
    case.expected = CLEAR
    path = written(case, encoders.flat_png(13_000, 13_000), "large.png")
    case.mentions = (path.name,)
    case.keep(path)
    arguments = ("--model", "stylekit-any", "--style", case.material.painting, "--device", "cpu")
    case.program("stylize", path, "-o", case.folder / "out", *arguments, size=path.stat().st_size)


# Names and places


def folder_of(case: Case) -> tuple[Path, Path]:
    """A folder with a good picture, whatever else is in there, and the path of that picture's output."""
    folder = case.folder / "photos"
    folder.mkdir()
    some_image(case).save(folder / "good.png")
    return folder, case.folder / "out" / "good.png"


def stylize_folder(case: Case, folder: Path, output: Path) -> None:
    """The good picture is stylised, whatever happens to others."""
    try:
        case.program("stylize", folder, "-o", output.parent, "--model", case.material.cyclegan, "--device", "cpu")
    finally:
        if not output.exists():
            raise Bad("one thing in the folder stops the good pictures too")


@kind.often(4)
def odd_name(case: Case) -> None:
    """Every name that the file system allows: short, long, of any bytes."""
    case.expected = RIGHT
    name: str | bytes = case.random.choice(
        (
            "a" * 251 + ".png",
            "ü" * 125 + ".png",
            "a" * 240 + ".jpg",
            b"\xff\xfe\x80.png",
            b"caf\xe9.png",
            "line\nbreak.png",
            "return\rhome.png",
            "\x1b[31mred\x1b[0m.png",
            "\u202egnp.exe.png",
            "[bold]rich.png",
            "-rf.png",
            "--model.png",
            "style.png:0.5.png",
            "mine.style#2.png",
            " leading and trailing .png",
            "a..png",
            "UPPER.PNG",
            "quote'\".png",
            "100%.png",
            "{name}.png",
            "*.png",
            "?[a].png",
            "\t.png",
            "日本語.png",
            "😀.png",
            "~.png",
            "$HOME.png",
            "con.png",
        )
    )
    folder, _ = folder_of(case)
    raw = os.fsencode(folder) + b"/" + os.fsencode(name)
    picture = io.BytesIO()
    some_image(case).save(picture, "JPEG" if raw.endswith(b"jpg") else "PNG")
    with open(raw, "wb") as file:
        file.write(picture.getvalue())
    path = Path(os.fsdecode(raw))
    case.keep(path)
    case.measured(images.read, path)
    arguments = ("--model", case.material.cyclegan, "--device", "cpu")
    if case.random.random() < 0.5:
        case.program("stylize", folder, "-o", case.folder / "out", *arguments)
    else:
        case.program("stylize", "-o", case.folder / "out", *arguments, "--", path)
    if not (case.folder / "out" / path.name).exists():
        raise Bad(f"not written under its name: {os.listdir(case.folder / 'out')}")


@kind.often(2)
def link_loop(case: Case) -> None:
    folder, output = folder_of(case)
    form = case.random.choice(("self", "pair", "folder", "broken", "deep"))
    if form == "self":
        (folder / "loop.png").symlink_to("loop.png")
    elif form == "pair":
        (folder / "a.png").symlink_to("b.png")
        (folder / "b.png").symlink_to("a.png")
    elif form == "folder":
        (folder / "again").symlink_to(folder)
        (folder / "selfish").symlink_to("selfish")
    elif form == "broken":
        (folder / "broken.png").symlink_to("/nowhere/at/all.png")
    else:
        (folder / "down").mkdir()
        (folder / "down" / "up").symlink_to("..")
    stylize_folder(case, folder, output)


@kind.often(2)
def not_a_regular_file(case: Case) -> None:
    """Pipes, sockets, devices and folders named like images: never opened."""
    folder, output = folder_of(case)
    odd = folder / "odd.png"
    form = case.random.choice(("pipe", "socket", "zero", "folder", "terminal", "process"))
    if form == "pipe":
        os.mkfifo(odd)
    elif form == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            os.chdir(folder)
            listening.bind("odd.png")
            os.chdir(case.folder)
    elif form == "folder":
        odd.mkdir()
    else:
        odd.symlink_to({"zero": "/dev/zero", "terminal": "/dev/ptmx", "process": "/proc/self/mem"}[form])
    if case.random.random() < 0.5:
        stylize_folder(case, folder, output)
        return
    case.mentions = ("odd.png",)
    case.expected = CLEAR
    case.every(
        lambda: case.measured(images.read, odd),
        lambda: case.program("stylize", odd, "-o", case.folder / "out", "--model", case.material.cyclegan),
    )


@kind
def mixed_folder(case: Case) -> None:
    """A folder of good, bad and foreign files: the good ones are written, the others named or counted."""
    folder, output = folder_of(case)
    for name in ("a.heic", "b.psd", "notes.txt", "clip.mp4", "Thumbs.db", ".hidden.png"):
        (folder / name).write_bytes(case.random.randbytes(100))
    data, suffix = encoded(case)
    (folder / f"bad{suffix}").write_bytes(data[: len(data) // 3])
    case.mentions = ("bad",)
    stylize_folder(case, folder, output)


@kind
def picture_that_vanishes(case: Case) -> None:
    """A path that is none any more, or a file that is a folder on the way."""
    case.expected = CLEAR
    path = case.random.choice(
        (
            case.folder / "gone.png",
            case.material.photo / "inside.png",
            Path("x" * 300 + ".png"),
            Path("\0.png"),
            Path(""),
        )
    )
    case.every(
        lambda: case.measured(images.read, path),
        lambda: case.program("stylize", path, "-o", case.folder / "out", "--model", case.material.cyclegan),
    )


@kind
def output_in_odd_places(case: Case) -> None:
    """The output is a folder, a file, a link, an input, or cannot be made: nothing is lost."""
    photo = case.folder / "photo.png"
    some_image(case).save(photo)
    (case.folder / "thesis.txt").write_text("years of work")
    (case.folder / "link").symlink_to("nowhere")
    case.keep(photo, case.folder / "thesis.txt")
    out = case.random.choice(
        (
            "photo.png",
            "thesis.txt",
            "thesis.txt/out.png",
            "link",
            "/proc/out",
            "/dev/null",
            "/dev/full",
            ".",
            "",
            "x.heic",
            "x" * 300,
        )
    )
    case.program("stylize", photo, "-o", out, "--model", case.material.cyclegan, "--device", "cpu")


def full_disk() -> Callable[..., Any]:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return refuse


@kind
def full_disk_while_writing(case: Case) -> None:
    """No space is left: one sentence, and what was there before is whole."""
    case.expected = CLEAR
    photo, output = case.folder / "photo.png", case.folder / "out.png"
    some_image(case).save(photo)
    output.write_bytes(photo.read_bytes())
    case.keep(photo, output)
    sync, os.fsync = os.fsync, full_disk()
    try:
        case.program("stylize", photo, "-o", output, "--model", case.material.cyclegan, "--device", "cpu")
    finally:
        os.fsync = sync
