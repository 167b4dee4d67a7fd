"""Where each stylised image goes, and what is never written over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from stylekit.datasets.files import SUFFIXES, find_images
from stylekit.errors import StylekitError


def find_sources(paths: Iterable[Path]) -> dict[Path, Path]:
    """Every image of the paths, images and folders, with its place below the folder that was given.

    Raises:
        StylekitError: a path is missing, or there are no images.
    """
    sources: dict[Path, Path] = {}  # an image that is named twice is one
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
    """Where each image goes: below ``out`` as below its folder, or to ``out`` itself for one image and a file's name.

    Args:
        sources: from :func:`find_sources`
        out: a folder, or a file's name
        others: what else is read

    Raises:
        StylekitError: ``out`` is of no use, or an image would be written over an input.
    """
    if out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(sources) > 1:
            raise StylekitError(f"{len(sources)} images cannot all go to the file {out}. Give a folder.")
        targets = dict.fromkeys(sources, out)
    elif _is_foreign_image(out) and not out.is_dir():
        raise StylekitError(
            f"{out} is named as an image of a format that stylekit does not write. Give a folder, or a file that ends in "
            f"{', '.join(SUFFIXES)}."
        )
    elif out.exists() and not out.is_dir():
        raise StylekitError(f"{out} is a file, neither a folder nor an image to replace. Give another --out.")
    else:
        targets = _distinct(sources, out)
    keep_inputs(targets.values(), [*targets, *others])
    return targets


def keep_inputs(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuses to write over what is read.

    Raises:
        StylekitError: one of the targets is an input.
    """
    read = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in read:
            raise StylekitError(f"{target} is one of the images to read, and is not overwritten. Give another --out.")


def plan_previews(targets: Mapping[Path, Path], out: Path, folder: Path, others: Iterable[Path]) -> dict[Path, Path]:
    """A name for each image's intermediate steps, below a folder; region and step are added to it.

    Raises:
        StylekitError: a step could be written over an input, or over a finished image.
    """
    below = {source: Path(out.name) if to == out else to.relative_to(out) for source, to in targets.items()}
    steps = _distinct({source: path.with_suffix(".png") for source, path in below.items()}, folder)
    names = {path.parent.resolve() / path.stem for path in steps.values()}
    for path in (*targets, *targets.values(), *others):
        whole = path.resolve()
        added = re.fullmatch(r"(.+?)(-region-\d+)?-\d{5,}", whole.stem)
        if added and whole.suffix == ".png" and whole.with_name(added[1]) in names:
            raise StylekitError(f"{path} could be overwritten by intermediate steps. Give another --preview.")
    return steps


def _is_foreign_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    return bool(suffix) and suffix in {".heic", ".heif", ".jxl", ".svg", *Image.registered_extensions()} - {*SUFFIXES}


def _distinct(sources: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """Targets below ``out``; images of one name from several places get numbers. Unknown suffixes become PNG."""
    taken: set[Path] = set()
    targets = {}
    for source, below in sources.items():
        name = below if below.suffix.lower() in SUFFIXES else below.with_suffix(".png")
        target, number = out / name, 2
        while target in taken:
            target = out / name.with_stem(f"{name.stem}-{number}")
            number += 1
        taken.add(target)
        targets[source] = target
    return targets
