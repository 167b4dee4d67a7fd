"""Finds the private names of stylekit that a file uses, which may change without notice."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Iterator
from pathlib import Path

HOME = "stylekit"


def private_names(source: Path, closed: Collection[str] = ()) -> list[str]:
    """The private names that a file uses, such as ``stylekit.registry.parts.validate``, in order of appearance.

    Public names are those that a module of stylekit lists in ``__all__``. The packages in ``closed`` have none.

    Raises:
        SyntaxError: the file is not valid Python.
    """
    nodes = list(ast.walk(ast.parse(source.read_bytes())))
    private = [name for node in nodes for name in _imported(node, closed)]
    aliases = {name: module for node in nodes if isinstance(node, ast.Import) for name, module in _bound(node)}
    attributes = (_dotted(node, aliases) for node in nodes if isinstance(node, ast.Attribute))
    private += [path for name in attributes if name for path in _reached(name)]
    return list(dict.fromkeys(private))


def _imported(node: ast.AST, closed: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
        yield from (module for module in modules if module.startswith(f"{HOME}.") and _public(module) is None)
        yield from (module for module in modules if module.split(".")[0] in closed)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        module = str(node.module)
        package = module.split(".")[0]
        public = (_public(module) or ()) if package == HOME else ()
        for path, name in ((f"{module}.{alias.name}", alias.name) for alias in node.names):
            if package in closed or (package == HOME and name not in (*public, "*") and _public(path) is None):
                yield path


def _bound(node: ast.Import) -> Iterator[tuple[str, str]]:
    """The names to which an import binds stylekit or one of its modules, each with the module's full name."""
    for alias in node.names:
        if alias.name.split(".")[0] == HOME:
            yield (alias.asname, alias.name) if alias.asname else (HOME, HOME)


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    """The dotted path of an expression, such as ``stylekit.layers.init_normal``; empty if it is not one of stylekit."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "")
    parent = _dotted(node.value, aliases) if isinstance(node, ast.Attribute) else ""
    return f"{parent}.{node.attr}" if parent and isinstance(node, ast.Attribute) else ""


def _reached(path: str) -> Iterator[str]:
    """The first private name in a dotted path, if there is one."""
    names = path.split(".")
    for length in range(1, len(names)):
        module, name = ".".join(names[:length]), names[length]
        if name in (_public(module) or ()) or name.startswith("__"):
            return
        if _public(f"{module}.{name}") is None:
            yield f"{module}.{name}"
            return


def _public(module: str) -> list[str] | None:
    """The ``__all__`` of a module; None if it has none, or if there is no such module."""
    try:
        return getattr(importlib.import_module(module), "__all__", None)
    except ImportError:
        return None
