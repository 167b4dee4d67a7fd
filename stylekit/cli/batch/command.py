"""``stylekit stylize --cluster``: plans a batch, hands it to the engine, and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stylekit import __version__
from stylekit._files import real_path
from stylekit.cli.batch import ray_data
from stylekit.cli.batch.function import Parcel
from stylekit.cli.batch.manifest import FOLDER, Manifest, settings_digest
from stylekit.cli.batch.worker import FAILED, FATAL, SKIPPED, Outcome, Task, Worker
from stylekit.cli.model_arguments import models_name
from stylekit.cli.naming import Template
from stylekit.cli.progress import Progress
from stylekit.cli.recipe import Recipe
from stylekit.cli.results import Report, check_formats
from stylekit.cli.streams import STREAM
from stylekit.cli.targets import Job, find_sources, is_file_name, plan_jobs
from stylekit.datasets.files import SUFFIXES, is_image
from stylekit.datasets.places import Place, address, is_leftover
from stylekit.datasets.remote import is_address
from stylekit.errors import StylekitError, warn


def stylize_batch(
    cluster: str,
    workers: int | None,
    pictures: Sequence[str],
    out: str,
    recipe: Recipe,
    template: Template,
    suffix: str | None,
    left_out: Sequence[Path],
    overwrite: bool,
    quiet: bool,
    json: bool,
) -> None:
    """Stylises pictures on a cluster. What an earlier call finished with the same settings is not done again.

    Args:
        cluster: ``ray``, or the address of a cluster
        workers: number of workers; None: as many as the cluster has room for
        pictures: images and folders, by paths or URLs
        out: folder for the outputs, by its path or URL
        recipe: what to stylise with
        template: how outputs are named
        suffix: suffix of the outputs; None: that of each picture
        left_out: folders that are left out of the local pictures
        overwrite: forget what was made before
        quiet: show no progress
        json: print a report as JSON

    Raises:
        StylekitError: the batch cannot begin, or cannot go on.
        typer.Exit: with code 1, if some pictures failed.
    """
    where = ray_data.find_address(cluster)
    if STREAM in (out, *pictures):
        raise StylekitError("--cluster reads and writes files that all machines reach. Give paths or URLs, not -.")
    if any(path.startswith("memory://") for path in (out, *pictures)):
        raise StylekitError(
            "memory:// is the memory of one process, and the workers of --cluster have others. Give files."
        )
    folder = Place(address(out))
    if is_file_name(Path(out)):
        raise StylekitError(f"--cluster writes to a folder, but --out {out} is a file.")
    recipe.check()
    sources = find_pictures(pictures, out, left_out)
    jobs = _plan(sources, folder, recipe, template, suffix)
    check_formats(jobs, recipe.quality, recipe.depth)
    addresses = [*sources]
    targets = {job.target.as_posix(): job for job in jobs}
    own = [*recipe.masks, *(path for mix in recipe.mixes for path in mix.files)]
    _keep_inputs(targets, [*sources, *map(str, own)], folder)
    parcel = Parcel(recipe)
    settings, manifest = describe(parcel), Manifest(folder)
    present = {name for name in folder.find() if not name.startswith(f"{FOLDER}/")}
    foreign = present & {*targets}
    if foreign and not overwrite and not folder.find(FOLDER):
        raise StylekitError(
            f"{len(foreign)} of {len(jobs)} outputs exist, such as {folder.path}/{min(foreign)}, and no batch has recorded "
            "them. Add --overwrite to replace them, or give another --out."
        )
    known = manifest.begin(settings, overwrite)
    tasks = [
        Task(
            addresses[int(job.source.name)], job.relative.as_posix(), job.style, target,
            known[target].input if target in known and target in present else "",
        )
        for target, job in targets.items()
    ]  # fmt: skip
    names = [mix.name for mix in recipe.mixes]
    report = Report(
        {
            task.target: {"source": task.source, "target": f"{folder.path}/{task.target}", "style": names[task.style]}
            for task in tasks
        },
        [], folder.path, quiet, json,
    )  # fmt: skip
    worker = Worker(parcel, len(tasks), folder.path, settings_digest(settings))
    gpu = {"cpu": False, "auto": None}.get(recipe.device, True)
    try:
        with ray_data.connected(where) as ray, Progress(quiet) as progress:
            for done, outcome in enumerate(ray_data.run(ray, worker, tasks, workers, gpu), 1):
                progress.update("images", done, len(tasks))
                _note(report, outcome)
    except KeyboardInterrupt:
        report.report(interrupted=True)
        raise
    manifest.merge()
    folder.remove(name for name in folder.find() if is_leftover(name))  # of workers that were killed
    report.report()


def _note(report: Report, outcome: Outcome) -> None:
    """Adds what became of a picture to the report.

    Raises:
        StylekitError: no other picture can succeed.
    """
    if outcome.status == FATAL:
        raise StylekitError(outcome.error)
    for text in outcome.warnings:
        warn(text)
    if outcome.status == SKIPPED:
        report.skipped.append(report.entries.pop(outcome.target))
    elif outcome.status == FAILED:
        report.failed(str(report.entries[outcome.target]["source"]), outcome.error)
    else:
        report.written(outcome.target, dict(outcome.facts or {}))


def find_pictures(pictures: Sequence[str], out: str, left_out: Sequence[Path]) -> dict[str, Path]:
    """The addresses of all pictures, and their paths relative to the folder that the user gave.

    Raises:
        StylekitError: a place cannot be reached, or there are no pictures.
    """
    found: dict[str, Path] = {}
    inside = address(out) + "/"
    for given in pictures:
        if not is_address(given):
            local = find_sources([Path(given)], left_out)
            found |= {address(str(path)): relative for path, relative in local.items()}
            continue
        place = Place(address(given))
        if place.is_file():
            found[place.path] = Path(given.rpartition("/")[2])
            continue
        names = sorted((Path(name) for name in place.find()), key=lambda path: path.parts)
        files = {f"{place.path}/{name.as_posix()}": name for name in names if _shown(name)}
        if not names:
            raise StylekitError(f"There is no image or folder {given}.")
        found |= {path: name for path, name in files.items() if not path.startswith(inside)}
    if not found:
        raise StylekitError(f"There are no images in {', '.join(pictures)} ({', '.join(sorted(SUFFIXES))}).")
    return found


def describe(parcel: Parcel) -> dict[str, Any]:
    """What the outputs depend on besides the pictures, as JSON. Files count by their content, not by their path."""
    recipe, identities = parcel.recipe, parcel.identities()

    def identity(name: object) -> str:
        return identities.get(str(name), str(name))

    settings = asdict(replace(recipe, mixes=[], plugins=[], masks=[], torch_only=[]))
    settings |= {
        "models": [[identity(name), weight] for name, weight in recipe.models],
        "styles": [[[identity(style), weight] for style, weight in mix.styles] for mix in recipe.mixes],
        "masks": [*map(identity, recipe.masks)],
        "plugins": [*map(identity, recipe.plugins)],
        "stylekit": __version__,
    }
    for key in ("mixes", "torch_only"):
        del settings[key]
    return settings


def _plan(sources: Mapping[str, Path], out: Place, recipe: Recipe, template: Template, suffix: str | None) -> list[Job]:
    """The jobs, whose sources are the numbers of the pictures, and whose targets are relative to the folder of outputs."""
    if out.local and not Path(out.path).is_dir() and Path(out.path).exists():
        raise StylekitError(f"{out.path} is a file, not a folder. Give another --out.")
    numbered = {Path(str(number)): relative for number, relative in enumerate(sources.values())}
    return plan_jobs(numbered, Path(), [mix.name for mix in recipe.mixes], template, models_name(recipe.models), suffix)


def _keep_inputs(targets: Mapping[str, Job], sources: Sequence[str], out: Place) -> None:
    """Checks that no input would be overwritten."""
    if out.local:
        read = {str(real_path(source)) for source in sources if not is_address(source)}
        clash = next((name for name in targets if str(real_path(Path(out.path, name))) in read), None)
    else:
        clash = next((name for name in targets if f"{out.path}/{name}" in sources), None)
    if clash:
        raise StylekitError(f"{out.path}/{clash} is one of the inputs and is not overwritten. Give another --out.")


def _shown(path: Path) -> bool:
    """Whether a path is that of an image, and neither it nor one of its folders is hidden."""
    return is_image(path.name) and not any(part.startswith(".") for part in path.parts)
