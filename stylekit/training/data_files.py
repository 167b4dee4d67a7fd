"""Tells whether a resumed run has the same data: the number of files, and a digest of their names and sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylekit.datasets.members import AnyFile, byte_size
from stylekit.training.run_json import DataFacts


def data_facts(dataset: Any) -> DataFacts | None:
    """The facts about the files of a data set, by its method ``data_files``; None if it has none.

    Raises:
        StylekitError: a file no longer exists.
    """
    listed = getattr(dataset, "data_files", None)
    if not callable(listed):
        return None
    files: Mapping[str, AnyFile] = listed()
    digest = hashlib.blake2b(digest_size=16)
    for name, path in files.items():
        digest.update(f"{name}\0{byte_size(path)}\n".encode(errors="surrogateescape"))
    return DataFacts(files=len(files), digest=digest.hexdigest())


def is_moved(stored: Any, given: Any) -> bool:
    """Whether two options of a data set are equal apart from absolute paths."""
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        return stored.keys() == given.keys() and all(is_moved(stored[key], given[key]) for key in stored)
    if isinstance(stored, list | tuple) and isinstance(given, list | tuple):
        return len(stored) == len(given) and all(map(is_moved, stored, given))
    texts = isinstance(stored, str) and isinstance(given, str)
    return stored == given or (texts and Path(stored).is_absolute() and Path(given).is_absolute())
