"""Names of plugins that are files. A run from someone else may name any file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stylekit.registry import lookup


def plugin_files(names: Sequence[str]) -> list[str]:
    """Those of the names of plugins that are files, such as ``FILE.py:NAME``."""
    return [name for name in names if lookup.split_file(name)[0]]


def same_plugins(stored: Sequence[str], given: Sequence[str]) -> bool:
    """Whether two lists name the same plugins, apart from the folders of files."""
    return [_without_folder(name) for name in stored] == [_without_folder(name) for name in given]


def _without_folder(name: str) -> tuple[str, str]:
    file, part = lookup.split_file(name)
    return Path(file).name, part
