"""Writes docs/names.md, the page of public names, from the modules themselves: ``python docs/names.py``.

``--check`` changes nothing, and fails if the page is stale.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from dataclasses import is_dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from stylekit.hookspecs import API

PAGE = Path(__file__).with_name("names.md")
HEAD = f"""# Public names

What a plugin may import from stylekit: the names on this page, and no others. A module of stylekit is public if it
defines `__all__`, and what it lists there is what stands here. All of it is typed, and `py.typed` tells type checkers so.

**The promise.** These names, and what is said of them, stay for version {API} of the plugin contract
(`stylekit.hookspecs.API`): a release of stylekit may add names, arguments with defaults and hooks, but takes none away and
gives none another meaning. Should one have to go, it first warns for at least one release (`DeprecationWarning`, with
what to use instead, and a line in [the changes](../CHANGELOG.md)), and goes only together with a new version of the
contract. A plugin that states the version it was written for, `STYLEKIT_API = {API}`, is then told of by `stylekit plugins`
as outdated, and is not run. Everything else in stylekit may change in any release; `stylekit check` names what a plugin
imports of it.

This page is written by `python docs/names.py`.
"""


def modules() -> list[ModuleType]:
    """The public modules, by name."""
    found = [module.name for module in pkgutil.walk_packages(stylekit.__path__, "stylekit.") if _public(module.name)]
    return [importlib.import_module(name) for name in ("stylekit", *sorted(found))]


def _public(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    path = Path(spec.origin) if spec and spec.origin else Path()
    return path.suffix == ".py" and any("__all__" in _targets(node) for node in ast.parse(path.read_text()).body)


def _targets(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def section(module: ModuleType) -> str:
    """A module's part of the page."""
    lines = [f"## `{module.__name__}`", "", _first(module.__doc__ or ""), "", "| name | what it is |", "|---|---|"]
    for name in module.__all__:
        thing = getattr(module, name)
        lines.append(f"| `{_called(name, thing)}` | {_told(module, name)} |")
        if inspect.isclass(thing):
            lines += [f"| `{member}` | {told} |" for member, told in members(thing)]
    return "\n".join(lines)


def members(described: type) -> list[tuple[str, str]]:
    """What is said of a class's arguments, attributes and methods, of those that it defines itself."""
    name = described.__name__
    [tree] = [node for node in ast.parse(inspect.getsource(described)).body if isinstance(node, ast.ClassDef)]
    form = f"{name}.{{}}" if is_dataclass(described) else f"{name}({{}}=)"
    found = {form.format(key): told for key, told in _arguments(inspect.getdoc(described) or "").items()}
    for node, below in zip_longest(tree.body, tree.body[1:]):
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found |= {f"{name}.{key}": _first(str(below.value.value)) for key in _targets(node)}
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            called = _called(node.name, getattr(described, node.name))
            found[f"{name}.{called}"] = _first(ast.get_docstring(node) or "")
    return [(member, told) for member, told in found.items() if told]


def _arguments(doc: str) -> dict[str, str]:
    """What a docstring says under ``Args:`` or ``Attributes:``, by name."""
    section = re.search(r"^(?:Args|Attributes):\n((?: +.*\n)+)", f"{doc}\n", re.MULTILINE)
    told = re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", section[1], re.MULTILINE) if section else []
    return {name: _first(text) for name, text in told}


def _called(name: str, thing: Any) -> str:
    """The name, and the arguments if it is called."""
    if isinstance(thing, cached_property) or (
        not inspect.isroutine(thing) and not (inspect.isclass(thing) and not issubclass(thing, Exception))
    ):
        return name
    shown = []
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            shown.append(str(parameter).partition(":")[0])
        elif parameter.default is parameter.empty:
            shown.append(parameter.name)
        else:
            plain = isinstance(parameter.default, int | float | str | tuple | type(None))
            shown.append(f"{parameter.name}={parameter.default!r}" if plain else f"{parameter.name}=...")
    return f"{name}({', '.join(shown)})"


def _told(module: ModuleType, name: str) -> str:
    """The first sentence that is said of a name: in its docstring, or below a constant; or how the constant is written."""
    thing = getattr(module, name)
    if inspect.isfunction(thing) or inspect.isclass(thing) or inspect.ismodule(thing):
        return _first(inspect.getdoc(thing) or "")
    home = importlib.import_module(_home(module, name))
    body = ast.parse(inspect.getsource(home)).body
    [place] = [index for index, node in enumerate(body) if name in _targets(node)]
    below = body[place + 1] if place + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
        return _first(str(below.value.value))
    value = body[place].value  # type: ignore[attr-defined]
    return "`" + ast.unparse(value).replace("|", "\\|") + "`"


def _home(module: ModuleType, name: str) -> str:
    """The module that a constant is written in, when another one only passes it on."""
    if module is stylekit:
        return stylekit._HOMES[name]
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return str(node.module)
    return module.__name__


def _first(doc: str) -> str:
    """The first paragraph, without the marks that only Sphinx reads."""
    text = " ".join(doc.strip().split("\n\n")[0].split())
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", "\\|").removesuffix("::")


def main() -> None:
    page = "\n\n".join([HEAD.strip(), *(section(module) for module in modules())]) + "\n"
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != page:
            sys.exit("docs/names.md is stale: run python docs/names.py")
    else:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
