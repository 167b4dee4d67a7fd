"""Patterns such as ``*.jpg`` on Windows, where the shell does not expand them."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable


def expand(paths: Iterable[str]) -> list[str]:
    """The paths, on Windows with each pattern replaced by the files that it matches; ``**`` matches folders at any depth.

    A file whose name looks like a pattern, such as ``[1].jpg``, is that file, and a pattern without a match stays.
    """
    if sys.platform != "win32":
        return list(paths)
    expanded: list[str] = []
    for path in paths:
        literal = not glob.has_magic(path) or os.path.lexists(path)
        expanded += [path] if literal else sorted(glob.glob(path, recursive=True)) or [path]
    return expanded
