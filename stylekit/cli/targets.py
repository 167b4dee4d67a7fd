"""Decides which file each stylised image is written to, and never overwrites an input."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from stylekit._files import real_path
from stylekit.cli.naming import Template, distinct
from stylekit.datasets.files import HEIC, INSTALL_HEIC, SUFFIXES, find_images
from stylekit.errors import StylekitError, suggest


@dataclass(frozen=True)
class Job:
    """One image to write.

    Attributes:
        source: the image to stylise
        relative: its path within the folder that the user gave
        style: index of its style
        target: the file to write
    """

    source: Path
    relative: Path
    style: int
    target: Path


def find_sources(paths: Iterable[Path], without: Iterable[Path] = ()) -> dict[Path, Path]:
    """Finds every image in the paths, which are images and folders, with its path relative to the given folder.

    Args:
        paths: images and folders
        without: folders that are left out where they are below one of ``paths``, such as that of earlier results

    Raises:
        StylekitError: a path is missing, or there are no images.
    """
    sources: dict[Path, Path] = {}  # an image that is given twice counts once
    paths, without = list(paths), [real_path(path) for path in without]
    for path in paths:
        if path.is_dir():
            excluded = [folder for folder in without if real_path(path) in folder.parents]
            sources |= {
                image: image.relative_to(path)
                for image in find_images(path) or _find_values(path)
                if not (excluded and any(real_path(image).is_relative_to(folder) for folder in excluded))
            }
        elif path.exists():
            sources[path] = Path(path.name)
        else:
            raise StylekitError(f"There is no image or folder {path}.")
    if not sources:
        raise StylekitError(f"There are no images in {', '.join(map(str, paths))} ({', '.join(sorted(SUFFIXES))}).")
    return sources


def _find_values(folder: Path) -> list[Path]:
    """The files of a folder without pictures that hold values, such as NPY files."""
    from stylekit.images.rasters import raster_suffixes

    return find_images(folder, raster_suffixes())


def format_suffix(name: str | None) -> str | None:
    """The suffix of the format that the user named; None: none was named.

    Raises:
        StylekitError: images of that format cannot be written.
    """
    if name is None:
        return None
    suffix = f".{name.lower().lstrip('.')}"
    if not _suffix(f"name{suffix}"):
        hint = f"Run: {INSTALL_HEIC}" if suffix in HEIC else suggest(suffix[1:], (known[1:] for known in SUFFIXES))
        raise StylekitError(f"stylekit cannot write --format {name!r}. {hint}")
    return suffix


def _format(suffix: str) -> str:
    return Image.registered_extensions().get(suffix, suffix)


def is_file_name(out: Path) -> bool:
    """Whether ``--out`` names a file for a single image, rather than a folder."""
    return bool(_suffix(out.name)) and not out.is_dir()


def _suffix(name: str) -> str:
    """The suffix of an image's file, such as ``.png``, or ``.nii.gz`` of a plugin's format; empty for other names."""
    suffix = Path(name).suffix.lower()
    if suffix in SUFFIXES or not suffix:
        return suffix
    from stylekit.images.rasters import raster_suffix

    return raster_suffix(name) or ""


def plan_jobs(
    sources: Mapping[Path, Path],
    out: Path,
    styles: Sequence[str | None],
    template: Template,
    model: str,
    suffix: str | None = None,
) -> list[Job]:
    """Every image in every style: in the folder ``out``, named by the template and with its folder kept, or ``out``
    itself if that names a file, for a single output.

    Args:
        sources: from :func:`find_sources`
        out: a folder or a file
        styles: the names of the styles; None: a style without a name
        template: how the outputs in a folder are named
        model: name of the model, for the template
        suffix: suffix of the files; None: that of the image, or ``.png`` if images of its format cannot be written

    Raises:
        StylekitError: ``out`` cannot be used, or the template needs a style and there is none.
    """
    count = len(sources) * len(styles)
    if is_file_name(out):
        if count > 1:
            raise StylekitError(f"{count} images cannot be written to one file, {out}. Give a folder.")
        if suffix and _format(suffix) != _format(out.suffix.lower()):
            raise StylekitError(f"--format {suffix[1:]} is not the format of --out {out}. Leave one of them out.")
        return [Job(source, relative, 0, out) for source, relative in sources.items()]
    check_folder(out)
    if "style" in template.fields and None in styles:
        raise StylekitError(f"--name {template.text!r} has the field 'style', but no style is given. Give --style.")
    jobs = []
    for number, (source, relative, style) in enumerate(_crossed(sources, len(styles)), 1):
        fields = {"style": styles[style] or "", "model": model, "number": f"{number:0{len(str(count))}}"}
        own = relative.name[len(relative.name) - len(_suffix(relative.name)) :]
        ending = suffix or own or ".png"
        path = template.path(
            relative.with_name(relative.name.removesuffix(own) + ".file") if own else relative, **fields
        )
        jobs.append(Job(source, relative, style, path.with_name(path.name + ending)))
    targets = distinct(job.target for job in jobs)
    return [Job(job.source, job.relative, job.style, out / to) for job, to in zip(jobs, targets, strict=True)]


def _crossed(sources: Mapping[Path, Path], styles: int) -> Iterator[tuple[Path, Path, int]]:
    return ((source, relative, style) for source, relative in sources.items() for style in range(styles))


def check_folder(out: Path) -> None:
    """Checks that ``--out`` can be a folder.

    Raises:
        StylekitError: it is a file, or looks like the name of one.
    """
    suffix = out.suffix.lower()
    foreign = {*HEIC, ".jxl", ".svg", *Image.registered_extensions()} - {*SUFFIXES}
    mistyped = len(suffix) > 3 and difflib.get_close_matches(suffix, SUFFIXES, n=1, cutoff=0.8)
    if (suffix in foreign or mistyped) and not out.is_dir():
        heic = f" To write HEIC: {INSTALL_HEIC}." if suffix in HEIC else ""
        raise StylekitError(
            f"stylekit cannot write images of the format of {out}. Give a folder, or a file that ends in "
            f"{', '.join(SUFFIXES)}.{heic}"
        )
    if out.exists() and not out.is_dir():
        raise StylekitError(f"{out} is a file, but neither a folder nor an image to overwrite. Give another --out.")


def keep_inputs(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Checks that no input would be overwritten.

    Raises:
        StylekitError: one of the targets is an input.
    """
    read = {real_path(path) for path in inputs}
    for target in targets:
        if real_path(target) in read:
            raise StylekitError(f"{target} is one of the inputs and is not overwritten. Give another --out.")


