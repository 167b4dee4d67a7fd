"""Reading, writing, resizing, padding and cropping images.

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
from stylekit.datasets import SPLITS, SUFFIXES, find_images, open_image
from stylekit.errors import StylekitError, warn

__all__ = [
    "ImageFiles",
    "Picture",
    "SquareCrop",
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
"""Pillow's name for the format of each suffix, and the options for writing it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The content of an image file.

    Attributes:
        image: colours ``(1, 3, H, W)``, float32 in ``[0, 1]``, upright
        alpha: alpha channel ``(1, 1, H, W)``, float32 in ``[0, 1]``; None if the file has none
        icc_profile: the colour profile of ``image``, if it is an RGB profile
        exif: the EXIF metadata without the orientation, as :func:`write` accepts it
    """

    image: Tensor
    alpha: Tensor | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None


def read(path: Path | str, least: int | None = None) -> Picture:
    """Reads an image file. Of a file with several pages or frames, only the first is read.

    ====================================  ====================================================================
    In the file                           Result
    ====================================  ====================================================================
    8-bit RGB, grey, 1-bit                colours divided by 255; grey in all three channels
    palette                               colours, with the transparency as alpha
    RGBA, LA, a transparent colour        colours, not multiplied by alpha, and alpha
    16-bit grey, 32-bit integer grey      divided by 65535 and clamped; a transparent value as alpha
    float grey                            clamped; NaN becomes 0
    CMYK                                  sRGB, with the file's ICC profile or else Pillow's default conversion
    YCbCr                                 RGB
    16-bit RGB, RGBA and grey with alpha  8 bits per channel, because Pillow stores no more
    LAB                                   an error
    ====================================  ====================================================================

    The EXIF orientation is applied. An RGB profile is returned, not applied. A profile of another colour space does not
    fit the RGB image and is dropped.

    Args:
        path: the file
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both sides keep at least this many pixels,
            which is much faster for photos that are reduced anyway

    Raises:
        StylekitError: the file is missing, damaged, truncated, too large or not an image
    """
    with open_image(path) as file:
        if least is not None:
            file.draft(None, (least, least))
        file.load()
        return _picture(file)


def from_pil(image: Image.Image) -> Picture:
    """Converts a PIL image as :func:`read` does; the PIL image is not modified."""
    return _picture(image.copy())


def _picture(image: Image.Image) -> Picture:
    exif = _turn_upright(image)
    profile = image.info.get("icc_profile")
    fits = profile and profile[16:20] == b"RGB " and image.mode != "CMYK"
    return Picture(to_tensor(image), _alpha(image), profile if fits else None, exif)


def _turn_upright(image: Image.Image) -> bytes | None:
    """Applies the EXIF orientation in place; returns the remaining EXIF metadata, or None."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        exif, data = image.getexif(), image.info.get("exif")
        if ExifTags.Base.Orientation in exif:  # Pillow keeps the tag of an image that was upright already
            del exif[ExifTags.Base.Orientation]
            data = exif.tobytes()
    except Exception:  # damaged EXIF is no reason to reject the pixels
        return None
    # The tags of a TIFF describe its layout in the file rather than the camera; Pillow sets no "exif" for them.
    return data if len(exif) and "exif" in image.info else None


