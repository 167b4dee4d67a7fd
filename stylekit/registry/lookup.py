"""Finding, loading and naming plugins. Nothing here imports torch, and no plugin is imported before it is asked for.

A name is looked up in files that the user gave and in what is built in, then in the installed plugin of that name, and
only then in all the others: so no installed package can take a built-in name, or slow down what uses built-in ones. A
plugin that cannot be imported is passed over with one warning, and everything else goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pluggy

from stylekit.errors import StylekitError, one_line_error, suggest, warn
from stylekit.hookspecs import KINDS
from stylekit.registry.entrypoints import Entry, entries
from stylekit.registry.loading import Plugin, load_hooks

GROUP = "stylekit"
PRESETS = "stylekit_presets"

_files: dict[str, Plugin] = {}


def visible_plugins() -> list[Plugin]:
    """Every visible plugin of every installed package, by name, and the files that :func:`add_file` added.

    Imports none. ``STYLEKIT_PLUGINS=a,b`` in the environment leaves only those plugins or packages visible, beside what
    is built in.
    """
    found = [plugin for plugin, visible in all_plugins() if visible]
    return sorted([*found, *_files.values()], key=lambda plugin: (plugin.name, plugin.package))


def all_plugins() -> list[tuple[Plugin, bool]]:
    """Every plugin of every installed package, and whether it is visible."""
    return [(_of(entry), entry.visible) for entry in entries(GROUP)]


def _of(entry: Entry) -> Plugin:
    return Plugin(entry.name, entry.module, entry.package, entry.version, entry.attribute)


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
    plugin = Plugin(path.stem, f"stylekit_file_{path.stem}", "file", "", "", path, path.stat().st_mtime_ns)
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
        load_hooks(add_file(path))


@cache
def _load(plugin: Plugin) -> pluggy.PluginManager | str:
    """The plugin's hooks, or why it has none; cached, so that a broken plugin is imported and reported once."""
    try:
        return load_hooks(plugin)
    except StylekitError as error:
        return str(error)


def loaded_state(plugin: Plugin) -> tuple[str, str]:
    """``loads`` and what the plugin offers, in words, or ``broken`` and why; imports it."""
    try:
        offered = {kind.name: _ask(plugin, kind.hook) for kind in KINDS.values()}
        offered["preset for"] = _ask(plugin, PRESETS)
    except StylekitError as error:
        return "broken", str(error)
    told = [f"{kind} {', '.join(found)}" for kind, found in offered.items() if found]
    return "loads", "; ".join(told) or "follows runs"


def parts_of_kind(plugin: Plugin, kind: str) -> dict[str, Callable[..., Any]]:
    """What one plugin offers of one kind, by name; empty, after one warning, if the plugin is broken."""
    if kind not in KINDS:
        raise StylekitError(f"There is no kind of part {kind!r}. {suggest(kind, KINDS)}")
    return _ask_quietly(plugin, KINDS[kind].hook)


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
        given = getattr(hooks.hook, hook)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # such as SystemExit
        reason = one_line_error(error)
        raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) failed in {hook}: {reason}") from error
    fits, form = (
        (_are_presets, "{method: {preset: {argument: value}}}") if hook == PRESETS else (_are_parts, "{name: class}")
    )
    if not all(map(fits, given)):
        raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) must return {form} from {hook}.")
    return {name: offered for each in given for name, offered in each.items()}


def _are_parts(given: Any) -> bool:
    return isinstance(given, Mapping) and all(isinstance(name, str) and callable(part) for name, part in given.items())


def _are_presets(given: Any) -> bool:
    if not isinstance(given, Mapping) or not all(isinstance(each, Mapping) for each in given.values()):
        return False
    return all(isinstance(arguments, Mapping) for presets in given.values() for arguments in presets.values())


def plugin_parts(plugin: Plugin) -> list[tuple[str, str, Callable[..., Any]]]:
    """Everything that one plugin offers: kind, name, and the callable that builds it."""
    return [(kind, name, part) for kind in KINDS for name, part in parts_of_kind(plugin, kind).items()]


def rivals(plugin: Plugin, kind: str, name: str) -> list[Plugin]:
    """Other plugins that are asked for a part of this one, before it or beside it; none, if all is well."""
    return [other for other in part_owners(kind, name) if _source(other) != _source(plugin)]


def _source(plugin: Plugin) -> tuple[str, str, str]:
    """What tells plugins apart; a package may name one module several times, once for each of its parts."""
    return plugin.package, plugin.module, plugin.attribute


