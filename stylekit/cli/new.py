"""``stylekit new NAME``: writes a package with a working plugin, for its author to change."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from stylekit._files import atomic_folder, explain_os_errors
from stylekit.cli.output import echo
from stylekit.errors import StylekitError, suggest
from stylekit.hookspecs import KINDS
from stylekit.registry import lookup
from stylekit.registry.entrypoints import installed_version, normalized_name

TAKEN = {"build", "conftest", "dist", "docs", "setup", "src", "test", "tests"}
"""Names that have a special meaning for packaging and test tools."""
WRITABLE = tuple(kind.name for kind in KINDS.values() if kind.template)
"""The kinds of parts that have a template."""


def command(
    name: Annotated[str, typer.Argument(help="name of the package, the plugin and its part, such as my-style")],
    kind: Annotated[str, typer.Option(help=f"kind of part: {', '.join(WRITABLE)}")] = "method",
) -> None:
    """Write a package with a working plugin into a new folder of that name."""
    check_name(name, kind)
    folder = Path(name)
    with explain_os_errors(folder):
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise StylekitError(
                f"{folder} already exists and is not overwritten. Choose another name, or move it out of the way."
            )
        check_free(name, kind)
        package = files(name, kind)
        with atomic_folder(folder.resolve()) as incomplete:  # an empty folder may be used, by a link too
            for path, text in package.items():
                (incomplete / path).parent.mkdir(exist_ok=True)
                (incomplete / path).write_bytes(text.encode())
    echo(*(str(folder / path) for path in package))
    echo("Next:", f"  cd {name}", "  pip install -e . pytest", "  pytest")


def check_name(name: str, kind: str) -> None:
    """Checks that the name is valid for a package.

    Raises:
        StylekitError: packaging or test tools would not accept the name, or there is no such kind.
    """
    if kind not in WRITABLE:
        raise StylekitError(f"There is no kind of part {kind!r}. {suggest(kind, WRITABLE)}")
    module = _module(name)
    if not re.fullmatch(r"[a-z]([a-z0-9_-]*[a-z0-9])?", name) or keyword.iskeyword(module):
        raise StylekitError(
            f"{name!r} is not a valid package name. Use lower-case letters, digits, - and _, begin with a letter, end with a "
            "letter or a digit, and avoid Python's keywords."
        )
    if module in TAKEN or module.startswith("test_") or module.endswith("_test"):
        raise StylekitError(
            f"The name {name!r} has a special meaning for Python's packaging and test tools (build, pytest). Choose another "
            "name."
        )


def check_free(name: str, kind: str) -> None:
    """Checks that the name is not in use. Of installed packages, only the metadata is read.

    Raises:
        StylekitError: there is a plugin, a package, a module or a built-in part of that name.
    """
    for plugin, _ in lookup.all_plugins():
        if normalized_name(name) in (normalized_name(plugin.name), normalized_name(plugin.package)):
            raise StylekitError(
                f"The name {name!r} is taken by the plugin {plugin.name!r} ({plugin.origin}). Choose another name."
            )
    if installed := installed_version(name):
        raise StylekitError(f"The package {name!r} is already installed, version {installed}. Choose another name.")
    if _module(name) in sys.stdlib_module_names or importlib.util.find_spec(_module(name)):
        raise StylekitError(f"The package would hide the existing module {_module(name)!r}. Choose another name.")
    if any(name in lookup.parts_of_kind(plugin, kind) for plugin in lookup.visible_plugins() if plugin.own):
        raise StylekitError(f"There is a built-in {kind} {name!r}, which takes precedence. Choose another name.")


def files(name: str, kind: str) -> dict[str, str]:
    """The files of a package by their paths: the templates, with the name filled in."""
    module = _module(name)
    names = {"my-style": name, "my_style": module, "MyStyle": _class(name, kind)}

    def filled(template: str) -> str:
        return re.sub("|".join(names), lambda match: names[match[0]], _template(template))

    return {
        "pyproject.toml": filled("pyproject.toml"),
        f"src/{module}.py": filled(f"{kind}.py"),
        f"tests/test_{module}.py": filled("test_my_style.py"),
        "README.md": filled(f"{kind}.md"),
        ".gitignore": filled("gitignore"),
    }


def _template(name: str) -> str:
    return importlib.resources.files("stylekit.cli.templates").joinpath(name).read_text(encoding="utf-8")


def _module(name: str) -> str:
    return name.replace("-", "_")


def _class(name: str, kind: str) -> str:
    """The class name for a plugin name, such as MyStyle for my-style; the kind is added if the template uses that word."""
    word = "".join(part.capitalize() for part in re.split(r"[-_]+", name))
    used = keyword.iskeyword(word) or re.search(rf"\b{word}\b", _template(f"{kind}.py"))
    return f"{word}{kind.capitalize()}" if used else word
