"""Finding, loading and naming plugins. Nothing here imports torch, and no plugin is imported before it is asked for.

A name is looked up in the plugin of that name first; if it does not offer the part, every plugin is asked. A plugin that
cannot be imported is passed over with one warning, and everything else goes on.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from stylekit import hookspecs
from stylekit.errors import StylekitError, suggest, warn

GROUP = "stylekit"
KINDS = {
    "method": "stylekit_methods",
    "generator": "stylekit_generators",
    "discriminator": "stylekit_discriminators",
    "loss": "stylekit_losses",
    "dataset": "stylekit_datasets",
    "encoder": "stylekit_encoders",
}
"""The kinds of parts, and the hook that offers each."""


@dataclass(frozen=True)
class Plugin:
    """A module that offers parts: its name, where it lies, and whose it is."""

    name: str
    module: str
    package: str
    version: str
    file: Path | None = None
    changed: int = 0
    """When the file was last written: an edited file is another plugin."""

    @property
    def origin(self) -> str:
        return str(self.file) if self.file else f"{self.package} {self.version}"


_files: dict[str, Plugin] = {}


def installed() -> list[Plugin]:
    """Every plugin of every installed package, by name, and the files that :func:`add_file` added. Imports none."""
    found = {
        (point.name, point.value): Plugin(point.name, point.value, point.dist.name, point.dist.version)
        for point in importlib.metadata.entry_points(group=GROUP)
        if point.dist is not None
    }
    return sorted([*found.values(), *_files.values()], key=lambda plugin: (plugin.name, plugin.package))


def add_file(path: Path) -> Plugin:
    """Makes the parts in one Python file known in this process, and returns it as a plugin named after the file.

    Raises:
        StylekitError: there is no such file, or it is no Python file.
    """
    if not path.exists():
        raise StylekitError(f"There is no file {path}.")
    path = path.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise StylekitError(f"{path} is not a Python file. A plugin file ends in .py and offers parts with @hookimpl.")
    plugin = Plugin(path.stem, f"stylekit_file_{path.stem}", "file", "", path, path.stat().st_mtime_ns)
    _files[path.stem] = plugin
    return plugin


def imported_files() -> list[Path]:
    """The plugin files that were imported in this process."""
    return [plugin.file for plugin in _files.values() if plugin.file and plugin.module in sys.modules]


def import_files(paths: Iterable[Path]) -> None:
    """Imports plugin files, so that what is pickled in another process can be unpickled here.

    Raises:
        StylekitError: a file is gone, or cannot be imported.
    """
    for path in paths:
        manager(add_file(path))


class _Source(importlib.machinery.SourceFileLoader):
    """Keeps no bytecode, which Python takes for current when a file is edited twice in one second."""

    def set_data(self, *_: Any, **__: Any) -> None:
        pass


def _import(plugin: Plugin) -> ModuleType:
    if plugin.file is None:
        return importlib.import_module(plugin.module)
    known = sys.modules.get(plugin.module)
    if known is not None and vars(known).get("_stylekit_plugin") == plugin:
        return known
    loader = _Source(plugin.module, str(plugin.file))
    spec = importlib.util.spec_from_loader(plugin.module, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["_stylekit_plugin"] = plugin
    sys.modules[plugin.module] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(plugin.module, None)
        raise
    return module


def manager(*plugins: Plugin) -> pluggy.PluginManager:
    """Imports plugins and gives their hooks.

    Raises:
        StylekitError: a plugin cannot be imported, was written for another version of the contract, or has a hook that
            is not in it.
    """
    hooks = pluggy.PluginManager("stylekit")
    hooks.add_hookspecs(hookspecs)
    for plugin in plugins:
        try:
            module = _import(plugin)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) could not be imported: {reason}") from error
        stated = getattr(module, "STYLEKIT_API", hookspecs.API)
        if stated != hookspecs.API:
            raise StylekitError(
                f"plugin {plugin.name!r} ({plugin.origin}) was written for version {stated} of the plugin contract, "
                f"and this stylekit has version {hookspecs.API}. Install a release of the plugin that fits."
            )
        for name in vars(hookspecs).keys() & vars(module).keys():
            if name.startswith("stylekit_") and not hasattr(getattr(module, name), "stylekit_impl"):
                raise StylekitError(
                    f"plugin {plugin.name!r} ({plugin.origin}): put @hookimpl before its function {name}."
                )
        try:
            hooks.register(module, name=plugin.name)
            hooks.check_pending()
        except pluggy.PluginValidationError as error:
            raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}): {' '.join(str(error).split())}") from None
    return hooks


@cache
def _load(plugin: Plugin) -> pluggy.PluginManager | str:
    """The plugin's hooks, or why it has none; cached, so that a broken plugin is imported and reported once."""
    try:
        return manager(plugin)
    except StylekitError as error:
        return str(error)


