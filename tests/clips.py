"""Writes small video files for tests with PyAV alone, and reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25


def pictures(count: int = 10, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames of a shade each, with a red square in the corner at the top on the left."""
    made = []
    for number in range(count):
        frame = np.full((height, width, 3), 20 + 160 * number // max(count, 1), np.uint8)
        frame[: height // 4, : width // 4] = (200, 30, 30)
        made.append(frame)
    return made


def write_clip(
    path: Path,
    frames: Iterable[np.ndarray] | None = None,
    *,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    rotation: int = 0,
    sound: str | None = None,
    tone: float = 0,
    **facts: Any,
) -> Path:
    """Writes a video file.

    Args:
        path: the file
        frames: frames ``(H, W, 3)``, uint8; by default those of :func:`pictures`
        codec: FFmpeg's name of the encoder
        times: when each frame appears, in milliseconds; by default 25 frames per second
        rotation: by how many degrees a player is to turn it, counter-clockwise
        sound: FFmpeg's name of an encoder, for a tone
        tone: seconds of the tone; by default, it is as long as the frames
        facts: attributes of the codec, such as ``colorspace``
    """
    frames = list(pictures() if frames is None else frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"crf": "5"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for name, value in facts.items():
            setattr(stream.codec_context, name, value)
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = container.add_stream(sound, rate=48000) if sound else None
        for number, colors in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(colors, "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=facts.get("colorspace", 5),
                dst_color_range=facts.get("color_range", 1),
            )
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio:
            seconds = tone or len(frames) / RATE
            wave = np.sin(np.arange(int(48000 * seconds)) * 0.06).astype(np.float32)
            for start in range(0, len(wave), 960):
                block = av.AudioFrame.from_ndarray(wave[None, start : start + 960], "fltp", "mono")
                block.sample_rate, block.pts = 48000, start
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def read_clip(path: Path) -> list[np.ndarray]:
    """The frames ``(H, W, 3)`` of a video file, uint8, as stored."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_times(path: Path) -> list[Fraction]:
    """When each frame of a video file appears, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[bytes]:
    """The packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        [stream, *_] = [each for each in container.streams if each.type == kind]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