def to_tensor(image: Image.Image) -> Tensor:
    """The colours ``(1, 3, H, W)`` in ``[0, 1]`` of a PIL image, of any mode that :func:`read` supports."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = torch.from_numpy(np.asarray(image).astype(np.float32))
        grey = values.nan_to_num(0.0) if image.mode == "F" else values / 65535
        return grey.clamp(0, 1).expand(1, 3, -1, -1).contiguous()
    pixels = torch.from_numpy(np.array(_to_rgb(image))[..., :3])
    return pixels.permute(2, 0, 1).unsqueeze(0).contiguous().float().div_(255)


def _to_rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB, or RGBA if it has transparency, which transparent palettes need."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            cmyk, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, cmyk, srgb, outputMode="RGB")
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
    """Converts an image to an 8-bit PIL image: clamped to ``[0, 1]`` and rounded to the nearest value, halves upwards.

    Args:
        image: ``(1, 3, H, W)`` or ``(3, H, W)``, any floating-point dtype, any device
        alpha: alpha channel ``(1, 1, H, W)`` or ``(1, H, W)``; the result is RGBA if it is passed, otherwise RGB

    Raises:
        ValueError: the image has another shape
        TypeError: the dtype is not a floating-point dtype
        StylekitError: the image contains NaN
    """
    picture = Image.fromarray(_to_bytes(image, 3).transpose(1, 2, 0).copy())
    if alpha is not None:
        picture.putalpha(Image.fromarray(_to_bytes(alpha, 1)[0]))
    return picture


def _to_bytes(image: Tensor, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not image.is_floating_point():
        raise TypeError(f"An image must be a float tensor in [0, 1], not {image.dtype}.")
    planes = image.detach()[0] if image.ndim == 4 and len(image) == 1 else image.detach()
    if planes.ndim != 3 or len(planes) != channels or not planes.numel():
        raise ValueError(f"An image must have the shape (1, {channels}, H, W), not {tuple(image.shape)}.")
    planes = planes.float()
    if planes.isnan().any():
        raise StylekitError("The image contains NaN: the computation that produced it went out of range.")
    return (planes.clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()


def over_white(image: Tensor, alpha: Tensor | None) -> Tensor:
    """Composites the image ``(N, 3, H, W)`` over white with its alpha ``(N, 1, H, W)``; without alpha, returns it unchanged."""
    return image if alpha is None else image * alpha + (1 - alpha)


def write(
    path: Path | str,
    image: Tensor,
    alpha: Tensor | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
) -> None:
    """Writes an image file atomically; the suffix determines the format.

    PNG, WebP and TIFF store the alpha channel. JPEG and BMP cannot, so the image is composited over white. BMP stores
    neither the profile nor EXIF. JPEG (4:4:4) and WebP are written with quality 95.

    Args:
        path: the file; an existing one is replaced
        image: ``(1, 3, H, W)`` or ``(3, H, W)``, clamped to ``[0, 1]``
        alpha: alpha channel ``(1, 1, H, W)`` or ``(1, H, W)``
        icc_profile: colour profile of the image
        exif: EXIF metadata, as :func:`read` returns it

    Raises:
        StylekitError: the suffix is unknown, the folder does not exist, no space is left, or the format does not support the
            image's size
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise StylekitError(f"{path} has no suffix of an image format. Use one of {known}.")
    write_atomic(path, _encode(path, image, alpha, {"icc_profile": icc_profile, "exif": exif}))


