"""Pictures in and out of files, and the few things done to them everywhere.

An image is a float32 tensor ``(N, C, H, W)`` in ``[0, 1]``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor
from torch.nn import functional

from stylekit._files import write_atomic
from stylekit.datasets import SUFFIXES, find_images, open_image
from stylekit.errors import StylekitError, warn

__all__ = [
    "ImageFiles",
    "Picture",
    "from_pil",
    "over_white",
    "pad_to",
    "read",
    "resize",
    "square_crop",
    "to_pil",
    "to_tensor",
    "write",
]

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
}
"""What pillow calls the format of each suffix, and how it is written."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture file's content.

    Attributes:
        image: colours ``(1, 3, H, W)``, float32 in ``[0, 1]``, upright
        alpha: opacity ``(1, 1, H, W)``, float32 in ``[0, 1]``; None where the file has none
        icc_profile: the colour profile of ``image``, if it is an RGB one
        exif: the camera's notes without the orientation, ready for :func:`write`
    """

    image: Tensor
    alpha: Tensor | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None


def read(path: Path | str, least: int | None = None) -> Picture:
    """Reads a picture file; of several pages or frames, the first.

    ====================================  ====================================================================
    in the file                           becomes
    ====================================  ====================================================================
    8-bit RGB, grey, 1-bit                colours divided by 255; grey in all three channels
    palette                               its colours, and its transparency as alpha
    RGBA, LA, a transparent colour        colours as they are, not multiplied, and alpha
    16-bit grey, 32-bit integer grey      divided by 65535 and clamped; a transparent value as alpha
    float grey                            clamped; NaN becomes 0
    CMYK                                  sRGB by the file's ICC profile; by pillow's plain rule without one
    YCbCr                                 RGB
    16-bit RGB, RGBA and grey with alpha  8 bits each: pillow holds no more
    LAB                                   an error
    ====================================  ====================================================================

    EXIF orientation is applied. An RGB profile is handed on, not applied; one of another colour space does
    not fit the RGB image and is left out.

    Args:
        path: the file
        least: a JPEG may be decoded at a half, quarter or eighth while both sides keep at least this many
            pixels, which is much quicker for photographs that are made smaller anyway

    Raises:
        StylekitError: the file is missing, damaged, truncated, too large or no picture
    """
    with open_image(path) as file:
        if least is not None:
            file.draft(None, (least, least))
        file.load()
        return _picture(file)


def from_pil(image: Image.Image) -> Picture:
    """A pillow picture as :func:`read` gives it, which see; the picture itself stays as it is."""
    return _picture(image.copy())


def _picture(image: Image.Image) -> Picture:
    exif = _turn_upright(image)
    profile = image.info.get("icc_profile")
    fits = profile and profile[16:20] == b"RGB " and image.mode != "CMYK"
    return Picture(to_tensor(image), _alpha(image), profile if fits else None, exif)


def _turn_upright(image: Image.Image) -> bytes | None:
    """Applies the EXIF orientation in place; returns the other EXIF, or None."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        exif, notes = image.getexif(), image.info.get("exif")
        if ExifTags.Base.Orientation in exif:  # upright already, yet said so
            del exif[ExifTags.Base.Orientation]
            notes = exif.tobytes()
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return None
    # A TIFF's tags describe its layout on the disk rather than the camera; pillow gives no "exif" for them.
    return notes if len(exif) and "exif" in image.info else None


