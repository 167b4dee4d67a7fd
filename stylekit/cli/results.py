"""Writes stylised images, and reports at the end which were written, skipped or failed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stylekit.cli.failures import failure
from stylekit.cli.output import echo, print_json
from stylekit.cli.streams import STREAM, Streams
from stylekit.cli.targets import Job
from stylekit.errors import StylekitError

if TYPE_CHECKING:
    from stylekit.images import Animation, Canvas, Picture, Raster


def check_formats(jobs: Sequence[Job], quality: int | None, depth: int | None) -> None:
    """Checks that the formats of the outputs have the quality and the depth that the user gave.

    Raises:
        StylekitError: none has a quality, the depth is neither 8 nor 16, or a format does not hold it.
    """
    from stylekit.images.writing import DEEP, FORMATS

    formats = {job.target: FORMATS.get(job.target.suffix.lower(), ("", {})) for job in jobs}
    if quality is not None and not any("quality" in options for _, options in formats.values()):
        raise StylekitError("--quality is for JPEG, WebP and AVIF, and no output has such a format. Add --format jpg.")
    if depth not in (None, 8, 16):
        raise StylekitError(f"--depth must be 8 or 16 bits per channel, not {depth}.")
    shallow = [target for target, (format_, _) in formats.items() if format_ not in DEEP]
    if depth == 16 and shallow:
        raise StylekitError(f"--depth 16 is for PNG and TIFF, but {shallow[0]} is neither. Add --format png.")


def save(
    target: Path, output: Picture | Animation | Canvas | Raster, depth: int | None, quality: int | None
) -> dict[str, int]:
    """Writes one image, or all its frames.

    Returns:
        width, height and number of frames
    """
    from stylekit import images

    if isinstance(output, images.Canvas):
        output.save()
    elif isinstance(output, images.Animation):
        images.write_frames(target, output, depth=depth, quality=quality)
    elif isinstance(output, images.Raster):
        images.write_raster(target, output)
    else:
        images.write(target, output, depth=depth, quality=quality)
    height, width = output.size
    frames = len(output.frames) if isinstance(output, images.Animation) else 1
    return {"width": width, "height": height, "frames": frames}


class Report:
    """Keeps count of the written images and the failures.

    Args:
        entries: what identifies each image to write, by a key of any type
        skipped: the same of those that are left as they are
        out: the folder or file that is written to, as it is shown
        quiet: report only failures
        json: report as JSON on stdout, too
    """

    def __init__(
        self,
        entries: Mapping[Any, Mapping[str, Any]],
        skipped: list[Mapping[str, Any]],
        out: str,
        quiet: bool,
        json: bool,
    ) -> None:
        self.entries, self.skipped, self.out, self.quiet, self.json = dict(entries), skipped, out, quiet, json
        self._written: dict[Any, dict[str, Any]] = {}
        self._failed: list[dict[str, Any]] = []

    def written(self, key: Any, facts: dict[str, Any]) -> None:
        """Records that an image was written."""
        self._written[key] = facts

    def failed(self, source: str, error: str) -> None:
        """Records that an image failed."""
        self._failed.append({"source": source, "error": error})

    def report(self, interrupted: bool = False) -> None:
        """Prints how many images were written, and which failed.

        Raises:
            typer.Exit: with code 1, if any failed.
        """
        if not self.quiet or interrupted:
            prefix = "Interrupted: " if interrupted else ""
            skipped = f", skipped {len(self.skipped)} that exist" if self.skipped else ""
            count = f"wrote {len(self._written)} of {len(self.entries)} images" if self.entries else "wrote nothing"
            for key, facts in self._written.items():
                if facts["frames"] > 1:
                    source = self.entries[key]["source"]
                    echo(f"{source}: all {facts['frames']} frames were stylised, as one clip", stderr=True)
            echo(f"{prefix}{count} to {self.out}{skipped}", stderr=True)
        if self.json:
            print_json(self._as_json(interrupted))
            sys.stdout.flush()
        if self._failed and not interrupted:
            echo("Failed:", *(each["error"] for each in self._failed), stderr=True)
            raise typer.Exit(1)

    def _as_json(self, interrupted: bool) -> dict[str, Any]:
        written = (key for key in self.entries if key in self._written)
        return {
            "written": [{**self.entries[key], **self._written[key]} for key in written],
            "skipped": self.skipped,
            "failed": self._failed,
            "interrupted": interrupted,
        }


class Results(Report):
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
        self.styles, self.streams, self.quality, self.depth = styles, streams, quality, depth
        entries = {job: self._entry(job) for job in jobs}
        super().__init__(entries, [*map(self._entry, skipped)], streams.shown(str(out)), quiet, json)

    def write(self, job: Job, output: Picture | Animation | Canvas | Raster, seconds: float) -> None:
        """Writes one image, or all its frames; called by several threads."""
        job.target.parent.mkdir(parents=True, exist_ok=True)
        self.written(job, {**save(job.target, output, self.depth, self.quality), "seconds": round(seconds, 3)})

    def fail(self, source: Path, error: Exception) -> None:
        """Records that an image, or the clip in a folder, failed."""
        self.failed(self._path(source), self.streams.shown(failure(source, error)))

    def _entry(self, job: Job) -> dict[str, Any]:
        return {"source": self._path(job.source), "target": self._path(job.target), "style": self.styles[job.style]}

    def _path(self, path: Path) -> str:
        return STREAM if path in self.streams.names else str(path)
