"""Raw frames on pipes: 8 bits for each of red, green and blue, row by row, frame after frame, and nothing else.

FFmpeg calls it ``-f rawvideo -pix_fmt rgb24``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stylekit.errors import StylekitError, counted, warn
from stylekit.images import pixels
from stylekit.images.picture import Picture, over_white
from stylekit.images.pixels import Array
from stylekit.images.video.clip import Frame, Layout
from stylekit.images.video.parts import Times
from stylekit.images.writing import to_integers

STREAM = Path("-")
"""Standard input or output, in place of a path."""
SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


def read_frame_size(text: str) -> tuple[int, int]:
    """Height and width of frames that are written as ``640x360``: width and height.

    Raises:
        StylekitError: it is no size.
    """
    match = SIZE.fullmatch(text)
    if match is None:
        raise StylekitError(f"--raw {text!r} is no size. Write width and height in pixels, such as 640x360.")
    return int(match[2]), int(match[1])


class RawFrames:
    """Frames from a pipe, which can be read once.

    Args:
        file: the pipe
        size: height and width of the frames
        rate: frames per second
        arrays: the pictures have NumPy arrays instead of tensors, and torch is not imported
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], rate: Fraction, arrays: bool = False) -> None:
        self.path, self.layout = STREAM, Layout(size, 0, rate, 1 / rate)
        self._file, self._arrays = file, arrays

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames from the first that appears at ``start`` seconds or later; a warning tells of an incomplete one."""
        height, width = self.layout.size
        number, rate = 0, self.layout.rate
        while values := self._file.read(3 * height * width):
            if len(values) < 3 * height * width:
                warn(
                    f"Standard input ends within frame {number + 1}, which is left out. Are its frames {width}x{height} "
                    "pixels of rgb24?"
                )
                return
            if number / rate >= start:
                colors = np.frombuffer(bytearray(values), np.uint8).reshape(height, width, 3)
                yield Frame(number / rate, (number + 1) / rate, self._reader(colors))
            number += 1

    def _reader(self, colors: Array) -> Callable[[], Picture]:
        return lambda: Picture(pixels.converter(self._arrays)(colors))


class RawOutput:
    """Writes frames to a pipe at once, so nothing is kept of them.

    Args:
        file: the pipe

    Attributes:
        count: number of frames that were written
    """

    def __init__(self, file: BinaryIO) -> None:
        self.count, self._file = 0, file

    def add(self, picture: Picture) -> None:
        """Writes the next frame.

        Raises:
            StylekitError: nobody reads the pipe any more.
        """
        colors = np.moveaxis(to_integers(over_white(picture.image, picture.alpha), 3), 0, -1)
        try:
            self._file.write(np.ascontiguousarray(colors).tobytes())
            self._file.flush()
        except BrokenPipeError as error:
            raise StylekitError(
                f"The program that reads standard output ended after {counted(self.count, 'frame')}, so no more are made."
            ) from error
        self.count += 1

    def last(self) -> Array:
        """No frame is kept.

        Raises:
            StylekitError: always.
        """
        raise StylekitError("Frames on a pipe are not kept.")

    def finish(self, out: Path, times: Times) -> None:
        """Does nothing: all frames are written."""
