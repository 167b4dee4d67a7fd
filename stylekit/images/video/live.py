"""Live clips: a camera, or a file at its own speed, of which only the newest frame is ever seen.

A frame that nobody took before the next one came is dropped, so that the output lags behind by one frame and not by more and
more of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stylekit.errors import StylekitError
from stylekit.images import pixels
from stylekit.images.picture import Picture
from stylekit.images.video.clip import Clip, Frame, Layout
from stylekit.registry.extras import import_extra

MILLISECOND = Fraction(1, 1000)
USUAL_RATE = 30
"""Frames per second of a camera that does not tell."""


class Camera:
    """A camera, by OpenCV; frames come when they were taken.

    Args:
        number: its number: 0 is the first
        arrays: the pictures have NumPy arrays instead of tensors, and torch is not imported

    Raises:
        StylekitError: it cannot be opened, or OpenCV is not installed.
    """

    def __init__(self, number: int, arrays: bool = False) -> None:
        self._cv2 = import_extra("cv2", "video", "Reading a camera")
        self.path, self._arrays = Path(str(number)), arrays
        with self._silent():
            self._capture = self._cv2.VideoCapture(number)
            taken, first = self._capture.read()
        if not taken:
            self._capture.release()
            raise StylekitError(f"There is no camera {number}, or another program uses it. The first camera is 0.")
        rate = self._capture.get(self._cv2.CAP_PROP_FPS)
        rate = Fraction(rate if 1 <= rate <= 1000 else USUAL_RATE).limit_denominator(1001)
        self.layout = Layout(first.shape[:2], 0, rate, MILLISECOND)

    @contextmanager
    def _silent(self) -> Iterator[None]:
        """Within the block, OpenCV does not tell which ways to a camera fail: an error says that all did."""
        logging = self._cv2.utils.logging
        before = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            logging.setLogLevel(before)

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames from the first that is taken at ``start`` seconds or later, until the camera is unplugged."""
        began = time.monotonic()
        try:
            while True:
                taken, colors = self._capture.read()
                if not taken:
                    return
                now = Fraction(round(1000 * (time.monotonic() - began)), 1000)
                if now >= start:
                    yield Frame(now, now + 1 / self.layout.rate, self._reader(colors))
        finally:
            self._capture.release()

    def _reader(self, colors: Any) -> Callable[[], Picture]:
        to_float = pixels.converter(self._arrays)
        return lambda: Picture(to_float(np.ascontiguousarray(colors[..., ::-1])))  # OpenCV's order is blue, green, red


class Newest:
    """The newest frame of another clip whenever one is wanted. The clip is read in a thread.

    Args:
        clip: the clip
        paced: each frame comes at its own time, as from a camera; otherwise, as soon as it can be read

    Attributes:
        dropped: number of frames that nobody took
    """

    def __init__(self, clip: Clip, paced: bool) -> None:
        self.path, self.layout = clip.path, replace(clip.layout, count=0)
        self.dropped, self._clip, self._paced = 0, clip, paced
        self._changed, self._stopped = threading.Condition(), threading.Event()
        self._newest: Frame | None = None
        self._ended = False
        self._error: Exception | None = None

    def stop(self) -> None:
        """Ends the clip: no further frame appears. May be called by another thread, or when a signal arrives."""
        self._stopped.set()

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames, each the newest at the time when it is taken.

        Raises:
            StylekitError: the clip cannot be read.
        """
        threading.Thread(target=self._receive, args=(start,), name="live", daemon=True).start()
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self.stop()

    def _next(self) -> Frame | None:
        with self._changed:
            # With a limit, because a signal handler cannot notify: it may have interrupted who holds the lock.
            while not (self._newest or self._ended or self._stopped.is_set()):
                self._changed.wait(0.1)
            if self._error is not None:
                raise self._error
            frame, self._newest = self._newest, None
            return None if self._stopped.is_set() else frame

    def _receive(self, start: Fraction) -> None:
        error = None
        try:
            began = time.monotonic()
            for frame in self._clip.frames(start):
                if self._paced:
                    self._stopped.wait(max(0.0, began + float(frame.start - start) - time.monotonic()))
                if self._stopped.is_set():
                    break
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
        except Exception as fault:  # any error: it is raised where the frames are taken
            error = fault
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()
