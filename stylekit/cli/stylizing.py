"""Stylises the images of one command: reads, stylises and writes each, alone or as the frames of a clip."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from stylekit import images
from stylekit.cli.concurrency import Concurrency
from stylekit.cli.engines import Stylizer
from stylekit.cli.large import Large
from stylekit.cli.masks import Masks
from stylekit.cli.pipeline import MAKERS, run_pipeline
from stylekit.cli.previews import Steps
from stylekit.cli.progress import Progress, track
from stylekit.cli.results import Results
from stylekit.cli.style_arguments import StyleMix
from stylekit.cli.targets import Job
from stylekit.datasets.files import open_image
from stylekit.errors import StylekitError, warn
from stylekit.images import Animation, Canvas, Decoded, Picture
from stylekit.images.animation import ANIMATED
from stylekit.images.resizing import reduced
from stylekit.seeding import derive

Read: TypeAlias = Picture | Animation | Decoded
Made: TypeAlias = Picture | Animation | Canvas
Styles = list[tuple[Any, float]]
"""Styles, as the model describes them, and their weights."""


@dataclass(frozen=True)
class Request:
    """What the user asks for, the same for all images.

    Attributes:
        model: the model
        styles: for each mix its styles and their weights, or why they cannot be used
        masks: the masks of each image
        options: further arguments of ``Model.stylize_picture``: the controls and the method's options
        seed: random seed
        longest: maximum length of the longer side, in pixels; None: no limit
        large: what stylises images in tiles
    """

    model: Stylizer
    styles: Sequence[Styles | Exception]
    masks: Masks
    options: Mapping[str, Any]
    seed: int
    longest: int | None
    large: Large

    def style(self, index: int) -> Styles:
        """The styles of a mix and their weights.

        Raises:
            Exception: they cannot be used.
        """
        styles = self.styles[index]
        if isinstance(styles, Exception):
            raise styles
        return styles

    def size(self, job: Job) -> tuple[int, int]:
        """Height and width at which an image is stylised, or the largest of its frames, from the headers.

        Raises:
            StylekitError: the file cannot be read.
            Exception: its style cannot be used.
        """
        self.style(job.style)
        sizes = images.frame_sizes(job.source) if holds_frames(job) else [images.size(job.source)]
        return max(map(self._fitting, sizes), key=math.prod)

    def read(self, job: Job) -> Picture:
        """Reads an image, or the first of its frames, at the size at which it is stylised."""
        least = min(self.size(job)) if self.longest else None
        return reduced(images.read(job.source, least, self.model.arrays), self.longest or 0)

    def in_tiles(self, job: Job, options: Mapping[str, Any]) -> bool:
        """Whether an image is too large to be stylised at once."""
        size = self.size(job)
        single = images.size(job.source) == size and images.frame_count(job.source) == 1
        return single and self.large.takes(*size, options)

    def read_frames(self, job: Job) -> Picture | Animation:
        """Reads an image, or all its frames if the target can hold them; warns if it cannot."""
        frames = images.frame_count(job.source)
        if frames == 1:
            return self.read(job)
        if not holds_frames(job):
            warn(
                f"{job.source} has {frames} frames, but only the first is stylised, because {job.target} holds one image."
            )
            return self.read(job)
        animation = images.read_frames(job.source, self.model.arrays)
        return replace(animation, frames=[reduced(frame, self.longest or 0) for frame in animation.frames])

    def stylize(self, job: Job, picture: Read, on_progress: Callable[[int, int], None]) -> Made:
        """Stylises one image, perhaps in tiles, or the frames of an animation as a clip."""
        # Derived from the name, so that the images of a folder get different random numbers, but each can be reproduced.
        options = {
            **self.options,
            "seed": derive(self.seed, job.relative.as_posix()),
            "mask": self.masks.of(job.relative),
        }
        if isinstance(picture, Decoded):
            return self.large.stylize(job, picture, self.style(job.style), on_progress, **options)
        if isinstance(picture, Animation):
            return replace(picture, frames=[*self.model.clip(picture.frames, self.style(job.style), **options)])
        return self.model.stylize_picture(picture, self.style(job.style), **options)

    def _fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        return images.scaled(size, min(1.0, (self.longest or max(size)) / max(size)))


def holds_frames(job: Job) -> bool:
    """Whether the target of an animation, or of a TIFF file with several pages, can hold all frames."""
    with open_image(job.source) as file:
        source, target = file.format, images.FORMATS[job.target.suffix.lower()][0]
    return source == target or ("TIFF" not in (source, target) and target in ANIMATED)


def describe_styles(
    model: Stylizer, mixes: Sequence[StyleMix], scale: float, masks: int, quiet: bool
) -> list[Styles | Exception]:
    """Describes each style once. Of several mixes, those that cannot be used fail with their images, later.

    Raises:
        StylekitError: no mix can be used.
    """
    described: list[Styles | Exception] = []
    for mix in track(mixes, "styles", len(mixes), quiet):
        try:
            styles = [(model.style(style, scale), weight) for style, weight in mix.styles]
            model.resolve_styles(styles, masks=masks)  # reports a mismatch before anything is stylised
            described.append(styles)
        except Exception as error:  # any error: the other styles are still used
            described.append(error)
    first = described[0]
    if isinstance(first, Exception) and all(isinstance(each, Exception) for each in described):
        raise first
    return described


def stylize_each(
    request: Request,
    jobs: Sequence[Job],
    previews: Mapping[Job, Path],
    options: Mapping[str, Any],
    write: Callable[[Job, Made, float], None],
    concurrency: Concurrency,
    progress: Progress,
) -> Iterator[tuple[Job, Exception | None]]:
    """Stylises every image by itself, and yields each with its error or None.

    Args:
        request: what the user asks for
        jobs: the images
        previews: where the intermediate images of each go
        options: the method's options
        write: called with each stylised image and the seconds that it took; called by several threads
        concurrency: how many images are stylised at once
        progress: what shows the tiles and the steps of an image
    """

    def read(job: Job) -> Read:
        if request.in_tiles(job, options):
            return images.decode(job.source)
        concurrency.require_memory(*request.size(job))
        return request.read_frames(job)

    def make(job: Job, picture: Read) -> tuple[Made, float]:
        steps.begin(previews.get(job), len(request.style(job.style)) if len(request.masks) else 1)
        if not isinstance(picture, Decoded) and not concurrency.together(picture):
            frames = picture.frames if isinstance(picture, Animation) else [picture]
            request.model.require_memory(*max((frame.size for frame in frames), key=math.prod), options)
        start = time.perf_counter()
        return request.stylize(job, picture, partial(progress.update, "tiles")), time.perf_counter() - start

    request.model.on_step = steps = Steps(progress)
    try:
        yield from run_pipeline(
            jobs, read, make, lambda job, made: write(job, *made), concurrency.at_once, concurrency.prepare,
            lambda picture: not isinstance(picture, Decoded) and concurrency.together(picture),
        )  # fmt: skip
    finally:
        request.model.on_step = None


def stylize_images(
    request: Request,
    jobs: Sequence[Job],
    previews: Mapping[Job, Path],
    options: Mapping[str, Any],
    results: Results,
    concurrency: Concurrency,
) -> None:
    """Stylises every image by itself, shows the progress, and reports at the end or when interrupted."""
    try:
        with Progress(results.quiet) as progress:
            outcomes = stylize_each(request, jobs, previews, options, results.write, concurrency, progress)
            for done, (job, error) in enumerate(outcomes, 1):
                progress.update("images", done, len(jobs))
                if error:
                    results.fail(job.source, error)
    except KeyboardInterrupt:
        results.report(interrupted=True)
        if any(thread.name.startswith(MAKERS) for thread in threading.enumerate()):
            os._exit(130)  # this was the second Ctrl-C, so do not wait for the threads
        raise
    results.report()


def stylize_clips(request: Request, jobs: Sequence[Job], options: Mapping[str, Any], results: Results) -> None:
    """Stylises the images of each folder as the frames of one clip, shows the progress, and reports."""

    def read(job: Job, first: tuple[int, int]) -> Picture:
        if (count := images.frame_count(job.source)) > 1:
            raise StylekitError(
                f"{job.source} has {count} frames of its own. Leave out --clip, or give images of one frame."
            )
        size = request.size(job)
        if size != first:
            sides = [f"{width}x{height}" for height, width in (size, first)]
            raise StylekitError(f"{job.source} has {sides[0]} pixels, but the first frame of the clip has {sides[1]}.")
        request.model.require_memory(*size, options)
        return request.read(job)

    done = 0
    try:
        with Progress(results.quiet) as progress:
            for (folder, style), frames in _clips(jobs).items():
                try:
                    first = request.size(frames[0])
                    outputs = request.model.clip(
                        (read(job, first) for job in frames),
                        request.style(style),
                        mask=request.masks.of(folder),
                        seed=request.seed,
                        **request.options,
                    )
                    start = time.perf_counter()
                    for job, output in zip(frames, outputs, strict=True):
                        results.write(job, output, time.perf_counter() - start)
                        done, start = done + 1, time.perf_counter()
                        progress.update("images", done, len(jobs))
                except Exception as error:  # the other clips continue
                    results.fail(folder, error)
    except KeyboardInterrupt:
        results.report(interrupted=True)
        raise
    results.report()


def _clips(jobs: Iterable[Job]) -> dict[tuple[Path, int], list[Job]]:
    """The jobs of each clip: those of one folder and one style, in their order."""
    clips: dict[tuple[Path, int], list[Job]] = {}
    for job in jobs:
        clips.setdefault((job.source.parent, job.style), []).append(job)
    return clips
