"""Finding, loading and naming plugins. Nothing here imports torch, and no plugin is imported before it is asked for.

A name is looked up in files that the user gave and in what is built in, then in the installed plugin of that name, and
only then in all the others: so no installed package can take a built-in name, or slow down what does not use it. A plugin
that cannot be imported is passed over with one warning, and everything else goes on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from stylekit import hookspecs
from stylekit.entrypoints import OWN, Entry, entries, version
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

PRESETS = "stylekit_presets"


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

    @property
    def own(self) -> bool:
        """Whether it is built in."""
        return self.package == OWN


_files: dict[str, Plugin] = {}


def installed() -> list[Plugin]:
    """Every visible plugin of every installed package, by name, and the files that :func:`add_file` added.

    Imports none. ``STYLEKIT_PLUGINS=a,b`` in the environment leaves only those plugins or packages visible, beside what
    is built in.
    """
    found = [plugin for plugin, visible in everything() if visible]
    return sorted([*found, *_files.values()], key=lambda plugin: (plugin.name, plugin.package))


def everything() -> list[tuple[Plugin, bool]]:
    """Every plugin of every installed package, and whether it is visible."""
    return [(_of(entry), entry.visible) for entry in entries(GROUP)]


def _of(entry: Entry) -> Plugin:
    return Plugin(entry.name, entry.value, entry.package, entry.version)


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
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) could not be imported: {reason}") from error
        if fault := other_contract(getattr(module, "STYLEKIT_API", hookspecs.API)):
            raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) {fault}")
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


def other_contract(stated: object) -> str:
    """What is wrong with a plugin that states this version of the contract; empty if nothing is."""
    if stated == hookspecs.API:
        return ""
    cure = "Update stylekit" if isinstance(stated, int) and stated > hookspecs.API else "Update the plugin"
    has = f"and this stylekit has version {hookspecs.API}"
    return f"was written for version {stated} of the plugin contract, {has}. {cure}."


@cache
def _load(plugin: Plugin) -> pluggy.PluginManager | str:
    """The plugin's hooks, or why it has none; cached, so that a broken plugin is imported and reported once."""
    try:
        return manager(plugin)
    except StylekitError as error:
        return str(error)


def state(plugin: Plugin) -> tuple[str, str]:
    """``loads`` and what the plugin offers, in words, or ``broken`` and why; imports it."""
    try:
        offered = {kind: _ask(plugin, hook) for kind, hook in KINDS.items()}
        offered["preset for"] = _ask(plugin, PRESETS)
    except StylekitError as error:
        return "broken", str(error)
    return "loads", "; ".join(
        f"{kind} {', '.join(found)}" for kind, found in offered.items() if found
    ) or "follows runs"


def offers(plugin: Plugin, kind: str) -> dict[str, Callable[..., Any]]:
    """What one plugin offers of one kind, by name; empty, after one warning, if the plugin is broken."""
    return _ask_quietly(plugin, KINDS[kind])


def _ask_quietly(plugin: Plugin, hook: str) -> dict[str, Any]:
    try:
        return _ask(plugin, hook)
    except StylekitError as error:
        _report(str(error))
        return {}


def _ask(plugin: Plugin, hook: str) -> dict[str, Any]:
    hooks = _load(plugin)
    if isinstance(hooks, str):
        raise StylekitError(hooks)
    try:
        return {name: offered for given in getattr(hooks.hook, hook)() for name, offered in given.items()}
    except (Exception, SystemExit) as error:
        raise StylekitError(
            f"plugin {plugin.name!r} ({plugin.origin}) failed in {hook}: {type(error).__name__}: {error}"
        ) from error


def parts(plugin: Plugin) -> list[tuple[str, str, Callable[..., Any]]]:
    """Everything that one plugin offers: kind, name, and the callable that builds it."""
    return [(kind, name, part) for kind in KINDS for name, part in offers(plugin, kind).items()]


