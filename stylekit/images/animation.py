"""Animated image files: all frames, how long each is shown, and how often they are repeated."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import ImageFile, TiffImagePlugin

from stylekit._files import write_atomic
from stylekit.datasets import open_image
from stylekit.datasets.files import upright_size
from stylekit.errors import StylekitError, warn
from stylekit.images import deep
from stylekit.images.metadata import save_options
from stylekit.images.picture import Picture, with_profile
from stylekit.images.reading import picture_of, require_memory
from stylekit.images.tiff import PROFILE, encode_tiff
from stylekit.images.writing import PROFILED, TRANSPARENT, to_channels, to_palette, to_pil, write_format

ANIMATED = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")
"""Formats whose further frames are an animation or pages, and not other versions of one image."""

SUBFILE_TYPE = 254
"""The tag of a TIFF page whose lowest bit is set for a reduced copy of another page."""


@dataclass(frozen=True, eq=False)
class Animation:
    """The content of an animated image file, or of a TIFF file with several pages.

    Attributes:
        frames: the frames, complete and of one size; pages of a TIFF file may have different ones
        durations: how long each frame is shown, in milliseconds; 0 if the format does not say
        loop: how often the frames are shown; 0: for ever
        format: GIF, WEBP, PNG, TIFF or AVIF
    """

    frames: Sequence[Picture]
    durations: Sequence[float]
    loop: int
    format: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first frame."""
        return self.frames[0].size


def frame_count(path: Path | str) -> int:
    """The number of frames or pages of an image file; 1 for a still image. The pixels are not decoded.

    Raises:
        StylekitError: the file is missing, damaged or not an image
    """
    with open_image(path) as file:
        return len(_numbers(file))


def frame_sizes(path: Path | str) -> list[tuple[int, int]]:
    """The height and width of each frame or page of an image file, upright, by the headers: the pixels are not decoded.

    Raises:
        StylekitError: the file is missing, damaged or not an image
    """
    with open_image(path) as file:
        sizes = [upright_size(each, decode=False) for each in _headers(file, _numbers(file))]
        return [(height, width) for width, height in sizes]


def read_frames(path: Path | str, arrays: bool = False) -> Animation:
    """Reads all frames of an image file as complete pictures. Pages of a TIFF file keep 16 bits, frames of a PNG file 8.

    Args:
        path: the file
        arrays: as for :func:`stylekit.images.read`

    Raises:
        StylekitError: the file is missing, damaged, too large or not an image
    """
    with open_image(path) as file:
        deep_frames = file.format == "PNG" and deep.has_16_bits(file)
        numbers = _numbers(file)
        require_memory(path, _headers(file, numbers))
        frames, durations = [], []
        for number in numbers:
            file.seek(number)
            _forget_other_pages(file)
            samples = deep.samples(path, file) if file.format == "TIFF" or numbers == [0] else None
            file.load()
            picture = picture_of(file, samples, arrays)
            frames.append(replace(picture, depth=16) if deep_frames else picture)
            durations.append(float(file.info.get("duration", 0)))
        return Animation(frames, durations, _loop(file), file.format or "")


def _headers(file: ImageFile.ImageFile, numbers: Sequence[int]) -> Iterator[ImageFile.ImageFile]:
    """The file at each frame. Only pages differ in size; in other formats, going to a frame would decode those before."""
    for number in numbers:
        if isinstance(file, TiffImagePlugin.TiffImageFile):
            file.seek(number)
        yield file


def _forget_other_pages(file: ImageFile.ImageFile) -> None:
    """Removes the profile and resolution that Pillow keeps of another page of a TIFF file."""
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        file.info.pop("dpi", None)  # the page's own tags have it, too
        if PROFILE not in file.tag_v2:
            file.info.pop("icc_profile", None)


