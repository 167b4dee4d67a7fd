"""The status of an installed plugin, determined from its metadata and source without importing it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec

from stylekit.errors import one_line_error
from stylekit.registry.loading import Plugin, contract_mismatch, folder_message


def plugin_status(plugin: Plugin, visible: bool, every: Iterable[Plugin]) -> tuple[str, str]:
    """A plugin's state and the reason: ``hidden``, ``taken``, ``broken``, ``outdated``, or ``installed`` without a reason.

    Args:
        plugin: the plugin
        visible: whether ``STYLEKIT_PLUGINS`` allows it
        every: all visible plugins, to find others of the same name
    """
    if not visible:
        return "hidden", "STYLEKIT_PLUGINS does not list it"
    rivals = [other for other in every if other.name == plugin.name and other.package != plugin.package]
    if rivals and not plugin.own:
        return "taken", f"its name is also used by {' and '.join(rival.origin for rival in rivals)}"
    try:
        stated = _stated(ast.parse(_source(plugin.module)))
    except SyntaxError as error:
        return "broken", f"line {error.lineno} of {plugin.module}: {error.msg}"
    except (OSError, ValueError, ImportError) as error:
        return "broken", str(error)
    except Exception as error:  # any error of a package's own import machinery
        return "broken", one_line_error(error)
    if stated is not None and (fault := contract_mismatch(stated)):
        return "outdated", fault
    return "installed", ""


def _source(module: str) -> str:
    """The source of a module; empty if it is compiled.

    Raises:
        ImportError: the module does not exist, or is only a folder.
    """
    places = None
    spec: ModuleSpec | None = None
    path = ""
    for part in module.split("."):
        path = f"{path}.{part}" if path else part
        specs = (finder.find_spec(path, places) for finder in sys.meta_path)
        spec = next((each for each in specs if each), None)
        if spec is None:
            raise ImportError(f"there is no module {path}. Reinstall its package.")
        places = spec.submodule_search_locations
    if spec is None or spec.origin is None:
        raise ImportError(folder_message(module, places))
    loader = spec.loader
    return (loader.get_source(module) or "") if isinstance(loader, InspectLoader) else ""


def _stated(tree: ast.Module) -> object:
    """The version of the contract that a module assigns as a literal, or None."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == "STYLEKIT_API" for target in targets):
                return statement.value.value
    return None
