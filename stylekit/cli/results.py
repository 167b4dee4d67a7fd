"""Writes stylised images, and reports at the end which were written, skipped or failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stylekit.cli.failures import failure
from stylekit.cli.output import echo, print_json
from stylekit.cli.streams import STREAM, Streams
from stylekit.cli.targets import Job
from stylekit.errors import StylekitError

if TYPE_CHECKING:
    from stylekit.images import Animation, Canvas, Picture


def check_formats(jobs: Sequence[Job], quality: int | None, depth: int | None) -> None:
    """Checks that the formats of the outputs have the quality and the depth that the user gave.

    Raises:
        StylekitError: none has a quality, the depth is neither 8 nor 16, or a format does not hold it.
    """
    from stylekit.images.writing import DEEP, FORMATS

    formats = {job.target: FORMATS[job.target.suffix.lower()] for job in jobs}
    if quality is not None and not any("quality" in options for _, options in formats.values()):
        raise StylekitError("--quality is for JPEG, WebP and AVIF, and no output has such a format. Add --format jpg.")
    if depth not in (None, 8, 16):
        raise StylekitError(f"--depth must be 8 or 16 bits per channel, not {depth}.")
    shallow = [target for target, (format_, _) in formats.items() if format_ not in DEEP]
    if depth == 16 and shallow:
        raise StylekitError(f"--depth 16 is for PNG and TIFF, but {shallow[0]} is neither. Add --format png.")


class Results:
    """Writes the results, and keeps count of the written images and the failures.

    Args:
        jobs: the images to write
        skipped: those that are left as they are
        styles: the name of each style
        streams: standard input and output
        out: the folder or file that is written to
        quality: quality of lossy formats, from 1 to 100
        depth: bits per channel; None: those of the image, if the format holds them
        quiet: report only failures
        json: report as JSON on stdout, too
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        skipped: Sequence[Job],
        styles: Sequence[str | None],
        streams: Streams,
        out: Path,
        quality: int | None,
        depth: int | None,
        quiet: bool,
        json: bool,
    ) -> None:
        self.jobs, self.skipped, self.styles, self.streams, self.out = jobs, skipped, styles, streams, out
        self.quality, self.depth, self.quiet, self.json = quality, depth, quiet, json
        self._written: dict[Job, dict[str, Any]] = {}
        self._failed: list[dict[str, Any]] = []

    def write(self, job: Job, output: Picture | Animation | Canvas, seconds: float) -> None:
        """Writes one image, or all its frames; called by several threads."""
        from stylekit import images

        job.target.parent.mkdir(parents=True, exist_ok=True)
        frames = len(output.frames) if isinstance(output, images.Animation) else 1
        if isinstance(output, images.Canvas):
            output.save()
        elif isinstance(output, images.Animation):
            images.write_frames(job.target, output, depth=self.depth, quality=self.quality)
        else:
            images.write(job.target, output, depth=self.depth, quality=self.quality)
        height, width = output.size
        self._written[job] = {"width": width, "height": height, "frames": frames, "seconds": round(seconds, 3)}

    def fail(self, source: Path, error: Exception) -> None:
        """Records that an image, or the clip in a folder, failed."""
        self._failed.append({"source": self._path(source), "error": self.streams.shown(failure(source, error))})

    def report(self, interrupted: bool = False) -> None:
        """Prints how many images were written, and which failed.

        Raises:
            typer.Exit: with code 1, if any failed.
        """
        if not self.quiet or interrupted:
            prefix = "Interrupted: " if interrupted else ""
            skipped = f", skipped {len(self.skipped)} that exist" if self.skipped else ""
            written = f"wrote {len(self._written)} of {len(self.jobs)} images" if self.jobs else "wrote nothing"
            animations = [(job, facts["frames"]) for job, facts in self._written.items() if facts["frames"] > 1]
            for job, frames in animations:
                echo(f"{self._shown(job.source)}: all {frames} frames were stylised, as one clip", stderr=True)
            echo(f"{prefix}{written} to {self._shown(self.out)}{skipped}", stderr=True)
        if self.json:
            print_json(self._as_json(interrupted))
            sys.stdout.flush()
        if self._failed and not interrupted:
            echo("Failed:", *(each["error"] for each in self._failed), stderr=True)
            raise typer.Exit(1)

    def _as_json(self, interrupted: bool) -> dict[str, Any]:
        written = (job for job in self.jobs if job in self._written)
        return {
            "written": [{**self._entry(job), **self._written[job]} for job in written],
            "skipped": [self._entry(job) for job in self.skipped],
            "failed": self._failed,
            "interrupted": interrupted,
        }

    def _entry(self, job: Job) -> dict[str, Any]:
        return {"source": self._path(job.source), "target": self._path(job.target), "style": self.styles[job.style]}

    def _path(self, path: Path) -> str:
        return STREAM if path in self.streams.names else str(path)

    def _shown(self, path: Path) -> str:
        return self.streams.shown(str(path))
