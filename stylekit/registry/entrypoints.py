"""Entry points of installed packages, read from their metadata without importing the packages."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from stylekit.errors import warn

OWN = "stylekit-torch"
"""The distribution name of stylekit itself, whose plugins are built in. The import name is ``stylekit``."""


@dataclass(frozen=True)
class Entry:
    """One entry point of a package: a name, and the module or the object in a module that it refers to."""

    name: str
    module: str
    attribute: str
    package: str
    version: str

    @property
    def visible(self) -> bool:
        """Whether ``STYLEKIT_PLUGINS`` allows the plugin or its package. Built-in plugins are always visible."""
        allowed = allowed_plugins()
        return (
            self.package == OWN
            or allowed is None
            or not allowed.isdisjoint(map(normalized_name, (self.name, self.package)))
        )


def entries(group: str) -> list[Entry]:
    """All entries of a group, sorted by name and package. A package with damaged metadata is skipped with one warning."""
    return [*_read(group, tuple((folder, _changed(folder)) for folder in sys.path))]


def _changed(folder: str) -> int:
    """When a package was last installed to a folder of ``sys.path``, or removed from it."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4)
def _read(group: str, state: tuple[tuple[str, int], ...]) -> tuple[Entry, ...]:
    """The entries, read again only where ``state`` differs: to read the metadata of all packages takes long."""
    try:
        points = [point for point in importlib.metadata.entry_points(group=group) if point.dist is not None]
        # Each package's metadata is parsed once, not for each of its entries, which would take longer than all the rest.
        packages = {id(point.dist): point.dist for point in points}
        owners = {key: _name_and_version(package) for key, package in packages.items()}
        result = {Entry(point.name, point.module, point.attr, *owners[id(point.dist)]) for point in points}
    except Exception:  # one package is damaged; Python does not report which one, and returns no entries at all
        result = set(_read_one_by_one(group))
    return tuple(sorted(result, key=lambda entry: (entry.name, entry.package)))


def _name_and_version(package: importlib.metadata.Distribution | None) -> tuple[str, str]:
    if package is None or not package.name:
        raise ValueError("the package name is missing")
    return package.name, package.version


def _read_one_by_one(group: str) -> Iterator[Entry]:
    seen = set()
    for package in importlib.metadata.distributions():
        try:
            points = [point for point in package.entry_points if point.group == group]
            owner = _name_and_version(package) if points else ("", "")
            read = [Entry(point.name, point.module, point.attr, *owner) for point in points]
            name = normalized_name(owner[0])
        except Exception as error:
            _pass_over(str(getattr(package, "_path", "a package")), f"{type(error).__name__}: {error}")
            continue
        if name not in seen:  # Python imports the first one on the path
            yield from read
        seen.update({name} - {""})


@cache
def _pass_over(path: str, reason: str) -> None:
    warn(f"The metadata in {path} is damaged and was skipped ({reason}). Reinstall that package.")


def allowed_plugins() -> frozenset[str] | None:
    """The plugins and packages listed in ``STYLEKIT_PLUGINS``; None if it is not set, which allows all of them."""
    value = os.environ.get("STYLEKIT_PLUGINS")
    return None if value is None else frozenset(normalized_name(name) for name in value.split(",") if name.strip())


def normalized_name(name: str) -> str:
    """Normalises a name as package names are compared: My_Style becomes my-style."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def installed_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
