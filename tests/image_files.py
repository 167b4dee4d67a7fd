"""Writes image files for tests, and compares what is read from them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from stylekit import images


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def grey(values: list[list[int]], mode: str = "L") -> Image.Image:
    image = Image.new(mode, (len(values[0]), len(values)))
    image.putdata([value for row in values for value in row])
    return image


def bytes_of(image: torch.Tensor) -> list[list[list[int]]]:
    """Channels last, as 0 to 255."""
    return (image[0].permute(1, 2, 0) * 255).round().int().tolist()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(path: Path, *chunks: bytes, last: bool = False) -> Path:
    """A PNG file of 4 x 3 pixels, with chunks before or after the pixels."""
    whole = io.BytesIO()
    Image.new("RGB", (4, 3), (10, 20, 30)).save(whole, "PNG")
    data = whole.getvalue()
    place = data.index(b"IEND") - 4 if last else 33
    path.write_bytes(data[:place] + b"".join(chunks) + data[place:])
    return path


def deep_png(path: Path, values: np.ndarray) -> Path:
    """A PNG file of 16 bits by hand: 1, 2, 3 or 4 channels ``(H, W, C)``."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def noise16(channels: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    values[0, :3] = np.array([0, 1, 65535])[:, None]
    return values


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="t" xmlns:xmp="x" xmlns:dc="d"%s dc:creator="me">%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)


LOSSLESS: dict[str, dict[str, Any]] = {".webp": {"lossless": True}, ".tiff": {}, ".png": {}, ".jpg": {"quality": 95}}


def camera() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Artist] = "a maker", "somebody"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FNumber: 2.8, ExifTags.Base.ExifImageWidth: 40}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return exif


def with_metadata(path: Path, xmp: bytes = XMP % (b"", b"")) -> Path:
    """An image of 40 x 30 pixels with EXIF, XMP and 150 pixels per inch."""
    options = {"exif": camera(), "dpi": (150, 150), "xmp": xmp, **LOSSLESS[path.suffix]}
    if path.suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if path.suffix == ".tiff":
        options["exif"][700] = xmp
        options["exif"] = options["exif"].tobytes()
    if path.suffix == ".webp":
        options["exif"][282] = options["exif"][283] = 150.0
        options["exif"][296] = 2
    return save(path, Image.new("RGB", (40, 30), (90, 120, 150)), **options)


def moving(count: int = 4, alpha: bool = False) -> images.Animation:
    """Frames of two colours, that a palette holds exactly."""
    frames = []
    for number in range(count):
        image = torch.zeros(1, 3, 12, 20)
        image[..., : 4 + 4 * number] = torch.tensor([1.0, 0.2 * number, 0])[:, None, None]
        shown = (torch.arange(12) >= number)[:, None].expand(1, 1, 12, 20).float() if alpha else None
        frames.append(images.Picture(image, shown))
    return images.Animation(frames, [100.0, 200.0, 50.0, 70.0][:count], 3, "GIF")
