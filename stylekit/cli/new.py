"""``stylekit new NAME``: a whole package with a plugin that works, for its writer to change."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stylekit import plugins
from stylekit.entrypoints import same
from stylekit.errors import StylekitError, suggest

TRY = {
    "method": "stylekit train --plugin my-style --data scenes --size 64 --steps 300 --out runs/first",
    "generator": "stylekit train --plugin cyclegan --set generator=my-style --size 64 --steps 300 --out runs/first",
    "discriminator": "stylekit train --plugin cyclegan --set discriminator=my-style --size 64 --steps 300 --out runs/first",
    "loss": "stylekit check my-style",
    "dataset": "stylekit train --plugin cyclegan --preset tiny --data my-style --size 64 --steps 300 --out runs/first",
    "encoder": "stylekit check my-style",
}
"""The kinds, and the command that tries a part of that kind out; the README of a package shows it."""


def command(
    name: Annotated[str, typer.Argument(help="name of the package, the plugin and what it offers, such as my-style")],
    kind: Annotated[str, typer.Option(help=f"what it offers: {', '.join(TRY)}")] = "method",
) -> None:
    """Write a package with a plugin that works, into a new folder of that name."""
    check(name, kind)
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StylekitError(f"{folder} is there already and is not overwritten. Choose another name, or move it away.")
    for path, text in files(name, kind).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        print(f"{folder / path}")
    console = Console(stderr=True, highlight=False)
    console.print(f"Next:\n  cd {name}\n  pip install -e . pytest\n  pytest", markup=False, soft_wrap=True)


def check(name: str, kind: str) -> None:
    """Refuses what no package can be called, or what would be another's.

    Raises:
        StylekitError: the name cannot be a module's, is taken, or there is no such kind.
    """
    if kind not in TRY:
        raise StylekitError(f"There is no kind of part {kind!r}. {suggest(kind, TRY)}")
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?", name) or keyword.iskeyword(_module(name)):
        raise StylekitError(
            f"{name!r} cannot be the name of a package: take letters, digits, - and _, begin with a letter, end with a "
            "letter or a digit, and leave out the words of Python."
        )
    for plugin, _ in plugins.everything():
        if same(name) in (same(plugin.name), same(plugin.package)):
            raise StylekitError(f"The name {name!r} is taken by the plugin {plugin.name!r} ({plugin.origin}).")
    if owners := plugins.owners(kind, name):
        raise StylekitError(f"There is a {kind} {name!r} already, of {owners[0].origin}. Choose another name.")
    if _module(name) in sys.stdlib_module_names or importlib.util.find_spec(_module(name)):
        raise StylekitError(f"There is a module {_module(name)!r} already, which the package would hide. Rename yours.")


def files(name: str, kind: str) -> dict[str, str]:
    """The files of a package, by their paths: the templates with the name in its place."""
    words = re.split(r"[-_]+", name)
    names = {
        "my-style": name,
        "my_style": _module(name),
        "MyStyle": "".join(word[0].upper() + word[1:] for word in words),
    }

    def filled(template: str) -> str:
        text = importlib.resources.files("stylekit.templates").joinpath(template).read_text(encoding="utf-8")
        text = text.replace(TRY["method"], TRY[kind]).replace("A method", f"{_article(kind)} {kind}")
        return re.sub("|".join(names), lambda match: names[match[0]], text)

    return {
        "pyproject.toml": filled("pyproject.toml"),
        f"{_module(name)}.py": filled(f"{kind}.py"),
        f"tests/test_{_module(name)}.py": filled("test_my_style.py"),
        "README.md": filled("README.md"),
    }


def _module(name: str) -> str:
    return name.replace("-", "_").lower()


def _article(kind: str) -> str:
    return "An" if kind[0] in "aeiou" else "A"