def parts_named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, one of each kind that has it.

    Raises:
        StylekitError: two plugins offer one.
    """
    found: dict[str, list[Plugin]] = {}
    for circle in _circles(name):
        if found and all(plugin.name != name for plugin in circle):
            break  # not worth importing every plugin
        for kind in KINDS.keys() - found.keys():
            if offering := [plugin for plugin in circle if name in offers(plugin, kind)]:
                found[kind] = offering
    only = {kind: _only(found[kind], f"{kind} {name!r}") for kind in KINDS if kind in found}
    return [(kind, name, offers(plugin, kind)[name]) for kind, plugin in only.items()]


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
    return _only([plugin for plugin in found if plugin.own] or found, f"plugin {name!r}")


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
    found = owners(kind, name)
    if not found:
        raise StylekitError(f"There is no {kind} {name!r}. {suggest(name, names(kind))}")
    return _only(found, f"{kind} {name!r}")


def owners(kind: str, name: str) -> list[Plugin]:
    """The plugins that offer the part of that kind and name, of those who go first; more than one is a conflict."""
    for circle in _circles(name):
        if found := [plugin for plugin in circle if name in offers(plugin, kind)]:
            return found
    return []


def _circles(name: str) -> Iterator[list[Plugin]]:
    """Who is asked for a name, in turn: nobody is imported whose name was found before."""
    known = installed()
    own = [plugin for plugin in known if plugin.own]
    others = [plugin for plugin in known if not plugin.own and plugin.file is None]
    if _files:
        yield [*_files.values(), *own]
    for plugins in (own, others):
        yield [plugin for plugin in plugins if plugin.name == name]
        yield [plugin for plugin in plugins if plugin.name != name]


def names(kind: str) -> list[str]:
    """The names of every part of a kind; imports every plugin."""
    return sorted({name for plugin in installed() for name in offers(plugin, kind)})


def presets(method: str) -> dict[str, list[tuple[Plugin, Mapping[str, Any]]]]:
    """The presets that plugins add to a method: each with who offers it. Imports every plugin."""
    found: dict[str, list[tuple[Plugin, Mapping[str, Any]]]] = {}
    for plugin in installed():
        for name, arguments in dict(_ask_quietly(plugin, PRESETS).get(method, {})).items():
            found.setdefault(name, []).append((plugin, arguments))
    return found


def preset(method: str, name: str) -> Mapping[str, Any] | None:
    """The preset of that name that a plugin adds to a method; None if none does.

    Raises:
        StylekitError: two do.
    """
    offered = presets(method).get(name)
    if offered is None:
        return None
    _only([plugin for plugin, _ in offered], f"preset {name!r} of {method!r}")
    return offered[0][1]


def sign(part: object, kind: str, name: str) -> None:
    """Notes on a part which plugin it came from, for :func:`packages`."""
    with contextlib.suppress(AttributeError):  # it keeps no notes
        vars(part)["_stylekit_plugin"] = owner(kind, name)


def origin(part: object) -> str:
    """Where a part came from, in words; empty where nobody noted it."""
    plugin = getattr(part, "_stylekit_plugin", None)
    return plugin.origin if plugin else ""


def packages(*signed: Any) -> dict[str, str]:
    """The packages beside stylekit, with their versions, that parts and the modules within them came from."""
    within = [module for part in signed for module in (part.modules() if hasattr(part, "modules") else [part])]
    found = {vars(module).get("_stylekit_plugin") for module in within if hasattr(module, "__dict__")}
    return {plugin.package: plugin.version for plugin in found if plugin and not plugin.own and plugin.file is None}


def require(needed: Mapping[str, str], what: object) -> None:
    """Refuses to go on without packages, and warns where one has another version than then.

    Raises:
        StylekitError: one is not installed; it says what to type.
    """
    here = {package: version(package) for package in needed}
    missing = [f"{package}=={needed[package]}" for package, found in here.items() if found is None]
    if missing:
        raise StylekitError(
            f"{what} was made with plugins that are not installed here. Type: pip install {' '.join(missing)}"
        )
    for package, found in here.items():
        if found != needed[package]:
            warn(
                f"{what} was made with {package} {needed[package]}, and {found} is installed. If it does not do what it "
                f"did, type: pip install {package}=={needed[package]}"
            )


def _only(found: list[Plugin], what: str) -> Plugin:
    if len(found) > 1:
        owners = " and ".join(plugin.origin for plugin in found)
        cure = "Uninstall one of them, or set STYLEKIT_PLUGINS to the package that you mean."
        if any(plugin.file for plugin in found):
            cure = "Give yours another name."
        raise StylekitError(f"The {what} is offered twice, by {owners}. {cure}")
    return found[0]
