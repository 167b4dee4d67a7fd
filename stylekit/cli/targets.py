"""Decides which file each stylised image is written to, and never overwrites an input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError


def find_sources(paths: Iterable[Path]) -> dict[Path, Path]:
    """Finds every image in the paths, which are images and folders, with its path relative to the given folder.

    Raises:
        StylekitError: a path is missing, or there are no images.
    """
    sources: dict[Path, Path] = {}  # an image that is given twice counts once
    paths = list(paths)
    for path in paths:
        if path.is_dir():
            sources |= {image: image.relative_to(path) for image in find_images(path)}
        elif path.exists():
            sources[path] = Path(path.name)
        else:
            raise StylekitError(f"There is no image or folder {path}.")
    if not sources:
        raise StylekitError(f"There are no images in {', '.join(map(str, paths))} ({', '.join(sorted(SUFFIXES))}).")
    return sources


def plan_targets(sources: Mapping[Path, Path], out: Path, others: Iterable[Path] = ()) -> dict[Path, Path]:
    """The file that each image is written to: in the folder ``out``, at the same relative path as in its own folder, or
    ``out`` itself if that names a file, for a single image.

    Args:
        sources: from :func:`find_sources`
        out: a folder or a file
        others: other files that are read

    Raises:
        StylekitError: ``out`` cannot be used, or an input would be overwritten.
    """
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1:
            raise StylekitError(f"{len(sources)} images cannot be written to one file, {out}. Give a folder.")
        targets = dict.fromkeys(sources, out)
    elif _is_foreign_image(out) and not out.is_dir():
        raise StylekitError(
            f"stylekit cannot write images of the format of {out}. Give a folder, or a file that ends in "
            f"{', '.join(SUFFIXES)}."
        )
    elif out.exists() and not out.is_dir():
        raise StylekitError(f"{out} is a file, but neither a folder nor an image to overwrite. Give another --out.")
    else:
        targets = _distinct(sources, out)
    keep_inputs(targets.values(), [*targets, *others])
    return targets


def keep_inputs(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Checks that no input would be overwritten.

    Raises:
        StylekitError: one of the targets is an input.
    """
    read = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in read:
            raise StylekitError(f"{target} is one of the inputs and is not overwritten. Give another --out.")


def plan_previews(targets: Mapping[Path, Path], out: Path, folder: Path, others: Iterable[Path]) -> dict[Path, Path]:
    """The file name in ``folder`` for each image's intermediate steps; region and step are added to it.

    Raises:
        StylekitError: a step could overwrite an input or a finished image.
    """
    relative = {source: Path(out.name) if to == out else to.relative_to(out) for source, to in targets.items()}
    steps = _distinct({source: path.with_suffix(".png") for source, path in relative.items()}, folder)
    names = {path.parent.resolve() / path.stem for path in steps.values()}
    for path in (*targets, *targets.values(), *others):
        full = path.resolve()
        match = re.fullmatch(r"(.+?)(-region-\d+)?-\d{5,}", full.stem)
        if match and full.suffix == ".png" and full.with_name(match[1]) in names:
            raise StylekitError(f"{path} could be overwritten by intermediate steps. Give another --preview.")
    return steps


def _is_foreign_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    return bool(suffix) and suffix in {".heic", ".heif", ".jxl", ".svg", *Image.registered_extensions()} - {*SUFFIXES}


def _distinct(sources: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """Distinct targets in ``out``: equal names from different folders get numbers. Unknown suffixes become ``.png``."""
    taken: set[Path] = set()
    targets = {}
    for source, relative in sources.items():
        name = relative if relative.suffix.lower() in SUFFIXES else relative.with_suffix(".png")
        target, number = out / name, 2
        while target in taken:
            target = out / name.with_stem(f"{name.stem}-{number}")
            number += 1
        taken.add(target)
        targets[source] = target
    return targets