def to_tensor(image: Image.Image) -> Tensor:
    """The colours of a pillow picture, of any mode in :func:`read`: ``(1, 3, H, W)`` in ``[0, 1]``."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = torch.from_numpy(np.asarray(image).astype(np.float32))
        grey = values.nan_to_num(0.0) if image.mode == "F" else values / 65535
        return grey.clamp(0, 1).expand(1, 3, -1, -1).contiguous()
    pixels = torch.from_numpy(np.array(_to_rgb(image))[..., :3])
    return pixels.permute(2, 0, 1).unsqueeze(0).contiguous().float().div_(255)


def _to_rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB; RGBA where it is transparent, which transparent palettes need."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            ink, screen = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, ink, screen, outputMode="RGB")
            if converted is not None:
                return converted
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _alpha(image: Image.Image) -> Tensor | None:
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):
        opaque = np.asarray(image).astype(np.int64) != image.info["transparency"]
        return torch.from_numpy(opaque).float()[None, None]
    return torch.from_numpy(np.array(image.convert("RGBA").getchannel("A"))).float()[None, None] / 255


def to_pil(image: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """An image as an 8-bit pillow picture: clamped to ``[0, 1]``, rounded to the nearest, a half upwards.

    Args:
        image: ``(1, 3, H, W)`` or ``(3, H, W)``, any floating dtype, any device
        alpha: opacity ``(1, 1, H, W)`` or ``(1, H, W)``; with it the picture is RGBA, else RGB

    Raises:
        ValueError: another shape
        TypeError: not a floating dtype
        StylekitError: the image holds NaN
    """
    picture = Image.fromarray(_to_bytes(image, 3).transpose(1, 2, 0).copy())
    if alpha is not None:
        picture.putalpha(Image.fromarray(_to_bytes(alpha, 1)[0]))
    return picture


def _to_bytes(image: Tensor, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not image.is_floating_point():
        raise TypeError(f"An image is a float tensor in [0, 1]; this one is {image.dtype}.")
    planes = image.detach()[0] if image.ndim == 4 and len(image) == 1 else image.detach()
    if planes.ndim != 3 or len(planes) != channels or not planes.numel():
        raise ValueError(f"An image to convert is (1, {channels}, H, W); this one is {tuple(image.shape)}.")
    planes = planes.float()
    if planes.isnan().any():
        raise StylekitError("The image holds NaN: what computed it went out of range.")
    return (planes.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def over_white(image: Tensor, alpha: Tensor | None) -> Tensor:
    """The image ``(N, 3, H, W)`` laid over white by its alpha ``(N, 1, H, W)``; as it is without one."""
    return image if alpha is None else image * alpha + (1 - alpha)


def write(
    path: Path | str,
    image: Tensor,
    alpha: Tensor | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
) -> None:
    """Writes a picture file, whole or not at all; the suffix says the format.

    PNG, WebP and TIFF keep the alpha. JPEG and BMP have none: there the image is laid over white. BMP keeps
    neither profile nor EXIF. JPEG (4:4:4) and WebP are written with quality 95.

    Args:
        path: the file; one that is there is replaced
        image: ``(1, 3, H, W)`` or ``(3, H, W)``, clamped to ``[0, 1]``
        alpha: opacity ``(1, 1, H, W)`` or ``(1, H, W)``
        icc_profile: colour profile of the image
        exif: the camera's notes, as :func:`read` returns them

    Raises:
        StylekitError: unknown suffix, no such folder, no space left, or a size that the format cannot hold
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise StylekitError(f"{path} does not name a picture format: end it with one of {known}.")
    write_atomic(path, _encode(path, image, alpha, {"icc_profile": icc_profile, "exif": exif}))


