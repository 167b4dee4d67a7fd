"""Resolves NAME, FILE or PACKAGE to the subjects to check."""

from __future__ import annotations

from stylekit.errors import StylekitError, suggest
from stylekit.hookspecs import KINDS
from stylekit.registry import lookup
from stylekit.registry.entrypoints import installed_version, normalized_name
from stylekit.registry.loading import Plugin
from stylekit.testing.kit import Subject


def find_subjects(name: str) -> list[Subject]:
    """The subjects of a name: a plugin, a ``.py`` file or an installed package with all its parts, or parts of that name.

    A plugin that cannot be loaded is a single subject, without parts.

    Raises:
        StylekitError: there is nothing of that name, or the package registers no plugin.
    """
    if not name.strip():
        raise StylekitError("Name what to check: a plugin, a .py file, an installed package, or a part.")
    if name.endswith(".py"):
        return _whole(lookup.find_plugin(name))
    known = lookup.visible_plugins()
    named = [lookup.find_plugin(name)] if any(plugin.name == name for plugin in known) else []
    packaged = [
        plugin for plugin in known if plugin.file is None and normalized_name(plugin.package) == normalized_name(name)
    ]
    if plugins := dict.fromkeys([*named, *packaged]):
        return [subject for plugin in plugins for subject in _whole(plugin)]
    if parts := lookup.parts_named(name):
        return [Subject(kind, part, factory) for kind, part, factory in parts]
    if installed_version(name) is not None:
        raise StylekitError(
            f"The package {name!r} registers no plugin. Add its module to [project.entry-points.stylekit] in pyproject.toml, "
            'as in my-style = "my_style", and reinstall it.'
        )
    names = {part for kind in KINDS for part in lookup.part_names(kind)}
    raise StylekitError(
        f"There is no plugin, part or package {name!r}. {suggest(name, names.union(plugin.name for plugin in known))}"
    )


def _whole(plugin: Plugin) -> list[Subject]:
    """A plugin and all its parts."""
    state, _ = lookup.loaded_state(plugin)
    parts = lookup.plugin_parts(plugin) if state == "loads" else []
    return [Subject("plugin", plugin.name, plugin), *(Subject(*part) for part in parts)]
