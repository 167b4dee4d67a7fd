"""Animated image files: all frames, how long each is shown, and how often they are repeated."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageFile, TiffImagePlugin

from stylekit._files import write_atomic
from stylekit.datasets import open_image
from stylekit.errors import StylekitError
from stylekit.images.metadata import save_options
from stylekit.images.picture import Picture
from stylekit.images.reading import picture_of, require_memory
from stylekit.images.writing import TRANSPARENT, to_palette, to_pil, write_format

ANIMATED = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")
"""Formats whose further frames are an animation or pages, and not other versions of one image."""

SUBFILE_TYPE = 254
"""The tag of a TIFF page whose lowest bit is set for a reduced copy of another page."""


@dataclass(frozen=True, eq=False)
class Animation:
    """The content of an animated image file, or of a TIFF file with several pages.

    Attributes:
        frames: the frames, complete and of one size
        durations: how long each frame is shown, in milliseconds; 0 if the format does not say
        loop: how often the frames are shown; 0: for ever
        format: GIF, WEBP, PNG, TIFF or AVIF
    """

    frames: Sequence[Picture]
    durations: Sequence[float]
    loop: int
    format: str


def frame_count(path: Path | str) -> int:
    """The number of frames or pages of an image file; 1 for a still image. The pixels are not decoded.

    Raises:
        StylekitError: the file is missing, damaged or not an image
    """
    with open_image(path) as file:
        return len(_numbers(file))


def read_frames(path: Path | str) -> Animation:
    """Reads all frames of an image file as complete pictures.

    Raises:
        StylekitError: the file is missing, damaged, too large or not an image
    """
    with open_image(path) as file:
        numbers = _numbers(file)
        require_memory(path, file, len(numbers))
        frames, durations = [], []
        for number in numbers:
            file.seek(number)
            file.load()
            frames.append(picture_of(file))
            durations.append(float(file.info.get("duration", 0)))
        return Animation(frames, durations, _loop(file), file.format or "")


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


def write_frames(path: Path | str, animation: Animation, *, quality: int | None = None) -> None:
    """Writes an animated image file atomically; the suffix determines the format.

    Args:
        path: the file, with the suffix of a format for animations; an existing one is replaced
        animation: the frames; a GIF file rounds durations to hundredths of a second
        quality: quality of a lossy format, from 1 to 100

    Raises:
        StylekitError: the suffix is not that of a format for animations, the folder does not exist, or no space is left
    """
    path = Path(path)
    name, options = write_format(path, quality)
    if name not in ANIMATED:
        raise StylekitError(f"{name} files hold one image, and {path} is to hold {len(animation.frames)} frames.")
    first, *others = (to_palette(to_pil(each)) if name == "GIF" else to_pil(each) for each in animation.frames)
    file = io.BytesIO()
    try:
        first.save(
            file,
            name,
            save_all=True,
            append_images=others,
            **options,
            **_timing(animation, name),
            **save_options(animation.frames[0].metadata, name),
        )
    except (OSError, ValueError) as error:
        raise StylekitError(f"{path} cannot be written as {name}: {error}.") from error
    write_atomic(path, file.getvalue())


def _timing(animation: Animation, name: str) -> dict[str, Any]:
    if name == "TIFF":
        return {}
    options: dict[str, Any] = {"duration": [round(each) for each in animation.durations]}
    if name == "GIF":
        if any(each.alpha is not None for each in animation.frames):
            # Transparent pixels show the background, not the previous frame.
            options |= {"disposal": 2, "transparency": TRANSPARENT, "optimize": False}
        repetitions = animation.loop - (animation.loop > 0)
        return options if animation.loop == 1 else {**options, "loop": repetitions}
    return options | ({} if name == "AVIF" else {"loop": animation.loop})
