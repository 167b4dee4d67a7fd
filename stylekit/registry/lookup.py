"""Finding plugins and their parts by name. Nothing here imports torch, and plugins are imported only when needed.

A name is resolved in this order: plugin files that the user passed and built-in plugins, the installed plugin of that name,
all other plugins. Installed packages can therefore neither override a built-in name nor slow down the use of built-in
parts. A plugin that cannot be imported is skipped with one warning.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from stylekit._files import real_path
from stylekit.errors import StylekitError, one_line_error, suggest, warn
from stylekit.hookspecs import KINDS
from stylekit.registry.entrypoints import Entry, entries
from stylekit.registry.loading import Plugin, load_hooks

if TYPE_CHECKING:
    from stylekit.hookspecs import ImageFormat

GROUP = "stylekit"
PRESETS = "stylekit_presets"
FORMATS = "stylekit_image_formats"

_files: dict[str, Plugin] = {}


class MissingPart(StylekitError):
    """No plugin provides a part of that kind and name."""


def visible_plugins() -> list[Plugin]:
    """The visible plugins of all installed packages and the files that :func:`add_file` added, sorted by name.

    Does not import any of them. With ``STYLEKIT_PLUGINS=a,b`` in the environment, only these plugins or packages and the
    built-in plugins are visible.
    """
    installed = [plugin for plugin, visible in all_plugins() if visible]
    return sorted([*installed, *_files.values()], key=lambda plugin: (plugin.name, plugin.package))


def all_plugins() -> list[tuple[Plugin, bool]]:
    """All plugins of all installed packages, each with whether it is visible."""
    return [(_from_entry(entry), entry.visible) for entry in entries(GROUP)]


def _from_entry(entry: Entry) -> Plugin:
    return Plugin(entry.name, entry.module, entry.package, entry.version, entry.attribute)


def add_file(path: Path) -> Plugin:
    """Adds a Python file as a plugin for this process, and returns the plugin, which is named after the file.

    Raises:
        StylekitError: the file does not exist, or is not a Python file.
    """
    if not path.exists():
        raise StylekitError(f"There is no file {path}.")
    path = real_path(path)
    if path.suffix != ".py" or not path.is_file():
        raise StylekitError(
            f"{path} is not a Python file. A plugin file ends in .py and provides parts with @hookimpl."
        )
    plugin = Plugin(path.stem, f"stylekit_file_{path.stem}", "file", "", "", path, path.stat().st_mtime_ns)
    _files[path.stem] = plugin
    return plugin


def imported_files() -> list[Path]:
    """The plugin files that were imported in this process."""
    return [plugin.file for plugin in _files.values() if plugin.file and plugin.module in sys.modules]


def import_files(paths: Iterable[Path]) -> None:
    """Imports plugin files, so that objects pickled in another process can be unpickled here.

    Raises:
        StylekitError: a file no longer exists, or cannot be imported.
    """
    for path in paths:
        load_hooks(add_file(path))


@cache
def _load(plugin: Plugin) -> pluggy.PluginManager | str:
    """The plugin's hooks, or the error if it cannot be loaded. Cached, so that a broken plugin is imported only once."""
    try:
        return load_hooks(plugin)
    except StylekitError as error:
        return str(error)


def loaded_state(plugin: Plugin) -> tuple[str, str]:
    """Imports a plugin; returns ``loads`` and a list of what it provides, or ``broken`` and the error."""
    try:
        provided = {kind.name: _call_hook(plugin, kind.hook) for kind in KINDS.values()}
        provided["preset for"] = _call_hook(plugin, PRESETS)
        provided["image format"] = _call_hook(plugin, FORMATS)
    except StylekitError as error:
        return "broken", str(error)
    lines = [f"{kind} {', '.join(names)}" for kind, names in provided.items() if names]
    return "loads", "; ".join(lines) or "follows runs"


def parts_of_kind(plugin: Plugin, kind: str) -> dict[str, Callable[..., Any]]:
    """The parts of one kind that a plugin provides, by name. For a broken plugin, warns once and returns an empty dict."""
    if kind not in KINDS:
        raise StylekitError(f"There is no kind of part {kind!r}. {suggest(kind, KINDS)}")
    return _call_hook_or_warn(plugin, KINDS[kind].hook)


def _call_hook_or_warn(plugin: Plugin, hook: str) -> dict[str, Any]:
    try:
        return _call_hook(plugin, hook)
    except StylekitError as error:
        _report(str(error))
        return {}


