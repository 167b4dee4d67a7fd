"""Writes stylised images, and reports at the end which were written, skipped or failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stylekit.cli.failures import failure
from stylekit.cli.output import echo, print_json
from stylekit.cli.streams import Streams
from stylekit.cli.targets import Job

if TYPE_CHECKING:
    from stylekit.images import Animation, Picture


class Results:
    """Writes the results, and keeps count of the written images and the failures.

    Args:
        jobs: the images to write
        skipped: those that are left as they are
        styles: the name of each style
        streams: standard input and output
        out: the folder or file that is written to
        quality: quality of lossy formats, from 1 to 100
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
        quality: int | None = None,
        quiet: bool = False,
        json: bool = False,
    ) -> None:
        self.jobs, self.skipped, self.styles, self.streams, self.out = jobs, skipped, styles, streams, out
        self.quality, self.quiet, self.json = quality, quiet, json
        self._written: dict[Job, dict[str, Any]] = {}
        self._failed: list[dict[str, Any]] = []

    def write(self, job: Job, output: Picture | Animation, seconds: float) -> None:
        """Writes one image, or all its frames; called by several threads."""
        from stylekit import images

        job.target.parent.mkdir(parents=True, exist_ok=True)
        frames = output.frames if isinstance(output, images.Animation) else [output]
        if isinstance(output, images.Animation):
            images.write_frames(job.target, output, quality=self.quality)
        else:
            images.write(job.target, output, quality=self.quality)
        height, width = frames[0].image.shape[-2:]
        self._written[job] = {"width": width, "height": height, "frames": len(frames), "seconds": round(seconds, 3)}

    def fail(self, source: Path, error: Exception) -> None:
        """Records that an image, or the clip in a folder, failed."""
        self._failed.append({"source": self._shown(source), "error": self.streams.shown(failure(source, error))})

    def report(self, interrupted: bool = False) -> None:
        """Prints how many images were written, and which failed.

        Raises:
            typer.Exit: with code 1, if any failed.
        """
        if not self.quiet or interrupted:
            prefix = "Interrupted: " if interrupted else ""
            skipped = f", skipped {len(self.skipped)} that exist" if self.skipped else ""
            animations = [(job, facts["frames"]) for job, facts in self._written.items() if facts["frames"] > 1]
            for job, frames in animations:
                echo(f"{self._shown(job.source)}: all {frames} frames were stylised, as one clip", stderr=True)
            echo(
                f"{prefix}wrote {len(self._written)} of {len(self.jobs)} images to {self._shown(self.out)}{skipped}",
                stderr=True,
            )
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
        return {
            "source": self._shown(job.source),
            "target": self._shown(job.target),
            "style": self.styles[job.style],
        }

    def _shown(self, path: Path) -> str:
        return self.streams.shown(str(path))
