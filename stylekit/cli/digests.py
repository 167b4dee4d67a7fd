"""Digests of the files that an output depends on, by which a later run knows whether it may go on with what is finished."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylekit._files import explain_os_errors
from stylekit.cli.style_arguments import STYLE_FILE, StyleMix
from stylekit.datasets.files import find_images
from stylekit.registry.schema import Written


def digest(path: Path) -> str:
    """A digest of a file's content, or of the names and contents of a folder's images. Empty if there is no such path."""
    found = hashlib.sha256()
    if path.is_file():
        with explain_os_errors(path, "read"), path.open("rb") as file:
            while block := file.read(2**20):
                found.update(block)
    elif path.is_dir():
        for image in find_images(path):
            found.update(f"{image.relative_to(path).as_posix()} {digest(image)}\n".encode())
    else:
        return ""
    return found.hexdigest()[:16]


def digests_in(value: Any) -> list[str]:
    """Digests of the files that an option's value names, also within lists and mappings."""
    if isinstance(value, Mapping):
        return digests_in([*value.values()])
    if isinstance(value, list):
        return [found for each in value for found in digests_in(each)]
    if isinstance(value, Written) and value.as_yaml != value:
        return digests_in([str(value), value.as_yaml])
    # Not Path.is_file, which raises an error for a long text.
    return [digest(Path(value))] if isinstance(value, str) and os.path.isfile(value) else []


def model_digest(model: str) -> str:
    """A digest of a model's file; the name of one that is named, which the version of stylekit determines."""
    path = Path(model)
    files = (path, path / "model.safetensors", path / "method.safetensors")
    return next((digest(file) for file in files if file.is_file()), model)


def described(mix: StyleMix) -> list[list[Any]]:
    """The styles by name, with their weights and digests of their files."""
    paths = [
        Path(style.partition(f"{STYLE_FILE}#")[0] + STYLE_FILE * (f"{STYLE_FILE}#" in style)) for style, _ in mix.styles
    ]
    return [[style, weight, digest(path)] for (style, weight), path in zip(mix.styles, paths, strict=True)]