def _call_hook(plugin: Plugin, hook: str) -> dict[str, Any]:
    hooks = _load(plugin)
    if isinstance(hooks, str):
        raise StylekitError(hooks)
    is_valid, form = {
        PRESETS: (_are_presets, "{method: {preset: {argument: value}}}"),
        FORMATS: (_are_formats, "{'.suffix': format}, where a format has read and encode"),
    }.get(hook, (_are_parts, "{name: class}"))
    try:
        results = getattr(hooks.hook, hook)()
        if all(map(is_valid, results)):
            return {name: value for result in results for name, value in result.items()}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # such as SystemExit
        reason = one_line_error(error)
        raise StylekitError(f"The plugin {plugin.name!r} ({plugin.origin}) failed in {hook}: {reason}") from error
    raise StylekitError(f"The plugin {plugin.name!r} ({plugin.origin}) must return {form} from {hook}.")


def _are_parts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) and callable(part) for name, part in value.items())


def _are_presets(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(each, Mapping) for each in value.values()):
        return False
    return all(isinstance(arguments, Mapping) for presets in value.values() for arguments in presets.values())


def _are_formats(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and name.startswith(".")
        and name == name.lower()
        and callable(getattr(each, "read", None))
        and callable(getattr(each, "encode", None))
        for name, each in value.items()
    )


def plugin_parts(plugin: Plugin) -> list[tuple[str, str, Callable[..., Any]]]:
    """All parts that a plugin provides: kind, name, and the callable that builds the part."""
    return [(kind, name, part) for kind in KINDS for name, part in parts_of_kind(plugin, kind).items()]


def rivals(plugin: Plugin, kind: str, name: str) -> list[Plugin]:
    """Other plugins that provide a part of the same kind and name, and hide or conflict with this plugin's part."""
    return [other for other in part_owners(kind, name) if _source(other) != _source(plugin)]


def _source(plugin: Plugin) -> tuple[str, str, str]:
    """Identifies the module of a plugin; a package may list one module several times, once for each of its parts."""
    return plugin.package, plugin.module, plugin.attribute


def parts_named(name: str) -> list[tuple[str, str, Callable[..., Any]]]:
    """The parts of that name, at most one of each kind.

    Raises:
        StylekitError: two plugins provide a part of the same kind and name.
    """
    owners: dict[str, list[Plugin]] = {}
    for group in _lookup_order(name):
        if owners and all(plugin.name != name for plugin in group):
            break  # not worth importing every plugin
        for kind in KINDS.keys() - owners.keys():
            if providers := [plugin for plugin in group if name in parts_of_kind(plugin, kind)]:
                owners[kind] = providers
    only = {kind: _only(owners[kind], f"{kind} {name!r}") for kind in KINDS if kind in owners}
    return [(kind, name, parts_of_kind(plugin, kind)[name]) for kind, plugin in only.items()]


@cache
def _report(message: str) -> None:
    """Warns once per process and message."""
    warn(message)


def find_plugin(name: str) -> Plugin:
    """The plugin of that name, or the plugin in that ``.py`` file.

    Raises:
        StylekitError: there is no such plugin, or two packages have a plugin of that name.
    """
    if name.endswith(".py"):
        return add_file(Path(name))
    known = visible_plugins()
    matches = [plugin for plugin in known if plugin.name == name]
    if not matches:
        raise StylekitError(f"There is no plugin {name!r}. {suggest(name, [plugin.name for plugin in known])}")
    return _only([plugin for plugin in matches if plugin.own] or matches, f"plugin {name!r}")


def split_file(name: str) -> tuple[str, str]:
    """Splits ``FILE.py:PART`` into file and part. The part is empty in ``FILE.py``; the file is empty in other names."""
    if name.endswith(".py"):
        return name, ""
    file, colon, part = name.rpartition(":")
    return (file, part) if colon and file.endswith(".py") else ("", name)


def find_method(names: Sequence[str]) -> tuple[str, Callable[..., Any]]:
    """The name of the method that ``--plugin`` selects, and its factory.

    Args:
        names: one method: its name, ``FILE.py:NAME``, or a ``FILE.py`` that provides one method; each further ``FILE.py``
            may provide other parts, such as a data set

    Raises:
        StylekitError: the names select no method, or more than one.
    """
    split = [split_file(name) for name in names]
    files: dict[str, Path] = {}
    for path in (Path(file) for file, _ in split if file):
        other = files.setdefault(path.stem, path)
        if real_path(other) != real_path(path):
            raise StylekitError(f"{other} and {path} have the same file name. Rename one of them.")
    provided = {stem: list(_call_hook(add_file(path), KINDS["method"].hook)) for stem, path in files.items()}
    for file, part in split:
        if file and part and part not in provided[Path(file).stem]:
            raise StylekitError(f"{file} provides no method {part!r}. {suggest(part, provided[Path(file).stem])}")
    selected = list(dict.fromkeys(part for _, part in split if part))
    methods = selected or [method for in_file in provided.values() for method in in_file]
    if len(methods) != 1:
        sources = " and ".join(names)
        if not methods:
            raise StylekitError(
                f"No method in {sources}. Add one with the hook stylekit_methods, or name a method with another --plugin."
            )
        raise StylekitError(
            f"There are {len(methods)} methods in {sources}: {', '.join(methods)}. Select one, as in --plugin "
            f"FILE.py:{methods[0]}."
        )
    return methods[0], find_part("method", methods[0])


