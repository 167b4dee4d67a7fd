"""Importing the module or file of a plugin, and checking its hooks against the contract. Does not import torch itself."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import operator
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from stylekit import hookspecs
from stylekit.errors import StylekitError, one_line_error, suggest
from stylekit.registry.entrypoints import OWN


@dataclass(frozen=True)
class Plugin:
    """A module that provides parts: its name, its location, and its package."""

    name: str
    module: str
    package: str
    version: str
    attribute: str = ""
    """The object in the module that has the hooks; empty if the module itself has them."""
    file: Path | None = None
    changed: int = 0
    """Modification time of the file, so that an edited file counts as another plugin."""

    @property
    def origin(self) -> str:
        return str(self.file) if self.file else f"{self.package} {self.version}"

    @property
    def own(self) -> bool:
        """Whether the plugin is built in."""
        return self.package == OWN


class _Source(importlib.machinery.SourceFileLoader):
    """Writes no bytecode, because Python would use stale bytecode when a file is edited twice within a second."""

    def set_data(self, *_: Any, **__: Any) -> None:
        pass


def _import(plugin: Plugin) -> Any:
    """Imports a plugin and returns the object that has its hooks."""
    if plugin.file is None:
        module = importlib.import_module(plugin.module)
        if module.__spec__ and module.__spec__.origin is None:
            raise StylekitError(f"could not be imported: {folder_message(plugin.module, module.__path__)}")
        return operator.attrgetter(plugin.attribute)(module) if plugin.attribute else module
    imported = sys.modules.get(plugin.module)
    if imported is not None and vars(imported).get("_stylekit_plugin") == plugin:
        return imported
    loader = _Source(plugin.module, str(plugin.file))
    spec = importlib.util.spec_from_loader(plugin.module, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["_stylekit_plugin"] = plugin
    sys.modules[plugin.module] = module
    try:
        with _neighbours(plugin.file):
            loader.exec_module(module)
    except BaseException:
        sys.modules.pop(plugin.module, None)
        raise
    return module


_folders: set[str] = set()
"""The folders of the plugin files that were imported."""


@contextlib.contextmanager
def _neighbours(file: Path) -> Iterator[None]:
    """Lets a plugin file import the modules next to it, as a script can; installed modules of the same name come first.

    Only the import of the file finds them: ``sys.path`` is restored afterwards.

    Raises:
        StylekitError: it imports a module of the same name as one next to another plugin file, which Python would mix up.
    """
    folder = str(file.parent)
    others = {
        name: module
        for name, module in sys.modules.items()
        if os.path.dirname(getattr(module, "__file__", None) or "") in _folders - {folder}
        and any((file.parent / each).exists() for each in (f"{name}.py", name))
    }
    for name in others:
        del sys.modules[name]
    _folders.add(folder)
    sys.path.append(folder)
    try:
        yield
        if mixed := [name for name in others if name in sys.modules]:
            first, second = others[mixed[0]].__file__, sys.modules[mixed[0]].__file__
            raise StylekitError(
                f"imports the module {mixed[0]!r} from {second}, but an earlier plugin has imported {first} by that "
                "name. Rename one of them."
            )
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]
        sys.modules.update(others)


def load_hooks(*plugins: Plugin) -> pluggy.PluginManager:
    """Imports plugins and returns their hooks.

    Raises:
        StylekitError: a plugin cannot be imported, was written for another version of the contract, or has a hook that
            the contract does not define.
    """
    hooks = pluggy.PluginManager("stylekit")
    hooks.add_hookspecs(hookspecs)
    for plugin in plugins:
        try:
            provider = _import(plugin)
            _require_hooks(provider)
            hooks.register(provider, name=plugin.name)
        except KeyboardInterrupt:
            raise
        except StylekitError as error:
            raise StylekitError(f"The plugin {plugin.name!r} ({plugin.origin}) {error}") from error
        except BaseException as error:  # such as SystemExit, or the exceptions with which test frameworks skip
            message = f"The plugin {plugin.name!r} ({plugin.origin}) could not be imported: {one_line_error(error)}"
            raise StylekitError(message) from error
    return hooks


def _require_hooks(provider: object) -> None:
    """Checks a plugin against the contract.

    Raises:
        StylekitError: it states another version, or has a hook that is misspelt, unmarked, or has an unknown argument.
    """
    if fault := contract_mismatch(getattr(provider, "STYLEKIT_API", hookspecs.API)):
        raise StylekitError(fault)
    known = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("stylekit_")}
    for name in dir(provider):
        hook = getattr(provider, name, None)
        marked = hasattr(hook, "stylekit_impl")
        if name in known and not marked:
            raise StylekitError(f"must mark its function {name} with @hookimpl.")
        if marked and name not in known:
            raise StylekitError(f"has a hook {name}, which the contract does not define. {suggest(name, known)}")
        if marked:
            allowed = inspect.signature(known[name]).parameters
            if unknown := [each for each in inspect.signature(hook).parameters if each not in allowed]:  # type: ignore[arg-type]
                raise StylekitError(
                    f"has a hook {name} with an unknown argument {unknown[0]!r}. {suggest(unknown[0], allowed)}"
                )


def folder_message(module: str, places: Iterable[str] | None) -> str:
    """The message for a module name under which Python finds only a folder."""
    folder = next(iter(places or ()), "")
    return (
        f"Python finds no module {module}, only the folder {folder}: the package is not installed, or that folder hides "
        "it. Reinstall the package, or work in another folder."
    )


def contract_mismatch(stated: object) -> str:
    """Why a plugin that states this version of the contract cannot be used; empty if it can."""
    if stated == hookspecs.API:
        return ""
    if not isinstance(stated, int):
        return f"states STYLEKIT_API = {stated!r}, but must state the number {hookspecs.API}."
    fix = "Update stylekit" if stated > hookspecs.API else "Update the plugin"
    actual = f"but this stylekit has version {hookspecs.API}"
    return f"was written for version {stated} of the plugin contract, {actual}. {fix}."
