"""Reads video files: every frame once, upright, in 8 bits per channel, with the times at which they are shown."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from stylekit._files import explain_os_errors, require_regular
from stylekit.errors import StylekitError, counted, warn
from stylekit.images import pixels
from stylekit.images.picture import Picture
from stylekit.images.video.clip import BT709, Frame, Layout
from stylekit.images.video.colors import PRIMARIES, Converter, matrix_of
from stylekit.registry.extras import import_extra

CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,asf,flv,ogg,h264,hevc,m4v"
"""FFmpeg's names of the formats that are read. It knows more, some of which, such as playlists, name other files to open."""
UNKNOWN_RATE = Fraction(25)
"""Frames per second of a file that does not tell."""


@contextmanager
def open_video(path: Path) -> Iterator[Any]:
    """Opens a video file with PyAV within the block. No other file or address that it may name is opened.

    Raises:
        StylekitError: it is missing, empty, damaged, or has no video, or PyAV is not installed.
    """
    av = import_extra("av", "video", f"Reading {path}")
    require_regular(path)
    with explain_os_errors(path, "read"):
        if not path.stat().st_size:
            raise StylekitError(f"{path} cannot be read: it is empty.")
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            container = av.open(f"file:{path}", options=options, metadata_errors="replace")
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise StylekitError(f"{path} cannot be read: it is damaged, truncated, or not a video.") from error
    with container:
        if not container.streams.video:
            raise StylekitError(f"{path} has no video stream, only {_kinds(container)}.")
        yield container


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "an empty container"


class VideoFile:
    """A video file; its first video stream is read. ``sound`` names the kinds of streams that may go with it: audio, subtitle.

    Args:
        path: the file
        arrays: the pictures have NumPy arrays instead of tensors, and torch is not imported

    Raises:
        StylekitError: it cannot be read, or has no frame.
    """

    def __init__(self, path: Path, arrays: bool = False) -> None:
        self.path, self._arrays = path, arrays
        with open_video(path) as container:
            stream = container.streams.video[0]
            first = next(_Decoder(container, stream).frames(), None)
            if first is None:
                raise StylekitError(f"{path} has no frame that can be read: it is empty, damaged or truncated.")
            self.layout = _layout(container, stream, first)
            self.sound = sorted({each.type for each in container.streams if each.type in ("audio", "subtitle")})

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames in the order in which they are shown, from the first that appears at ``start`` seconds or later.

        A warning tells of frames that are missing or damaged, and of colours that 8 bits cannot hold.
        """
        with open_video(self.path) as container:
            stream = container.streams.video[0]
            decoder, convert = _Decoder(container, stream), Converter(self.path, stream.width, stream.height)
            if start > 0:
                decoder.seek(start + _origin(container))
            for decoded, begin, end in _timed(decoder.frames(), _origin(container), self.layout.rate):
                if begin >= start:
                    yield Frame(begin, end, _reader(decoded, convert, self._arrays))
            decoder.report(self.path, whole=start <= 0)


def _reader(decoded: Any, convert: Converter, arrays: bool) -> Callable[[], Picture]:
    def read() -> Picture:
        colors = _upright(convert(decoded), *_matrix(decoded))
        return Picture(pixels.converter(arrays)(colors))

    return read


class _Decoder:
    """Decodes what can be decoded, and counts the rest."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._error = import_extra("av", "video", "Reading a video").error.FFmpegError
        self._container, self._stream = container, stream
        self._packets = self._decoded = self._damaged = 0
        self._end = Fraction(0)
        stream.thread_type = "AUTO"

    def frames(self) -> Iterator[Any]:
        for packet in self._demuxed():
            if packet.stream.index != self._stream.index:
                continue
            self._packets += packet.size > 0
            try:
                decoded = packet.decode()
            except self._error:
                self._damaged += 1
                continue
            for frame in decoded:
                self._decoded += 1
                self._damaged += frame.is_corrupt
                yield frame

    def seek(self, time: Fraction) -> None:
        """Goes to a key frame before a time, by the clip's own clock; stays at the start if the file has no index."""
        with suppress(self._error):
            self._container.seek(int(time * 1_000_000), backward=True)

    def _demuxed(self) -> Iterator[Any]:
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except self._error:  # the file ends in the middle of a packet
                self._damaged += 1
                return
            if packet is None:
                return
            if packet.pts is not None:
                self._end = max(self._end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            yield packet

    def report(self, path: Path, whole: bool) -> None:
        """Warns if frames are damaged, or if fewer are there than the header of the ``whole`` file says."""
        said = self._stream.frames if whole else 0
        if self._packets < said:
            warn(f"{path} is truncated: {self._decoded} of {said} frames could be read, and only these are used.")
        elif self._ends_early():
            seconds = f"{float(self._end):.2f} of {self._container.duration / 1_000_000:.2f} seconds"
            warn(f"{path} is truncated: {seconds} could be read, and only these are used.")
        elif self._damaged:
            warn(f"{path} is damaged in {counted(self._damaged, 'place')}: frames there are missing or show errors.")

    def _ends_early(self) -> bool:
        """Whether a Matroska file, which does not count its frames, ends more than two of them before its header says.

        The duration is that of the longest stream, so packets of all of them count. Other formats have a count, or FFmpeg
        derives the duration from what is there.
        """
        if "matroska" not in self._container.format.name or not self._end:
            return False
        said = Fraction(self._container.duration or 0, 1_000_000)
        return self._end + 2 / _rate(self._stream) < said


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or UNKNOWN_RATE)


