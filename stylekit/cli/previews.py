"""The progress of an optimisation: its steps, and the intermediate images that ``--preview`` keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylekit._files import explain_os_errors, real_path
from stylekit.cli.naming import distinct
from stylekit.cli.progress import Progress
from stylekit.cli.targets import Job
from stylekit.errors import StylekitError

if TYPE_CHECKING:
    from torch import Tensor

PREVIEWS = 10
"""Approximate number of intermediate images that are kept of an optimisation."""


def plan_previews(
    jobs: Sequence[Job], out: Path, folder: Path, others: Iterable[Path], overwrite: bool = False
) -> dict[Job, Path]:
    """The file name in ``folder`` for each image's intermediate steps; region and step are added to it.

    Args:
        jobs: the images to write
        out: the path that the user gave as ``--out``
        folder: the path that the user gave as ``--preview``
        others: other input files
        overwrite: whether the steps of an earlier run may be replaced

    Raises:
        StylekitError: a step could overwrite an input, a finished image, or a file in the folder.
    """
    relative = (Path(out.name) if job.target == out else job.target.relative_to(out) for job in jobs)
    steps = [folder / path for path in distinct(path.with_suffix(".png") for path in relative)]
    names = {real_path(path.parent) / path.stem for path in steps}

    def in_the_way(path: Path) -> bool:
        full = real_path(path)
        match = re.fullmatch(r"(.+?)(-region-\d+)?-\d{5,}", full.stem)
        return match is not None and full.suffix == ".png" and full.with_name(match[1]) in names

    for path in (*(job.source for job in jobs), *(job.target for job in jobs), *others):
        if in_the_way(path):
            raise StylekitError(f"{path} could be overwritten by intermediate steps. Give another --preview.")
    for path in () if overwrite else folder.rglob("*.png"):
        if in_the_way(path):
            raise StylekitError(f"{path} exists. --overwrite replaces it, or give another --preview.")
    return dict(zip(jobs, steps, strict=True))


def create_preview_folder(folder: Path, model: Any, clip: bool) -> None:
    """Creates the folder for intermediate images.

    Raises:
        StylekitError: the method has no intermediate images, or the folder cannot be created.
    """
    if clip:
        raise StylekitError("--preview shows the steps of single images, so it cannot be combined with --clip.")
    if not model.method.capabilities.optimizes:
        raise StylekitError(
            f"The method {model.name!r} does not optimise, so it has no intermediate steps for --preview."
        )
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


class Steps:
    """Shows the progress of an optimisation, and writes intermediate images if there is a preview folder.

    Args:
        progress: where the steps are shown
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.begin(None)

    def begin(self, preview: Path | None, regions: int = 1) -> None:
        """Starts the next image.

        Args:
            preview: the steps are written to files of this name, with region and step added; None: to none
            regions: number of optimisations of this image
        """
        self.preview, self.regions, self.region, self.last_step = preview, regions, 1, 0

    def __call__(self, step: int, total: int, image: Tensor) -> None:
        self.region += step <= self.last_step  # the steps of each region count from 1
        self.last_step = step
        self.progress.update("steps", step, total)
        if self.preview and (step * PREVIEWS // total > (step - 1) * PREVIEWS // total or step == 1):
            from stylekit import images

            region = f"-region-{self.region}" if self.regions > 1 else ""
            self.preview.parent.mkdir(parents=True, exist_ok=True)
            images.write(self.preview.with_stem(f"{self.preview.stem}{region}-{step:05}"), image[:1])
