"""Writes video files: encodes frames segment by segment, and joins the segments with the sound of the source.

Each segment begins with a key frame and refers to no other one, so joining them copies their packets, without a loss.
"""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

from stylekit.errors import NO_SPACE, StylekitError
from stylekit.images.pixels import Array
from stylekit.images.video.clip import BT709, Layout
from stylekit.images.video.colors import LIMITED, PRIMARIES, even, to_yuv
from stylekit.images.video.reading import open_video
from stylekit.registry.extras import import_extra

REORDERED = 2
"""How many frames that are shown earlier may be decoded after a frame: x264's maximum."""
SLOWEST, FASTEST = Fraction(1, 1000), Fraction(240)
"""The smallest and the largest number of frames per second that an encoder is told."""
QUALITY = 66
"""The default quality, from 1 to 100: a CRF of 18 for H.264."""


@dataclass(frozen=True)
class Format:
    """A format of video files.

    Attributes:
        muxer: FFmpeg's name of the container
        encoders: FFmpeg's names of encoders, the best first
        constant_rate: whether all frames are shown for the same time
        options: options of the muxer
    """

    muxer: str
    encoders: tuple[str, ...]
    constant_rate: bool = False
    options: tuple[tuple[str, str], ...] = ()


H264 = ("libx264", "mpeg4")
MP4 = Format("mp4", H264, options=(("movflags", "faststart"),))
FORMATS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": Format("mov", H264, options=(("movflags", "faststart"),)),
    ".mkv": Format("matroska", H264),
    ".webm": Format("webm", ("libvpx-vp9",)),
    ".avi": Format("avi", ("mpeg4",), constant_rate=True),
}
"""The formats that are written, by the suffix of the file."""