def _origin(container: Any) -> Fraction:
    """When the clip starts, by its own clock, in seconds."""
    return Fraction(container.start_time or 0, 1_000_000)


def _timed(frames: Iterator[Any], origin: Fraction, rate: Fraction) -> Iterator[tuple[Any, Fraction, Fraction]]:
    """The frames, and when each appears and disappears; later than the frame before, even if the file says otherwise."""
    waiting: tuple[Any, Fraction] | None = None
    for frame in frames:
        begin = None if frame.pts is None else frame.pts * frame.time_base - origin
        if waiting is None:
            begin = begin or Fraction(0)
        elif begin is None or begin <= waiting[1]:
            begin = waiting[1] + 1 / rate
        if waiting:
            yield (*waiting, begin)
        waiting = (frame, begin)
    if waiting:
        frame, begin = waiting
        yield frame, begin, begin + (frame.duration * frame.time_base if frame.duration else 1 / rate)


def _layout(container: Any, stream: Any, first: Any) -> Layout:
    rate = _rate(stream)
    seconds = container.duration / 1_000_000 if container.duration else 0
    height, width = first.height, first.width
    aspect = stream.sample_aspect_ratio or Fraction(1)
    swapped = _matrix(first)[0] == 0
    return Layout(
        size=(width, height) if swapped else (height, width),
        count=stream.frames or max(1, round(seconds * rate)),
        rate=rate,
        time_base=Fraction(stream.time_base),
        pixel_aspect=1 / aspect if swapped else aspect,
        matrix=matrix if (matrix := matrix_of(first)) in PRIMARIES else BT709,
    )


def _matrix(frame: Any) -> tuple[int, int, int, int]:
    """The signs of a, b, c and d of the display matrix: a pixel (x, y) is shown at (a x + c y, b x + d y)."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = struct.unpack("=9i", bytes(data))
            a, b, c, d = ((value > 0) - (value < 0) for value in (values[0], values[1], values[3], values[4]))
            if (a and d and not b and not c) or (b and c and not a and not d):  # otherwise not a multiple of 90 degrees
                return a, b, c, d
    return 1, 0, 0, 1


def _upright(colors: pixels.Array, a: int, b: int, c: int, d: int) -> pixels.Array:
    return colors[::d, ::a] if a else colors.swapaxes(0, 1)[::b, ::c]