def split_existing(jobs: Sequence[Job], skip: bool, overwrite: bool) -> tuple[list[Job], list[Job]]:
    """The jobs to do, and those that are skipped because their outputs exist.

    Raises:
        StylekitError: outputs exist, and neither option is given, or both are.
    """
    if skip and overwrite:
        raise StylekitError("--skip-existing and --overwrite contradict each other. Leave out one of them.")
    existing = [] if overwrite else [job for job in jobs if exists(job.target)]
    if existing and not skip:
        several = f"{len(existing)} of {len(jobs)} outputs exist, such as {existing[0].target}"
        which = several if len(jobs) > 1 else f"{existing[0].target} exists"
        raise StylekitError(f"{which}. Add --skip-existing to leave what exists, or --overwrite to replace it.")
    skipped = {*existing}
    return [job for job in jobs if job not in skipped], existing


def exists(path: Path) -> bool:
    """Whether there is a file, or a broken link, that writing would replace."""
    return os.path.lexists(path) and not path.is_dir()


def check_overwrite(path: Path, overwrite: bool) -> None:
    """Checks that a command may write a file.

    Raises:
        StylekitError: it exists, and is not to be overwritten.
    """
    if exists(path) and not overwrite:
        raise StylekitError(f"{path} exists. --overwrite replaces it.")