def _encode(path: Path, image: Tensor, alpha: Tensor | None, notes: dict[str, bytes | None]) -> bytes:
    name, options = FORMATS[path.suffix.lower()]
    if alpha is not None and name in ("JPEG", "BMP"):
        image, alpha = over_white(image, alpha), None
    picture = to_pil(image, alpha)
    file = io.BytesIO()
    try:
        picture.save(file, name, **options, **{key: note for key, note in notes.items() if note})
    except (OSError, ValueError) as problem:
        raise StylekitError(f"{path} cannot be written as {name}: {problem}.") from problem
    return file.getvalue()


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """The image ``(N, C, H, W)`` at ``size = (height, width)``: bicubic, antialiased, clamped."""
    return functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def pad_to(image: Tensor, stride: int, least: int = 1) -> Tensor:
    """The image ``(..., H, W)`` with longer sides, multiples of ``stride`` and at least ``least``.

    The margin, at the bottom and the right, mirrors the image, and repeats the last mirrored line where it
    is too small for more. Without a margin the image itself is returned. Crop back with ``[..., :H, :W]``.
    """
    for dim in (-2, -1):
        image = _extend(image, dim, -(-max(image.shape[dim], least) // stride) * stride)
    return image


def _extend(image: Tensor, dim: int, length: int) -> Tensor:
    side = image.shape[dim]
    if length == side:
        return image
    mirrored = min(length - side, side - 1)
    # Pieces joined, rather than functional.pad: its gradient is not deterministic on CUDA, and this one is.
    mirror = image.narrow(dim, side - 1 - mirrored, mirrored).flip(dim)
    last = image.narrow(dim, side - 1 - mirrored, 1)
    return torch.cat([image, mirror, last.repeat_interleave(length - side - mirrored, dim)], dim)


LONGEST = 4
"""An image longer than this many times its shorter side is cropped before it is resized: whole, it may take gigabytes."""


def square_crop(image: Tensor, size: int, resized: int, random: bool = True, flip: bool = False) -> Tensor:
    """A square ``(C, size, size)`` of the image ``(1, C, H, W)``, never distorted.

    Images that belong together, such as a photo and its mask, are cropped alike if their channels are joined before.

    Args:
        image: the image
        size: side of the square
        resized: the shorter side is made so long first
        random: crop anywhere, drawn from torch's random numbers; otherwise in the middle
        flip: mirror half of the images
    """
    short = min(image.shape[-2:])
    image = _window(image, LONGEST * short, random)
    height, width = (max(resized, round(side * resized / short)) for side in image.shape[-2:])
    image = _window(resize(image, (height, width)), size, random)
    if flip and torch.rand(()) < 0.5:
        image = image.flip(-1)
    return image[0].contiguous()


def _window(image: Tensor, side: int, random: bool) -> Tensor:
    """A part of the image with sides of at most ``side``."""
    for dim in (-2, -1):
        length = min(side, image.shape[dim])
        room = image.shape[dim] - length
        start = int(torch.randint(room + 1, ())) if random else room // 2
        image = image.narrow(dim, start, length)
    return image


class ImageFiles:
    """The images of a folder, or of a list of files, that can be read; one warning for all the others.

    A file that turns out to be damaged is passed over with a warning, and the next one takes its place.

    Args:
        source: a folder, or files
        what: what to call the source in a message

    Raises:
        StylekitError: there is no such folder, or no image in it can be read.
    """

    def __init__(self, source: str | Path | Sequence[Path], what: str | None = None) -> None:
        files = find_images(source) if isinstance(source, str | Path) else list(source)
        self.what = what or str(source)
        problems: list[str] = []
        self.files = [file for file in files if _opens(file, problems)]
        if not self.files:
            reason = "can be read" if files else f"are there ({', '.join(SUFFIXES)})"
            raise StylekitError(f"No images in {self.what} {reason}. See: stylekit data check {self.what}")
        if problems:
            more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
            warn(
                f"{len(problems)} images are left out: {' '.join(problems[:10])}{more} See: stylekit data check {self.what}"
            )
        self._damaged: set[Path] = set()

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int, least: int | None = None) -> Tensor:
        """Image ``index`` as ``(1, 3, H, W)``, laid over white; ``least`` as in :func:`read`.

        Raises:
            StylekitError: no image can be decoded.
        """
        for step in range(len(self.files)):
            file = self.files[(index + step) % len(self.files)]
            if file in self._damaged:
                continue
            try:
                picture = read(file, least=least)
            except StylekitError as problem:
                self._damaged.add(file)
                warn(f"{problem} The next image takes its place; see: stylekit data check {file.parent}")
                continue
            return over_white(picture.image, picture.alpha)
        raise StylekitError(f"No image in {self.what} can be read. See: stylekit data check {self.what}")


TAILS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""How complete files end, give or take some bytes that a camera appends."""


def _opens(file: Path, problems: list[str]) -> bool:
    """Whether the header can be read, and the file is complete by its end; if that looks odd, the pixels are decoded."""
    try:
        with open_image(file) as image:
            if TAILS.get(image.format or "", b"") not in _tail(file):
                image.load()
            return True
    except StylekitError as problem:
        problems.append(str(problem))
        return False


def _tail(file: Path) -> bytes:
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - 64))
        return content.read()