def _encode(path: Path, image: Tensor, alpha: Tensor | None, metadata: dict[str, bytes | None]) -> bytes:
    name, options = FORMATS[path.suffix.lower()]
    if alpha is not None and name in ("JPEG", "BMP"):
        image, alpha = over_white(image, alpha), None
    picture = to_pil(image, alpha)
    file = io.BytesIO()
    try:
        picture.save(file, name, **options, **{key: value for key, value in metadata.items() if value})
    except (OSError, ValueError) as error:
        raise StylekitError(f"{path} cannot be written as {name}: {error}.") from error
    return file.getvalue()


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes the image ``(N, C, H, W)`` to ``size = (height, width)``: bicubic, antialiased, clamped to ``[0, 1]``."""
    return functional.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def pad_to(image: Tensor, stride: int, least: int = 1) -> Tensor:
    """Pads the image ``(..., H, W)`` so that its sides are multiples of ``stride`` and at least ``least``.

    The padding, at the bottom and the right, mirrors the image. Where the image is too small for that, the last mirrored
    line is repeated. If no padding is needed, the image itself is returned. Remove the padding with ``[..., :H, :W]``.
    """
    for dim in (-2, -1):
        image = _extend(image, dim, -(-max(image.shape[dim], least) // stride) * stride)
    return image


def _extend(image: Tensor, dim: int, length: int) -> Tensor:
    side = image.shape[dim]
    if length == side:
        return image
    mirrored = min(length - side, side - 1)
    # Concatenates the pieces because the gradient of functional.pad is not deterministic on CUDA.
    mirror = image.narrow(dim, side - 1 - mirrored, mirrored).flip(dim)
    last = image.narrow(dim, side - 1 - mirrored, 1)
    return torch.cat([image, mirror, last.repeat_interleave(length - side - mirrored, dim)], dim)


LONGEST = 4
"""An image longer than this many times its shorter side is cropped before it is resized, which may need gigabytes otherwise."""


def square_crop(image: Tensor, size: int, resized: int, random: bool = True, flip: bool = False) -> Tensor:
    """Crops a square ``(C, size, size)`` from the image ``(1, C, H, W)``, without distortion.

    To crop images that belong together in the same way, such as a photo and its mask, concatenate their channels first.

    Args:
        image: the image
        size: side of the square
        resized: the image is first resized so that its shorter side has this length
        random: crop at a random position, drawn with torch's random numbers; otherwise in the centre
        flip: mirror half of the images
    """
    short = min(image.shape[-2:])
    image = _window(image, LONGEST * short, random)
    height, width = (max(resized, round(side * resized / short)) for side in image.shape[-2:])
    image = _window(resize(image, (height, width)), size, random)
    if flip and torch.rand(()) < 0.5:
        image = image.flip(-1)
    return image[0].contiguous()


class SquareCrop:
    """The :func:`square_crop` of a data set: random and mirrored in training, in the centre otherwise.

    Args:
        size: side of the square
        split: train or test
        crop: in training, side of the resized image relative to ``size``
        flip: in training, mirror half of the images

    Raises:
        StylekitError: there is no such split, or ``size`` or ``crop`` is below 1.

    Attributes:
        resized: side of the resized image in pixels, which is all that a file needs to be decoded to
        training: whether the crops are random
    """

    def __init__(self, size: int, split: str, crop: float = 1.12, flip: bool = True) -> None:
        if split not in SPLITS:
            raise StylekitError(f"There is no split {split!r}. Use {' or '.join(map(repr, SPLITS))}.")
        if size < 1 or crop < 1:
            raise StylekitError(f"Images are cropped with size >= 1 and crop >= 1, not {size} and {crop}.")
        self.training = split == "train"
        self.size, self.flip = size, flip and self.training
        self.resized = round(size * crop) if self.training else size

    def __call__(self, image: Tensor) -> Tensor:
        """Crops a square ``(C, size, size)`` from the image ``(1, C, H, W)``."""
        return square_crop(image, self.size, self.resized, self.training, self.flip)


def _window(image: Tensor, side: int, random: bool) -> Tensor:
    """A part of the image with sides of at most ``side``."""
    for dim in (-2, -1):
        length = min(side, image.shape[dim])
        slack = image.shape[dim] - length
        start = int(torch.randint(slack + 1, ())) if random else slack // 2
        image = image.narrow(dim, start, length)
    return image


class ImageFiles:
    """The readable images of a folder or of a list of files. One warning lists the unreadable ones.

    A file that turns out to be damaged later is skipped with a warning, and the next one is used instead.

    Args:
        source: a folder, or files
        what: name of the source in messages

    Raises:
        StylekitError: the folder does not exist, or contains no readable image.
    """

    def __init__(self, source: str | Path | Sequence[Path], what: str | None = None) -> None:
        files = find_images(source) if isinstance(source, str | Path) else list(source)
        self.what = what or str(source)
        problems: list[str] = []
        self.files = [file for file in files if _opens(file, problems)]
        if not self.files:
            reason = (
                f"None of the images in {self.what} can be read"
                if files
                else f"There are no images in {self.what} ({', '.join(SUFFIXES)})"
            )
            raise StylekitError(f"{reason}. See: stylekit data check {self.what}")
        if problems:
            more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
            warn(
                f"{len(problems)} images are skipped: {' '.join(problems[:10])}{more} See: stylekit data check {self.what}"
            )
        self._damaged: set[Path] = set()

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int, least: int | None = None) -> Tensor:
        """Reads image ``index`` as ``(1, 3, H, W)``, composited over white; ``least`` as in :func:`read`.

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
                warn(f"{problem} The next image is used instead. See: stylekit data check {file.parent}")
                continue
            return over_white(picture.image, picture.alpha)
        raise StylekitError(f"No image in {self.what} can be read. See: stylekit data check {self.what}")


TAILS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The last bytes of complete files; cameras may append a few more."""


def _opens(file: Path, problems: list[str]) -> bool:
    """Whether the header can be read and the file ends like a complete one; with another ending, the pixels are decoded."""
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