def find_part(kind: str, name: str) -> Callable[..., Any]:
    """The callable that builds the part of that kind and name.

    Raises:
        StylekitError: no plugin provides it, or two do.
    """
    return parts_of_kind(part_owner(kind, name), kind)[name]


def part_owner(kind: str, name: str) -> Plugin:
    """The plugin that provides the part of that kind and name.

    Raises:
        MissingPart: no plugin provides it.
        StylekitError: two plugins provide it.
    """
    owners = part_owners(kind, name)
    if not owners:
        raise MissingPart(f"There is no {kind} {name!r}. {why_missing(name)}{suggest(name, part_names(kind))}")
    return _only(owners, f"{kind} {name!r}")


def why_missing(name: str) -> str:
    """Why the plugin of that name does not provide the requested part; empty if there is no such plugin."""
    for plugin, visible in all_plugins():
        if plugin.name == name:
            if not visible:
                return f"STYLEKIT_PLUGINS excludes the plugin of that name, from {plugin.origin}. "
            state, details = loaded_state(plugin)
            return f"The plugin of that name provides: {details}. " if state == "loads" else f"{details.rstrip('.')}. "
    return ""


def part_owners(kind: str, name: str, everywhere: bool = True) -> list[Plugin]:
    """The plugins that provide the part of that kind and name, in the first group that has any; several are a conflict.

    Args:
        kind: kind of the part
        name: its name
        everywhere: as a last resort, also import installed plugins of other names
    """
    for group in _lookup_order(name, everywhere):
        if owners := [plugin for plugin in group if name in parts_of_kind(plugin, kind)]:
            return owners
    return []


def _lookup_order(name: str, everywhere: bool = True) -> Iterator[list[Plugin]]:
    """The groups of plugins in which a name is looked up, in order. Groups after the first match are not imported."""
    known = visible_plugins()
    own = [plugin for plugin in known if plugin.own]
    others = [plugin for plugin in known if not plugin.own and plugin.file is None]
    if _files:
        yield [*_files.values(), *{_source(plugin): plugin for plugin in own}.values()]
    for plugins in (own, others):
        yield [plugin for plugin in plugins if plugin.name == name]
        if plugins is own or everywhere:
            rest = {_source(plugin): plugin for plugin in plugins if plugin.name != name}
            yield list(rest.values())


def part_names(kind: str) -> list[str]:
    """The names of all parts of a kind. Imports every plugin."""
    return sorted({name for plugin in visible_plugins() for name in parts_of_kind(plugin, kind)})


def presets(method: str) -> dict[str, list[tuple[Plugin, Mapping[str, Any]]]]:
    """The presets that plugins add to a method, with the plugins that provide them. Imports every plugin."""
    result: dict[str, list[tuple[Plugin, Mapping[str, Any]]]] = {}
    for plugin in visible_plugins():
        for name, arguments in dict(_call_hook_or_warn(plugin, PRESETS).get(method, {})).items():
            result.setdefault(name, []).append((plugin, arguments))
    return result


def preset(method: str, name: str) -> tuple[Plugin, Mapping[str, Any]] | None:
    """The preset of that name that a plugin adds to a method, with the plugin; None if there is none.

    Raises:
        StylekitError: two plugins provide it.
    """
    matches = presets(method).get(name)
    if matches is None:
        return None
    _only([plugin for plugin, _ in matches], f"preset {name!r} of {method!r}")
    return matches[0]


def image_formats() -> dict[str, ImageFormat]:
    """The formats of images that plugins add, by suffix. Imports every plugin that is not built in.

    Raises:
        StylekitError: two plugins provide one.
    """
    plugins = {_source(plugin): plugin for plugin in visible_plugins() if not plugin.own}.values()
    provided: dict[str, list[tuple[Plugin, ImageFormat]]] = {}
    for plugin in plugins:
        for suffix, format_ in _call_hook_or_warn(plugin, FORMATS).items():
            provided.setdefault(suffix, []).append((plugin, format_))
    for suffix, several in provided.items():
        _only([plugin for plugin, _ in several], f"image format {suffix!r}")
    return {suffix: several[0][1] for suffix, several in provided.items()}


def _only(plugins: list[Plugin], what: str) -> Plugin:
    if len(plugins) > 1:
        owners = " and ".join(plugin.origin for plugin in plugins)
        fix = "Uninstall one of them, or set STYLEKIT_PLUGINS to the package that you mean."
        if any(plugin.file for plugin in plugins):
            fix = "Rename yours."
        raise StylekitError(f"The {what} is provided twice, by {owners}. {fix}")
    return plugins[0]
