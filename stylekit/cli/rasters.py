"""Stylises images of any type and number of channels, and writes them in the same type and range."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from stylekit import images
from stylekit.cli.progress import Progress
from stylekit.cli.results import Results
from stylekit.cli.stylizing import Request
from stylekit.cli.targets import Job
from stylekit.errors import StylekitError
from stylekit.inference.model import Model
from stylekit.seeding import derive


def require_pictures(jobs: Sequence[Job], model: str) -> None:
    """Checks that all outputs are pictures, as a model for RGB pictures makes them.

    Raises:
        StylekitError: one is a file of values.
    """
    for job in jobs:
        if job.target.suffix.lower() not in images.FORMATS:
            raise StylekitError(
                f"{job.target} would be a file of values, but {model} is a model for RGB pictures. Give a model that was "
                f"trained on values, with the data set 'rasters', or write one of {', '.join(images.FORMATS)}."
            )


def stylize_rasters(request: Request, jobs: Sequence[Job], results: Results, given: Mapping[str, Any]) -> None:
    """Stylises every file by itself, shows the progress, and reports at the end or when interrupted.

    Args:
        request: what the user asks for
        jobs: the files
        results: what writes them
        given: options that only RGB pictures have, by their names on the command line

    Raises:
        StylekitError: one of these options is given.
    """
    for option in (option for option, value in given.items() if value):
        raise StylekitError(f"{option} is for RGB pictures, and the model was trained on values. Leave it out.")
    model = request.model
    assert isinstance(model, Model)
    try:
        with Progress(results.quiet) as progress:
            for done, job in enumerate(jobs, 1):
                try:
                    start = time.perf_counter()
                    raster = images.read_raster(job.source, model.file_channels)
                    made = model.stylize_raster(
                        raster,
                        request.style(job.style),
                        seed=derive(request.seed, job.relative.as_posix()),
                        mask=request.masks.of(job.relative),
                        tiles=request.large.tiles,
                        **request.options,
                    )
                    results.write(job, made, time.perf_counter() - start)
                except Exception as error:  # the other files continue
                    results.fail(job.source, error)
                progress.update("images", done, len(jobs))
    except KeyboardInterrupt:
        results.report(interrupted=True)
        raise
    results.report()
