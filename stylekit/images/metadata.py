"""The metadata of an image file: read from Pillow, and passed to it when a file is written."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from stylekit.datasets.png_text import PILLOW_LIMIT
from stylekit.errors import warn
from stylekit.images.picture import Metadata

LONGEST_TEXT = 2**24
"""Characters of text and bytes of XMP that are kept of a file."""
MARKER = 65_500
"""Bytes that one segment of a JPEG file holds."""
JPEG_START = b"\xff\xd8\xff"
LAYOUT = {
    *range(254, 260), 262, 266, *range(273, 275), *range(277, 285), *range(288, 292), 296, 297, *range(317, 326), 330,
    *range(332, 348), *range(512, 533), 700, 34377, 34675,
}  # fmt: skip
"""Tags of a TIFF directory that describe how its own pixels are stored, or are kept separately: resolution, XMP, profile. The
Photoshop resources (34377) contain a preview."""
CENTIMETRE = 3
"""The value of the tag ResolutionUnit for pixels per centimetre; 2 is per inch."""
PIXEL_SIZES = {ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight}
PREVIEWS = re.compile(rb"<(\w+):Thumbnails\b(?:[^>]*/>|.*?</\1:Thumbnails\s*>)", re.DOTALL)
ORIENTATION = re.compile(rb"""\s\w+:Orientation\s*=\s*(["'])\d\1|<(\w+):Orientation>\s*\d\s*</\2:Orientation>""")
XMP_KEY = "XML:com.adobe.xmp"


def collect(image: Image.Image) -> Metadata:
    """The metadata of a loaded PIL image, without its colour profile. Damaged parts are dropped."""
    return Metadata(exif=_exif(image), xmp=_xmp(image), dpi=_dpi(image), text=_text(image))


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF data without the orientation, layout and previews.

    It is a copy, without the second directory, which holds the thumbnail.
    """
    try:
        exif = image.getexif()
        kept = Image.Exif()
        for tag in sorted(set(exif) - LAYOUT - {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}):
            _copy(exif[tag], kept, tag)
        if _is_shape(kept.get(ExifTags.Base.ImageDescription)):
            del kept[ExifTags.Base.ImageDescription]
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            nested: dict[int, Any] = {}
            for key, value in exif.get_ifd(tag).items():
                if key not in PIXEL_SIZES and key != ExifTags.IFD.Interop:
                    _copy(value, nested, key)
            if nested:
                kept[tag] = nested
        return kept.tobytes() if len(kept) else None
    except Exception:  # damaged EXIF is no reason to reject the pixels
        return None


def _is_shape(description: Any) -> bool:
    """Whether it is what the package tifffile writes of the stored array, which the written pixels would contradict."""
    try:
        content = json.loads(description)
    except (TypeError, ValueError):  # none, or another text
        return False
    return isinstance(content, dict) and "shape" in content


def _copy(value: Any, target: Any, tag: int) -> None:
    """Copies a value that has no preview in it, as a camera's own notes may."""
    if not (isinstance(value, bytes) and JPEG_START in value):
        target[tag] = value


def _xmp(image: Image.Image) -> bytes | None:
    data = image.info.get("xmp") or image.info.get(XMP_KEY)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    if not isinstance(data, bytes) or len(data) > LONGEST_TEXT:
        return None
    return ORIENTATION.sub(b"", PREVIEWS.sub(b"", data)) or None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        if "dpi" in image.info:
            across, down = (float(each) for each in image.info["dpi"])
        else:
            exif = image.getexif()
            unit = 2.54 if exif.get(ExifTags.Base.ResolutionUnit) == CENTIMETRE else 1.0
            across, down = (unit * float(exif[tag]) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    except Exception:  # missing or damaged
        return None
    return (across, down) if all(math.isfinite(each) and 1 < each < 2**16 for each in (across, down)) else None


def _text(image: Image.Image) -> dict[str, str]:
    """The texts of a PNG file, and the comment of other files, apart from dumps of EXIF and the like."""
    texts = dict(image.text) if isinstance(image, PngImagePlugin.PngImageFile) else {}
    comment = image.info.get("comment")
    if isinstance(comment, bytes):
        comment = comment.decode("utf-8", "replace")
    if isinstance(comment, str) and image.format in ("JPEG", "GIF"):
        texts["Comment"] = comment
    hidden = (XMP_KEY, "Raw profile type", "Thumb::")
    texts = {key: value for key, value in texts.items() if not key.startswith(hidden)}
    return texts if sum(map(len, texts.values())) <= LONGEST_TEXT else {}


def save_options(metadata: Metadata, format: str) -> dict[str, Any]:
    """The arguments of Pillow's ``save`` for what a file of that format can hold."""
    exif = _with_dpi(metadata) if format in ("WEBP", "AVIF", "HEIF") else metadata.exif
    options: dict[str, Any] = {"icc_profile": metadata.icc_profile, "exif": exif, "xmp": metadata.xmp}
    if format == "JPEG":
        for key in ("exif", "xmp"):
            if len(options[key] or b"") > MARKER:
                warn(f"The {key.upper()} data is longer than a JPEG file can hold, and is left out.")
                options[key] = None
    if format in ("JPEG", "GIF"):
        comment = metadata.text.get("Comment", "").encode()
        options["comment"] = comment if len(comment) < MARKER else None
    if format == "PNG":
        options["pnginfo"] = _png_text(metadata)
    options["dpi"] = metadata.dpi or ((0, 0) if format == "BMP" else None)  # without it, a BMP file would say 96
    return {key: value for key, value in options.items() if value}


def _with_dpi(metadata: Metadata) -> bytes | None:
    """The EXIF data with the resolution, for formats that have no other place for it."""
    if metadata.dpi is None:
        return metadata.exif
    exif = Image.Exif()
    exif.load(metadata.exif or b"")
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = metadata.dpi
    exif[ExifTags.Base.ResolutionUnit] = 2
    return exif.tobytes()


def _png_text(metadata: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in metadata.text.items():
        compressed = 1000 < len(value) < PILLOW_LIMIT // 4  # longer ones would be refused by Pillow
        if isinstance(value, PngImagePlugin.iTXt):
            info.add_itxt(key, value, value.lang or "", value.tkey or "", zip=compressed)
        else:
            info.add_text(key, value, zip=compressed)
    if metadata.xmp:
        info.add_itxt(XMP_KEY, metadata.xmp.decode("utf-8", "replace"))
    return info
