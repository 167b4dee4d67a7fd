"""Clips of ``stylekit video`` that are no files: raw frames on pipes, and live ones."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, BinaryIO

import typer

from stylekit._files import path_exists
from stylekit.cli.streams import check_stdout
from stylekit.errors import StylekitError
from stylekit.images.video.raw import STREAM

if TYPE_CHECKING:
    from stylekit.images.video.clip import Clip
    from stylekit.images.video.live import Newest


def check_streams(
    clip: Path, out: Path, raw: str | None, live: bool, preview: bool, resume: bool, json: bool, steady: str | None
) -> None:
    """Checks that the options fit a clip that is no file.

    Raises:
        StylekitError: they do not.
    """
    if clip == STREAM and raw is None:
        raise StylekitError(
            "- reads raw RGB frames from standard input, which do not tell their size. Add it, such as --raw 640x360."
        )
    if raw is not None and clip != STREAM:
        raise StylekitError(f"--raw is the size of frames on standard input, but the clip is {clip}. Give - instead.")
    if clip == STREAM and (sys.stdin is None or sys.stdin.isatty()):
        raise StylekitError("- reads raw frames from standard input, which is a terminal. Redirect a program to it.")
    if out == STREAM and preview:
        raise StylekitError("--preview writes an image, so --out cannot be -. Give a file, such as preview.png.")
    if out == STREAM:
        check_stdout(json, "--out - writes raw frames to standard output, which is a terminal. Redirect it.")
    once = "--live" if live else f"The clip {STREAM}" if clip == STREAM else None
    if once and preview:
        raise StylekitError(f"{once} has no length, so --preview cannot spread frames over it. Leave one of them out.")
    if resume and (once or out == STREAM or preview):
        raise StylekitError("--resume is for clips that become files. A stream or a preview cannot be resumed.")
    if once and steady == "statistics":
        raise StylekitError(
            f"{once} cannot be read twice, which --steady statistics needs. Use --steady flow, or leave it out."
        )


def require_clip(clip: Path, live: bool) -> None:
    """Checks that there is such a clip.

    Raises:
        StylekitError: there is none.
    """
    if clip == STREAM or path_exists(clip) or (live and _names_camera(clip)):
        return
    camera = " If it is the number of a camera, add --live." if clip.name.isdecimal() else ""
    raise StylekitError(f"There is no clip {clip}.{camera}")


def _names_camera(clip: Path) -> bool:
    return str(clip).isdecimal() and not path_exists(clip)


def open_source(clip: Path, raw: str | None, live: bool, rate: Fraction, arrays: bool) -> Clip:
    """Opens a clip: a file, a folder, raw frames, or a live one.

    Raises:
        StylekitError: it is missing or cannot be read.
    """
    from stylekit.images.video.live import Camera, Newest
    from stylekit.images.video.opening import open_clip
    from stylekit.images.video.raw import RawFrames, read_frame_size

    if live and _names_camera(clip):
        return Newest(Camera(int(clip.name), arrays), paced=False)
    if raw is not None:
        source: Clip = RawFrames(sys.stdin.buffer, read_frame_size(raw), rate, arrays)
        return Newest(source, paced=False) if live else source
    source = open_clip(clip, rate, arrays)
    return Newest(source, paced=True) if live else source


def reserve_stdout(context: typer.Context) -> BinaryIO:
    """Standard output for frames alone: until the command ends, whatever else is printed goes to standard error."""
    pipe = sys.stdout.buffer
    context.with_resource(contextlib.redirect_stdout(sys.stderr))
    return pipe


@contextlib.contextmanager
def ended_by_ctrl_c(clip: Newest) -> Iterator[None]:
    """Within the block, the first Ctrl-C ends a live clip, so that its file is finished; the second one interrupts."""

    def stop(number: int, frame: FrameType | None) -> None:
        clip.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
