"""How an installed plugin stands, as far as its metadata and its source tell: nothing is imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec

from stylekit.registry.loading import Plugin, contract_mismatch, folder_message


def plugin_status(plugin: Plugin, visible: bool, every: Iterable[Plugin]) -> tuple[str, str]:
    """A plugin's state and its reason: ``hidden``, ``taken``, ``broken``, ``outdated``, or ``installed`` and no reason.

    Args:
        plugin: the plugin
        visible: whether ``STYLEKIT_PLUGINS`` lets it be seen
        every: all that are visible, for who else has its name
    """
    if not visible:
        return "hidden", "STYLEKIT_PLUGINS does not name it"
    rivals = [other for other in every if other.name == plugin.name and other.package != plugin.package]
    if rivals and not plugin.own:
        return "taken", f"its name is also that of {' and '.join(rival.origin for rival in rivals)}"
    try:
        stated = _stated(ast.parse(_source(plugin.module)))
    except SyntaxError as error:
        return "broken", f"line {error.lineno} of {plugin.module}: {error.msg}"
    except (OSError, ValueError, ImportError) as error:
        return "broken", str(error)
    if stated is not None and (fault := contract_mismatch(stated)):
        return "outdated", fault
    return "installed", ""


def _source(module: str) -> str:
    """The source of a module; empty if it is compiled.

    Raises:
        ImportError: there is no such module, or only a folder of that name.
    """
    places = None
    spec: ModuleSpec | None = None
    path = ""
    for part in module.split("."):
        path = f"{path}.{part}" if path else part
        specs = (finder.find_spec(path, places) for finder in sys.meta_path)
        spec = next((found for found in specs if found), None)
        if spec is None:
            raise ImportError(f"there is no module {path}. Install its package anew.")
        places = spec.submodule_search_locations
    if spec is None or spec.origin is None:
        raise ImportError(folder_message(module, places))
    loader = spec.loader
    return (loader.get_source(module) or "") if isinstance(loader, InspectLoader) else ""


def _stated(tree: ast.Module) -> object:
    """The version of the contract that a module states in so many words, or None."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == "STYLEKIT_API" for target in targets):
                return statement.value.value
    return None
