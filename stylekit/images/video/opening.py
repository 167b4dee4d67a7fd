"""Opens clips of any kind, and decides what kind of output a path names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from stylekit.datasets.files import SUFFIXES, find_images, is_image
from stylekit.errors import StylekitError
from stylekit.images import animation
from stylekit.images.picture import Picture
from stylekit.images.reading import read, size
from stylekit.images.video.clip import Clip, Frame, Layout
from stylekit.images.video.reading import VideoFile
from stylekit.images.video.writing import FORMATS
from stylekit.images.writing import FORMATS as IMAGES

ANIMATIONS = [suffix for suffix, (name, _) in IMAGES.items() if name in animation.ANIMATED and name != "TIFF"]
"""The suffixes of animations. A TIFF file holds frames as pages, without their times."""
UNTIMED = 100
"""Milliseconds for which a frame of an animation is shown whose file says 0, as browsers do."""
MILLISECOND = Fraction(1, 1000)


def open_clip(path: Path, rate: Fraction, arrays: bool = False) -> Clip:
    """Opens a video file, an animated image, or a folder of frames.

    Args:
        path: the file or folder
        rate: frames per second of a folder of frames
        arrays: the pictures have NumPy arrays instead of tensors, and torch is not imported

    Raises:
        StylekitError: it is missing, cannot be read, or is a still image; or PyAV is needed and not installed.
    """
    if path.is_dir():
        return FrameFolder(path, rate, arrays)
    return AnimatedFile(path, arrays) if is_image(path.name) else VideoFile(path, arrays)


class AnimatedFile:
    """An animated image file: GIF, WebP, PNG or AVIF.

    Args:
        path: the file
        arrays: the pictures have NumPy arrays instead of tensors

    Raises:
        StylekitError: it cannot be read, or is a still image.
    """

    def __init__(self, path: Path, arrays: bool = False) -> None:
        self.path, self._arrays = path, arrays
        content = animation.read_frames(path, arrays) if animation.frame_count(path) > 1 else None
        if content is None or content.format == "TIFF":
            what = "one image" if content is None else "a file of pages"
            raise StylekitError(f"{path} is {what}, not a clip. Use `stylekit stylize` for it.")
        height, width = content.frames[0].image.shape[-2:]
        self._content = content
        seconds = sum(each or UNTIMED for each in content.durations) / 1000
        rate = Fraction(len(content.frames) / seconds).limit_denominator(1000)
        self.layout = Layout((height, width), len(content.frames), rate, MILLISECOND, loop=content.loop)

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames from the first that appears at ``start`` seconds or later."""
        begin = Fraction(0)
        for picture, shown in zip(self._content.frames, self._content.durations, strict=True):
            end = begin + Fraction(shown or UNTIMED) * MILLISECOND
            if begin >= start:
                yield Frame(begin, end, partial(_same, picture))
            begin = end


def _same(picture: Picture) -> Picture:
    return picture


class FrameFolder:
    """A folder of images of one size, in the order of their names.

    Args:
        path: the folder
        rate: frames per second
        arrays: the pictures have NumPy arrays instead of tensors

    Raises:
        StylekitError: there is no image in it, or the first cannot be read.
    """

    def __init__(self, path: Path, rate: Fraction, arrays: bool = False) -> None:
        self.path, self._rate, self._arrays = path, rate, arrays
        self._files = find_images(path)
        if not self._files:
            raise StylekitError(f"There are no frames in {path} ({', '.join(sorted(SUFFIXES))}).")
        self.layout = Layout(size(self._files[0]), len(self._files), rate, 1 / rate)

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames from the first that appears at ``start`` seconds or later."""
        for number, file in enumerate(self._files):
            if number / self._rate >= start:
                yield Frame(number / self._rate, (number + 1) / self._rate, self._reader(file))

    def _reader(self, file: Path) -> Callable[[], Picture]:
        def read_frame() -> Picture:
            picture = read(file, arrays=self._arrays)
            height, width = picture.image.shape[-2:]
            if (height, width) != self.layout.size:
                first = "x".join(map(str, reversed(self.layout.size)))
                raise StylekitError(f"{file} has {width}x{height} pixels, but the first frame of the clip has {first}.")
            return picture

        return read_frame


def is_video(path: Path) -> bool:
    """Whether an output of this name is a video file.

    Raises:
        StylekitError: it is none of a video file, an animation and a folder.
    """
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return True
    if suffix and not path.is_dir() and IMAGES.get(suffix, ("",))[0] not in animation.ANIMATED:
        known = ", ".join((*FORMATS, *ANIMATIONS))
        raise StylekitError(f"{path} cannot hold a clip. Use one of {known}, or a folder, whose name has no suffix.")
    return False