def parts_named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, one of each kind that has it.

    Raises:
        StylekitError: two plugins offer one.
    """
    found: dict[str, list[Plugin]] = {}
    for group in _lookup_order(name):
        if found and all(plugin.name != name for plugin in group):
            break  # not worth importing every plugin
        for kind in KINDS.keys() - found.keys():
            if offering := [plugin for plugin in group if name in parts_of_kind(plugin, kind)]:
                found[kind] = offering
    only = {kind: _only(found[kind], f"{kind} {name!r}") for kind in KINDS if kind in found}
    return [(kind, name, parts_of_kind(plugin, kind)[name]) for kind, plugin in only.items()]


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
    known = visible_plugins()
    found = [plugin for plugin in known if plugin.name == name]
    if not found:
        raise StylekitError(f"There is no plugin {name!r}. {suggest(name, [plugin.name for plugin in known])}")
    return _only([plugin for plugin in found if plugin.own] or found, f"plugin {name!r}")


def split_file(name: str) -> tuple[str, str]:
    """The file and the part in ``FILE.py:PART``; without a part, the second is empty, and for other names the first."""
    if name.endswith(".py"):
        return name, ""
    file, colon, part = name.rpartition(":")
    return (file, part) if colon and file.endswith(".py") else ("", name)


def find_method(names: Sequence[str]) -> tuple[str, Callable[..., Any]]:
    """The method that ``--plugin`` names, and its factory.

    Args:
        names: one method: its name, ``FILE.py:NAME``, or a ``FILE.py`` that offers one method; each further ``FILE.py``
            may offer other parts, such as a data set

    Raises:
        StylekitError: there is no method among them, or more than one.
    """
    split = [split_file(name) for name in names]
    files: dict[str, Path] = {}
    for path in (Path(file) for file, _ in split if file):
        other = files.setdefault(path.stem, path)
        if other.resolve() != path.resolve():
            raise StylekitError(f"{other} and {path} have one name, by which they are known: rename one of them.")
    offered = {stem: list(_ask(add_file(path), KINDS["method"].hook)) for stem, path in files.items()}
    for file, part in split:
        if file and part and part not in offered[Path(file).stem]:
            raise StylekitError(f"{file} offers no method {part!r}. {suggest(part, offered[Path(file).stem])}")
    named = list(dict.fromkeys(part for _, part in split if part))
    methods = named or [method for found in offered.values() for method in found]
    if len(methods) != 1:
        where = " and ".join(names)
        if not methods:
            raise StylekitError(
                f"{where} offers no method: add one in a hook stylekit_methods, or name a method with a further --plugin."
            )
        raise StylekitError(
            f"{where} offer {len(methods)} methods ({', '.join(methods)}). Name one, as in --plugin FILE.py:{methods[0]}."
        )
    return methods[0], find_part("method", methods[0])


def find_part(kind: str, name: str) -> Callable[..., Any]:
    """The part of that kind and name, as the callable that builds it.

    Raises:
        StylekitError: no plugin offers it, or two do.
    """
    return parts_of_kind(part_owner(kind, name), kind)[name]


def part_owner(kind: str, name: str) -> Plugin:
    """The plugin that offers the part of that kind and name.

    Raises:
        StylekitError: no plugin offers it, or two do.
    """
    found = part_owners(kind, name)
    if not found:
        raise StylekitError(f"There is no {kind} {name!r}. {why_missing(name)}{suggest(name, part_names(kind))}")
    return _only(found, f"{kind} {name!r}")


def why_missing(name: str) -> str:
    """Why the plugin of that name does not offer what was looked for; empty if there is no such plugin."""
    for plugin, visible in all_plugins():
        if plugin.name == name:
            if not visible:
                return f"STYLEKIT_PLUGINS leaves out the plugin of that name, of {plugin.origin}. "
            word, told = loaded_state(plugin)
            return f"The plugin of that name offers: {told}. " if word == "loads" else f"The {told.rstrip('.')}. "
    return ""


def part_owners(kind: str, name: str, everywhere: bool = True) -> list[Plugin]:
    """The plugins that offer the part of that kind and name, in the first group that has one; more than one is a conflict.

    Args:
        kind: kind of the part
        name: its name
        everywhere: also import installed plugins of other names, where no other plugin offers it
    """
    for group in _lookup_order(name, everywhere):
        if found := [plugin for plugin in group if name in parts_of_kind(plugin, kind)]:
            return found
    return []


def _lookup_order(name: str, everywhere: bool = True) -> Iterator[list[Plugin]]:
    """The groups of plugins in which a name is looked up, in this order; none is imported after the name was found."""
    known = visible_plugins()
    own = [plugin for plugin in known if plugin.own]
    others = [plugin for plugin in known if not plugin.own and plugin.file is None]
    if _files:
        yield [*_files.values(), *own]
    for plugins in (own, others):
        yield [plugin for plugin in plugins if plugin.name == name]
        if plugins is own or everywhere:
            rest = {_source(plugin): plugin for plugin in plugins if plugin.name != name}
            yield list(rest.values())


def part_names(kind: str) -> list[str]:
    """The names of every part of a kind; imports every plugin."""
    return sorted({name for plugin in visible_plugins() for name in parts_of_kind(plugin, kind)})


def presets(method: str) -> dict[str, list[tuple[Plugin, Mapping[str, Any]]]]:
    """The presets that plugins add to a method: each with who offers it. Imports every plugin."""
    found: dict[str, list[tuple[Plugin, Mapping[str, Any]]]] = {}
    for plugin in visible_plugins():
        for name, arguments in dict(_ask_quietly(plugin, PRESETS).get(method, {})).items():
            found.setdefault(name, []).append((plugin, arguments))
    return found


def preset(method: str, name: str) -> tuple[Plugin, Mapping[str, Any]] | None:
    """The preset of that name that a plugin adds to a method, and who does; None if none does.

    Raises:
        StylekitError: two do.
    """
    offered = presets(method).get(name)
    if offered is None:
        return None
    _only([plugin for plugin, _ in offered], f"preset {name!r} of {method!r}")
    return offered[0]


def _only(found: list[Plugin], what: str) -> Plugin:
    if len(found) > 1:
        owners = " and ".join(plugin.origin for plugin in found)
        cure = "Uninstall one of them, or set STYLEKIT_PLUGINS to the package that you mean."
        if any(plugin.file for plugin in found):
            cure = "Give yours another name."
        raise StylekitError(f"The {what} is offered twice, by {owners}. {cure}")
    return found[0]
