"""What installed packages announce in their metadata: read without importing anything, and one at a time if need be."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from stylekit.errors import warn

OWN = "stylekit"
"""The package whose plugins are built in."""


@dataclass(frozen=True)
class Entry:
    """One line of a package's entry points."""

    name: str
    value: str
    package: str
    version: str

    @property
    def visible(self) -> bool:
        """Whether ``STYLEKIT_PLUGINS`` lets it be seen: it lists plugins or packages; what is built in is always there."""
        wanted = chosen()
        return self.package == OWN or wanted is None or not wanted.isdisjoint(map(same, (self.name, self.package)))


def entries(group: str) -> list[Entry]:
    """Every entry of a group, by name and package. A package with damaged metadata is passed over with one warning."""
    try:
        found = _read(importlib.metadata.entry_points(group=group))
    except Exception:  # of one package, and Python tells neither which nor the others' entries
        found = [entry for each in importlib.metadata.distributions() for entry in _read_alone(each, group)]
    return sorted(set(found), key=lambda entry: (entry.name, entry.package))


def _read(points: Iterable[importlib.metadata.EntryPoint]) -> list[Entry]:
    return [Entry(p.name, p.value, str(p.dist.name), str(p.dist.version)) for p in points if p.dist is not None]


def _read_alone(package: importlib.metadata.Distribution, group: str) -> list[Entry]:
    try:
        # Not by the points' own package, which only those have that Python's joint list gives.
        points = [point for point in package.entry_points if point.group == group]
        return [Entry(p.name, p.value, str(package.name), str(package.version)) for p in points]
    except Exception as error:
        _pass_over(str(getattr(package, "_path", "a package")), f"{type(error).__name__}: {error}")
        return []


@cache
def _pass_over(place: str, reason: str) -> None:
    warn(f"the metadata in {place} is damaged and passed over ({reason}). Install that package anew.")


def chosen() -> frozenset[str] | None:
    """The plugins and packages that ``STYLEKIT_PLUGINS`` names; None where it is not set, which means all."""
    told = os.environ.get("STYLEKIT_PLUGINS")
    return None if told is None else frozenset(same(name) for name in told.split(",") if name.strip())


def same(name: str) -> str:
    """A name as packages are compared: My_Style is my-style."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
