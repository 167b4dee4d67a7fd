"""The files that ``stylekit video`` writes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from stylekit import images
from stylekit._files import explain_os_errors
from stylekit.cli.output import echo
from stylekit.cli.part_folders import discard
from stylekit.cli.targets import check_overwrite
from stylekit.errors import StylekitError, counted, warn
from stylekit.images.video import writing
from stylekit.images.video.clip import Clip, Selection
from stylekit.images.video.opening import is_video
from stylekit.images.video.parts import FrameFiles, Parts, Segments, finished
from stylekit.images.video.raw import STREAM
from stylekit.images.video.reading import VideoFile

FRAME_FILE = re.compile(r"\d{6}\.png")


def check_output(out: Path, quality: int | None, overwrite: bool, preview: bool = False) -> None:
    """Checks that a clip, or a preview of one, can be written to a path.

    Raises:
        StylekitError: it exists, its suffix is unknown, it has no quality, or a folder holds something else than frames.
    """
    if preview and out.suffix.lower() not in images.FORMATS:
        raise StylekitError(f"--preview writes an image, and --out {out} is none. Give one such as preview.png.")
    lossy = (not preview and is_video(out)) or out.suffix.lower() in (".webp", ".avif")
    if quality is not None and not lossy:
        raise StylekitError(f"--quality is for videos, WebP and AVIF, and {out} is none of them. Leave it out.")
    if out == STREAM:
        return
    check_overwrite(out, overwrite)
    if out.is_dir() and any(out.iterdir()):
        if not all(FRAME_FILE.fullmatch(path.name) for path in out.iterdir()):
            raise StylekitError(f"{out} is a folder with other files than frames. Give an empty or a new one as --out.")
        if not overwrite:
            raise StylekitError(f"{out} holds frames. --overwrite replaces them.")
    with explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)


def make_parts(
    part: Path, source: Clip, selection: Selection, out: Path, quality: int | None, keep_last: bool
) -> Parts:
    """What writes the frames of the output; warns of sound that is lost."""
    sounding = isinstance(source, VideoFile)
    if not is_video(out):
        lost = source.sound if isinstance(source, VideoFile) else []
        if lost:
            warn(f"{out} holds no {' or '.join(lost)}, so those of {source.path} are left out.")
        return FrameFiles(part, quality, source.layout.loop, keep_last)
    format_ = writing.FORMATS[out.suffix.lower()]
    if sounding and (lost := writing.left_out(source.path, format_)):
        warn(f"{', '.join(lost)} of {source.path} cannot be copied to {out.suffix} and is left out. Try .mkv.")
    sound = writing.Sound(source.path, selection.start, selection.end) if sounding else None
    return Segments(part, out.suffix, quality or writing.QUALITY, source.layout, sound, keep_last)


@contextlib.contextmanager
def kept_after_errors(part: Path, resumable: bool) -> Iterator[None]:
    """If the block fails, says what is finished and how to go on, or removes the folder if nothing is.

    The remedy of an error may be another setting, with which a clip cannot go on: so both ways are named.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if not (count := finished(part)):
            discard(part)
            raise
        ways = ": with the same settings, --resume goes on from there; with others, --overwrite starts again"
        told = f"{part} keeps {counted(count, 'finished frame')}{ways if resumable else ''}."
        if isinstance(error, StylekitError):
            raise StylekitError(f"{error} {told}") from error
        echo(f"Interrupted. {told}" if isinstance(error, KeyboardInterrupt) else told, stderr=True)
        raise