def _numbers(file: ImageFile.ImageFile) -> list[int]:
    """The numbers of the frames; only the first if the file is damaged after it.

    An animated PNG may begin with another image, for programs that show no animations, and a TIFF file may have reduced
    copies of its pages.
    """
    if file.format not in ANIMATED:
        return [0]
    try:
        numbers = list(range(getattr(file, "n_frames", 1)))
        if len(numbers) > 1 and file.info.get("default_image"):
            return numbers[1:]
        return [number for number in numbers if not _is_reduced(file, number)] if len(numbers) > 1 else [0]
    except Exception:  # decoders may raise any type of error on damaged files
        return [0]


def _is_reduced(file: ImageFile.ImageFile, number: int) -> bool:
    if not isinstance(file, TiffImagePlugin.TiffImageFile):
        return False
    file.seek(number)
    return number > 0 and bool(file.tag_v2.get(SUBFILE_TYPE, 0) & 1)


def _loop(file: ImageFile.ImageFile) -> int:
    """How often the frames are shown. A GIF file counts the repetitions, and without a count there are none."""
    loop = int(file.info.get("loop", 1 if file.format == "GIF" else 0))
    return loop + 1 if file.format == "GIF" and loop and "loop" in file.info else loop


def require_animated(path: Path, count: int) -> None:
    """Checks that a file of this suffix can hold several images.

    Raises:
        StylekitError: it cannot, or images of its format cannot be written.
    """
    name, _ = write_format(path)
    if name not in ANIMATED:
        raise StylekitError(f"{name} files hold one image, and {path} is to hold {count} frames.")


def write_frames(
    path: Path | str, animation: Animation, *, depth: int | None = None, quality: int | None = None
) -> None:
    """Writes an animated image file atomically; the suffix determines the format.

    Every page of a TIFF file has its own profile and metadata. The frames of other formats get those of the first.

    Args:
        path: the file, with the suffix of a format for animations; an existing one is replaced
        animation: the frames; a GIF file rounds durations to hundredths of a second
        depth: bits per channel, 8, or 16 for TIFF; by default those of each page for TIFF, and 8 for other formats
        quality: quality of a lossy format, from 1 to 100

    Raises:
        StylekitError: the suffix is not that of a format for animations, the folder does not exist, no space is left, or
            the format does not support the depth
    """
    path = Path(path)
    require_animated(path, len(animation.frames))
    name, options = write_format(path, quality)
    if depth not in (None, 8, 16) or (depth == 16 and name != "TIFF"):
        raise StylekitError(
            f"The frames of {path} cannot be written with {depth} bits per channel. Use 8, or 16 for TIFF."
        )
    if name == "PNG" and depth is None and any(each.depth == 16 for each in animation.frames):
        warn(f"The frames of {path} are written with 8 bits per channel.")
    try:
        if name == "TIFF":
            content = encode_tiff(
                [(to_channels(each, depth or each.depth), each.metadata) for each in animation.frames]
            )
        else:
            content = _encode(animation, name, options)
    except (OSError, ValueError, struct.error) as error:
        raise StylekitError(f"{path} cannot be written as {name}: {error}.") from error
    write_atomic(path, content)


def _encode(animation: Animation, name: str, options: dict[str, Any]) -> bytes:
    metadata = animation.frames[0].metadata
    metadata = metadata if name in PROFILED else replace(metadata, icc_profile=None)
    images = (to_pil(with_profile(each, metadata.icc_profile)) for each in animation.frames)
    first, *others = map(to_palette, images) if name == "GIF" else images
    file = io.BytesIO()
    timing = _timing(animation, name)
    first.save(file, name, save_all=True, append_images=others, **options, **timing, **save_options(metadata, name))
    return file.getvalue()


def _timing(animation: Animation, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {"duration": [round(each) for each in animation.durations]}
    if name == "GIF":
        if any(each.alpha is not None for each in animation.frames):
            # Transparent pixels show the background, not the previous frame.
            options |= {"disposal": 2, "transparency": TRANSPARENT, "optimize": False}
        repetitions = animation.loop - (animation.loop > 0)
        return options if animation.loop == 1 else {**options, "loop": repetitions}
    return options | ({} if name == "AVIF" else {"loop": animation.loop})