def state(plugin: Plugin) -> str:
    """What the plugin offers, in words, or why it does not; imports it."""
    hooks = _load(plugin)
    if isinstance(hooks, str):
        return f"broken: {hooks}"
    parts = [f"{kind} {', '.join(found)}" for kind in KINDS if (found := offers(plugin, kind))]
    return "; ".join(parts) or "follows runs"


def offers(plugin: Plugin, kind: str) -> dict[str, Callable[..., Any]]:
    """What one plugin offers of one kind, by name; empty, after one warning, if the plugin is broken."""
    hooks = _load(plugin)
    if isinstance(hooks, str):
        _report(hooks)
        return {}
    try:
        return {name: part for parts in getattr(hooks.hook, KINDS[kind])() for name, part in parts.items()}
    except Exception as error:
        _report(f"plugin {plugin.name!r} ({plugin.origin}) failed in {KINDS[kind]}: {type(error).__name__}: {error}")
        return {}


def parts(plugin: Plugin) -> list[tuple[str, str, Callable[..., Any]]]:
    """Everything that one plugin offers: kind, name, and the callable that builds it."""
    return [(kind, name, part) for kind in KINDS for name, part in offers(plugin, kind).items()]


def parts_named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, one of each kind that has it.

    Raises:
        StylekitError: two plugins offer one.
    """
    return [(kind, name, find(kind, name)) for kind in KINDS if name in names(kind)]


@cache
def _report(message: str) -> None:
    """Warns once in a process, wherever it is asked from."""
    warn(message)


def find_plugin(name: str) -> Plugin:
    """The plugin of that name, or the one in that ``.py`` file.

    Raises:
        StylekitError: there is none, or two packages have one of that name.
    """
    if name.endswith(".py"):
        return add_file(Path(name))
    known = installed()
    found = [plugin for plugin in known if plugin.name == name]
    if not found:
        raise StylekitError(f"There is no plugin {name!r}. {suggest(name, [plugin.name for plugin in known])}")
    return _only(found, f"plugin {name!r}")


def find_method(name: str) -> tuple[str, Callable[..., Any]]:
    """The method of that name, or the one that a ``.py`` file offers: its name, and the callable that builds it.

    Raises:
        StylekitError: there is none, or it cannot be told which.
    """
    if not name.endswith(".py"):
        return name, find("method", name)
    plugin = add_file(Path(name))
    methods = dict(offers(plugin, "method"))
    if len(methods) != 1:
        found = f"offers {len(methods)} methods ({', '.join(methods)})" if methods else "offers no method"
        raise StylekitError(f"{name} {found}; --plugin takes a file with one, from a hook stylekit_methods.")
    return methods.popitem()


def find(kind: str, name: str) -> Callable[..., Any]:
    """The part of that kind and name, as the callable that builds it.

    Raises:
        StylekitError: no plugin offers it, or two do.
    """
    return offers(owner(kind, name), kind)[name]


def owner(kind: str, name: str) -> Plugin:
    """The plugin that offers the part of that kind and name.

    Raises:
        StylekitError: no plugin offers it, or two do.
    """
    plugins = installed()
    namesakes = [plugin for plugin in plugins if plugin.name == name and name in offers(plugin, kind)]
    found = namesakes or [plugin for plugin in plugins if name in offers(plugin, kind)]
    if not found:
        raise StylekitError(f"There is no {kind} {name!r}. {suggest(name, names(kind))}")
    return _only(found, f"{kind} {name!r}")


def names(kind: str) -> list[str]:
    """The names of every part of a kind; imports every plugin."""
    return sorted({name for plugin in installed() for name in offers(plugin, kind)})


def _only(found: list[Plugin], what: str) -> Plugin:
    if len(found) > 1:
        owners = " and ".join(plugin.origin for plugin in found)
        raise StylekitError(f"The {what} is offered twice, by {owners}. Uninstall one of them.")
    return found[0]
