"""Loading one plugin: importing its module or file, and holding its hooks against the contract. Imports no torch itself."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import operator
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from stylekit import hookspecs
from stylekit.errors import StylekitError, one_line_error, suggest
from stylekit.registry.entrypoints import OWN


@dataclass(frozen=True)
class Plugin:
    """A module that offers parts: its name, where it lies, and whose it is."""

    name: str
    module: str
    package: str
    version: str
    attribute: str = ""
    """The object in the module that has the hooks; empty: the module has them."""
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


class _Source(importlib.machinery.SourceFileLoader):
    """Keeps no bytecode, which Python takes for current when a file is edited twice in one second."""

    def set_data(self, *_: Any, **__: Any) -> None:
        pass


def _import(plugin: Plugin) -> Any:
    """The object that has the plugin's hooks."""
    if plugin.file is None:
        module = importlib.import_module(plugin.module)
        if module.__spec__ and module.__spec__.origin is None:
            raise StylekitError(f"could not be imported: {folder_message(plugin.module, module.__path__)}")
        return operator.attrgetter(plugin.attribute)(module) if plugin.attribute else module
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


def load_hooks(*plugins: Plugin) -> pluggy.PluginManager:
    """Imports plugins and gives their hooks.

    Raises:
        StylekitError: a plugin cannot be imported, was written for another version of the contract, or has a hook that
            is not in it.
    """
    hooks = pluggy.PluginManager("stylekit")
    hooks.add_hookspecs(hookspecs)
    for plugin in plugins:
        try:
            offering = _import(plugin)
            _require_hooks(offering)
            hooks.register(offering, name=plugin.name)
        except KeyboardInterrupt:
            raise
        except StylekitError as error:
            raise StylekitError(f"plugin {plugin.name!r} ({plugin.origin}) {error}") from error
        except BaseException as error:  # such as SystemExit, and what test frameworks raise to skip
            told = f"plugin {plugin.name!r} ({plugin.origin}) could not be imported: {one_line_error(error)}"
            raise StylekitError(told) from error
    return hooks


def _require_hooks(offering: object) -> None:
    """Refuses what does not fit the contract.

    Raises:
        StylekitError: it states another version, or has a hook that is misspelt, unmarked, or takes what there is not.
    """
    if fault := contract_mismatch(getattr(offering, "STYLEKIT_API", hookspecs.API)):
        raise StylekitError(fault)
    known = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("stylekit_")}
    for name in dir(offering):
        hook = getattr(offering, name, None)
        marked = hasattr(hook, "stylekit_impl")
        if name in known and not marked:
            raise StylekitError(f"must put @hookimpl before its function {name}.")
        if marked and name not in known:
            raise StylekitError(f"has a hook {name}, which the contract does not. {suggest(name, known)}")
        if marked:
            takes = inspect.signature(known[name]).parameters
            if unknown := [each for each in inspect.signature(hook).parameters if each not in takes]:  # type: ignore[arg-type]
                raise StylekitError(f"has a hook {name} that takes {unknown[0]!r}. {suggest(unknown[0], takes)}")


def folder_message(module: str, places: Iterable[str] | None) -> str:
    """What is wrong where Python finds nothing but a folder of a module's name."""
    where = next(iter(places or ()), "")
    return (
        f"Python finds only the folder {where} by the name {module}, and no module: the package is not there, or that "
        "folder hides it. Install it anew, or work in another folder."
    )


def contract_mismatch(stated: object) -> str:
    """What is wrong with a plugin that states this version of the contract; empty if nothing is."""
    if stated == hookspecs.API:
        return ""
    if not isinstance(stated, int):
        return f"states STYLEKIT_API = {stated!r}, which must be the number {hookspecs.API}."
    cure = "Update stylekit" if stated > hookspecs.API else "Update the plugin"
    has = f"and this stylekit has version {hookspecs.API}"
    return f"was written for version {stated} of the plugin contract, {has}. {cure}."