def encoder_options(encoder: str, quality: int) -> dict[str, str]:
    """The options of an encoder for a quality from 1 to 100."""
    if encoder == "libx264":
        return {"crf": f"{51 - quality / 2:g}", "preset": "medium"}
    if encoder == "libvpx-vp9":
        settings = {"deadline": "good", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0", "lag-in-frames": "0"}
        return {"crf": f"{63 - 0.63 * quality:.0f}", "b": "0", **settings}
    scale = max(1, round(31 * (1 - quality / 100) ** 2))
    return {"qmin": str(scale), "qmax": str(scale)}


def available_encoder(format_: Format) -> str:
    """The first encoder of a format that the installed PyAV has.

    Raises:
        StylekitError: it has none, or PyAV is not installed.
    """
    av = import_extra("av", "video", "Writing a video")
    for name in format_.encoders:
        if name in av.codecs_available:
            return name
    raise StylekitError(f"The installed PyAV has no encoder {' or '.join(format_.encoders)}. Write another format.")


class SegmentEncoder:
    """Encodes frames as a Matroska file of their own, in memory. An odd side is padded.

    Args:
        encoder: FFmpeg's name of the encoder
        options: its options
        layout: what the source's headers say
        size: height and width of the frames in pixels
    """

    def __init__(self, encoder: str, options: dict[str, str], layout: Layout, size: tuple[int, int]) -> None:
        av = import_extra("av", "video", "Writing a video")
        self._content, self._layout, self.count = io.BytesIO(), layout, 0
        self._base = 1 / min(max(layout.rate, SLOWEST), FASTEST).limit_denominator(1001)
        self._container = av.open(self._content, "w", format="matroska")
        self._stream = stream = self._container.add_stream(encoder, rate=1 / self._base, options=options)
        height, width = size
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        codec = stream.codec_context
        codec.sample_aspect_ratio = layout.pixel_aspect
        codec.colorspace, codec.color_range = layout.matrix, LIMITED
        codec.color_primaries, codec.color_trc = PRIMARIES[layout.matrix], BT709

    def add(self, colors: Array) -> None:
        """Encodes the next frame, RGB ``(H, W, 3)``, uint8."""
        frame = to_yuv(even(colors), self._layout.matrix)
        frame.pts, frame.time_base = self.count, self._base
        self._container.mux(self._stream.encode(frame))
        self.count += 1

    def finish(self) -> bytes:
        """The content of the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._content.getvalue()


@dataclass(frozen=True)
class Sound:
    """What is copied from the source as it is: sound, subtitles, chapters and metadata.

    Attributes:
        path: the source, a video file
        start: the second at which the frames begin
        end: the second at which they end; None: the end of the source
    """

    path: Path
    start: Fraction = Fraction(0)
    end: Fraction | None = None

    def covers(self, time: Fraction) -> bool:
        """Whether a second of the source is one of those of the frames."""
        return self.start <= time and (self.end is None or time < self.end)


def join(
    segments: Sequence[Path],
    out: Path,
    times: Sequence[tuple[Fraction, Fraction]],
    layout: Layout,
    sound: Sound | None = None,
) -> None:
    """Joins segments without encoding them again.

    Args:
        segments: files that :class:`SegmentEncoder` made, each named by the number of frames up to its end
        out: the file to write; its suffix determines the format
        times: when each frame appears and disappears, in seconds
        layout: what the source's headers say
        sound: what else is copied; None: nothing

    Raises:
        OSError: no space is left.
        StylekitError: the file cannot be written.
    """
    av = import_extra("av", "video", f"Writing {out}")
    format_ = FORMATS[out.suffix.lower()]
    with _explained(av, out), ExitStack() as stack:
        container = stack.enter_context(
            av.open(f"file:{out}", "w", format=format_.muxer, options={"fflags": "+bitexact", **dict(format_.options)})
        )
        first = stack.enter_context(av.open(f"file:{segments[0]}", format="matroska"))
        video = container.add_stream_from_template(first.streams.video[0])
        video.time_base = 1 / layout.rate if format_.constant_rate else layout.time_base
        packets = _video_packets(av, segments, video, times)
        if sound:
            source = stack.enter_context(open_video(sound.path))
            streams = {each.index: container.add_stream_from_template(each) for each in carried(source, format_)}
            origin = _copy_facts(source, container, {source.streams.video[0].index: video, **streams}, sound)
            packets = heapq.merge(packets, _sound_packets(source, streams, sound, origin), key=_when)
        for packet in packets:
            container.mux(packet)


def _when(packet: Any) -> Fraction:
    return Fraction((packet.pts if packet.dts is None else packet.dts) * packet.time_base)


def _video_packets(
    av: Any, segments: Sequence[Path], video: Any, times: Sequence[tuple[Fraction, Fraction]]
) -> Iterator[Any]:
    """The packets of the segments, with the times of their frames in place of their own.

    A packet may be decoded before others that are shown earlier (B-frames), by up to :data:`REORDERED`. So the packet at
    position i is decoded when frame i - REORDERED is shown, or that much before the first.
    """
    base = Fraction(video.time_base)
    shown = list(accumulate((round(begin / base) for begin, _ in times), lambda last, begin: max(begin, last + 1)))
    step = max(1, round((times[0][1] - times[0][0]) / base))
    decoded = [*(shown[0] - step * number for number in range(REORDERED, 0, -1)), *shown]
    first = 0
    for path in segments:
        with av.open(f"file:{path}", format="matroska") as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        if first + len(packets) != int(path.stem):
            raise StylekitError(f"{path} is damaged: frames are missing. Remove it and all after it, and --resume.")
        ranks = {pts: rank for rank, pts in enumerate(sorted(packet.pts for packet in packets))}
        for position, packet in enumerate(packets, first):
            frame = first + ranks[packet.pts]
            packet.time_base, packet.stream = base, video
            packet.pts, packet.dts = shown[frame], decoded[position]
            packet.duration = max(1, round(times[frame][1] / base) - shown[frame])
            yield packet
        first += len(packets)


def _sound_packets(source: Any, streams: Mapping[int, Any], sound: Sound, origin: Fraction) -> Iterator[Any]:
    if not streams:
        return
    for packet in source.demux(*(source.streams[index] for index in streams)):
        if packet.pts is None or not packet.size:
            continue
        time = packet.pts * packet.time_base - origin
        if sound.covers(time) or (not sound.start and time < 0):  # what a decoder needs before the first sound
            offset = round((origin + sound.start) / packet.time_base)
            packet.dts = (packet.pts if packet.dts is None else packet.dts) - offset
            packet.pts -= offset
            packet.stream = streams[packet.stream.index]
            yield packet


def carried(source: Any, format_: Format) -> list[Any]:
    """The streams of sound and subtitles of an open file that a format can hold."""
    return [
        stream for stream in _sounding(source) if stream.codec_context and stream.codec_context.name in _held(format_)
    ]


def left_out(path: Path, format_: Format) -> list[str]:
    """The codecs of sound and subtitles of a video file that a format cannot hold."""
    with open_video(path) as source:
        kept = {stream.index for stream in carried(source, format_)}
        lost = [stream for stream in _sounding(source) if stream.index not in kept]
        return [
            f"{stream.type} ({stream.codec_context.name if stream.codec_context else 'unknown'})" for stream in lost
        ]


def _sounding(source: Any) -> list[Any]:
    return [stream for stream in source.streams if stream.type in ("audio", "subtitle")]


def _held(format_: Format) -> set[str]:
    """The codecs that a container holds."""
    av = import_extra("av", "video", "Writing a video")
    codecs: set[str] = set(av.open(io.BytesIO(), "w", format=format_.muxer).supported_codecs)
    return codecs


def _copy_facts(source: Any, container: Any, streams: Mapping[int, Any], sound: Sound) -> Fraction:
    """Copies metadata and chapters; returns when the source starts, by its own clock."""
    described = [(source, container), *((source.streams[index], copied) for index, copied in streams.items())]
    for one, other in described:
        other.metadata.update({key: value for key, value in one.metadata.items() if not TECHNICAL.match(key)})
    chapters = []
    for chapter in source.chapters():
        base = chapter["time_base"]
        begin, end = (chapter[key] - round(sound.start / base) for key in ("start", "end"))
        if end > 0 and (sound.end is None or begin * base < sound.end - sound.start):
            chapters.append({**chapter, "start": max(begin, 0), "end": end})
    container.set_chapters(chapters)
    return Fraction(source.start_time or 0, 1_000_000)


TECHNICAL = re.compile(r"encoder|(major|minor|compatible)_|rotate|vendor_id|DURATION|BPS|NUMBER_OF_|_STATISTICS", re.I)
"""Metadata that describe the source's own file, and not what it shows."""


@contextmanager
def _explained(av: Any, out: Path) -> Iterator[None]:
    """Raises FFmpeg's errors about a full disk as those of the operating system, and others as errors of the output."""
    try:
        yield
    except av.error.FFmpegError as error:
        if error.errno in NO_SPACE:
            raise OSError(error.errno, error.strerror) from error
        raise StylekitError(f"{out} cannot be written ({error.strerror}). Try another format, such as .mkv.") from error
