"""What installed packages announce in their metadata: read without importing anything, and one at a time if need be."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from stylekit.errors import warn

OWN = "stylekit-torch"
"""The name of stylekit's own package on the index, whose plugins are built in. What is imported is ``stylekit``."""


@dataclass(frozen=True)
class Entry:
    """One line of a package's entry points: a name, and the module, or the object within it, that it stands for."""

    name: str
    module: str
    attribute: str
    package: str
    version: str

    @property
    def visible(self) -> bool:
        """Whether ``STYLEKIT_PLUGINS`` lets it be seen: it lists plugins or packages; what is built in is always there."""
        wanted = allowed_plugins()
        return (
            self.package == OWN
            or wanted is None
            or not wanted.isdisjoint(map(normalized_name, (self.name, self.package)))
        )


def entries(group: str) -> list[Entry]:
    """Every entry of a group, by name and package. A package with damaged metadata is passed over with one warning."""
    try:
        points = [point for point in importlib.metadata.entry_points(group=group) if point.dist is not None]
        found = {_entry(point, point.dist) for point in points}
    except Exception:  # of one package, and Python tells neither which nor the others' entries
        found = set(_read_one_by_one(group))
    return sorted(found, key=lambda entry: (entry.name, entry.package))


def _entry(point: importlib.metadata.EntryPoint, package: importlib.metadata.Distribution | None) -> Entry:
    if package is None or not package.name:
        raise ValueError("it does not say what package it is")
    return Entry(point.name, point.module, point.attr, package.name, package.version)


def _read_one_by_one(group: str) -> Iterator[Entry]:
    seen = set()
    for package in importlib.metadata.distributions():
        try:
            found = [_entry(point, package) for point in package.entry_points if point.group == group]
            name = normalized_name(package.name or "") if found else ""
        except Exception as error:
            _pass_over(str(getattr(package, "_path", "a package")), f"{type(error).__name__}: {error}")
            continue
        if name not in seen:  # the first one on the path is the one that counts
            yield from found
        seen.update({name} - {""})


@cache
def _pass_over(place: str, reason: str) -> None:
    warn(f"the metadata in {place} is damaged and passed over ({reason}). Install that package anew.")


def allowed_plugins() -> frozenset[str] | None:
    """The plugins and packages that ``STYLEKIT_PLUGINS`` names; None where it is not set, which means all."""
    told = os.environ.get("STYLEKIT_PLUGINS")
    return None if told is None else frozenset(normalized_name(name) for name in told.split(",") if name.strip())


def normalized_name(name: str) -> str:
    """A name as packages are compared: My_Style is my-style."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def installed_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
