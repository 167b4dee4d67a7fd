"""Which names of stylekit a file imports that are not public: those that may change without notice."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path


def private(source: Path) -> list[str]:
    """The private names that a file imports, such as ``stylekit.parts.validate``, in their order; none, if all is well.

    Public is what a module of stylekit lists in ``__all__``.
    """
    found = (name for node in ast.walk(ast.parse(source.read_bytes())) for name in _private(node))
    return list(dict.fromkeys(found))


def _private(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names if alias.name.startswith("stylekit.")]
        yield from (module for module in modules if _public(module) is None)
    elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "stylekit":
        module = str(node.module)
        names = _public(module) or ()
        for alias in node.names:
            path = f"{module}.{alias.name}"
            if alias.name not in (*names, "*") and _public(path) is None:
                yield path


def _public(module: str) -> list[str] | None:
    """What a module says is public; None if it is a private one, or none at all."""
    try:
        return getattr(importlib.import_module(module), "__all__", None)
    except ImportError:
        return None
