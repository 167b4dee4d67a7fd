"""Which names of stylekit a file uses that are not public: those that may change without notice."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Iterator
from pathlib import Path

HOME = "stylekit"


def private_names(source: Path, closed: Collection[str] = ()) -> list[str]:
    """The private names that a file uses, such as ``stylekit.registry.parts.validate``, in their order; none, if all is well.

    Public is what a module of stylekit lists in ``__all__``. Of the packages in ``closed`` nothing is.

    Raises:
        SyntaxError: the file is no Python.
    """
    nodes = list(ast.walk(ast.parse(source.read_bytes())))
    found = [name for node in nodes for name in _imported(node, closed)]
    aliases = {name: module for node in nodes if isinstance(node, ast.Import) for name, module in _bound(node)}
    reached = (_dotted(node, aliases) for node in nodes if isinstance(node, ast.Attribute))
    found += [path for name in reached if name for path in _reached(name)]
    return list(dict.fromkeys(found))


def _imported(node: ast.AST, closed: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
        yield from (module for module in modules if module.startswith(f"{HOME}.") and _public(module) is None)
        yield from (module for module in modules if module.split(".")[0] in closed)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        module = str(node.module)
        home = module.split(".")[0]
        public = (_public(module) or ()) if home == HOME else ()
        for path, name in ((f"{module}.{alias.name}", alias.name) for alias in node.names):
            if home in closed or (home == HOME and name not in (*public, "*") and _public(path) is None):
                yield path


def _bound(node: ast.Import) -> Iterator[tuple[str, str]]:
    """The names by which an import makes stylekit, or a module of it, known in the file."""
    for alias in node.names:
        if alias.name.split(".")[0] == HOME:
            yield (alias.asname, alias.name) if alias.asname else (HOME, HOME)


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """``stylekit.layers.init_normal`` for that expression; empty if it begins with anything else than stylekit."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "")
    whole = _dotted(node.value, aliases) if isinstance(node, ast.Attribute) else ""
    return f"{whole}.{node.attr}" if whole and isinstance(node, ast.Attribute) else ""


def _reached(path: str) -> Iterator[str]:
    """The first private name on the way along a dotted path."""
    names = path.split(".")
    for length in range(1, len(names)):
        module, name = ".".join(names[:length]), names[length]
        if name in (_public(module) or ()) or name.startswith("__"):
            return
        if _public(f"{module}.{name}") is None:
            yield f"{module}.{name}"
            return


def _public(module: str) -> list[str] | None:
    """What a module says is public; None if it is a private one, or none at all."""
    try:
        return getattr(importlib.import_module(module), "__all__", None)
    except ImportError:
        return None
