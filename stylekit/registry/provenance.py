"""The packages that the parts of a model came from, which its file records so that other users can install them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup
from stylekit.registry.entrypoints import allowed_plugins, installed_version
from stylekit.registry.loading import Plugin

MOST = 100
"""Maximum number of packages that a file may list."""
SHOWN = 3
"""Maximum number of packages that an error tells a user to install."""


def record_origin(part: object, plugin: Plugin) -> None:
    """Records on a part which plugin it came from, for :func:`packages`."""
    with contextlib.suppress(AttributeError, TypeError):  # the object accepts no attributes
        vars(part)["_stylekit_plugin"] = plugin


def origin(part: object) -> str:
    """Where a part came from, as text; empty if that was not recorded. For a plugin file, only its name without the folder,
    because model files are shared with others."""
    plugin = getattr(part, "_stylekit_plugin", None)
    if plugin is None:
        return ""
    return plugin.file.name if plugin.file else str(plugin.origin)


def packages(*signed: Any) -> dict[str, str]:
    """The packages other than stylekit, with their versions, of plugins, and of parts and the modules within them."""
    from torch import nn

    modules = [module for part in signed for module in (part.modules() if isinstance(part, nn.Module) else [part])]
    plugins = {each if isinstance(each, Plugin) else getattr(each, "_stylekit_plugin", None) for each in modules}
    return {plugin.package: plugin.version for plugin in plugins if plugin and not plugin.own and plugin.file is None}


def require_valid(recorded: Mapping[str, Any], what: object) -> None:
    """Checks recorded packages before their names are shown to a user, who may copy them into a command.

    Raises:
        StylekitError: a name or a version is invalid, or there are more than 100.
    """
    if len(recorded) > MOST:
        raise StylekitError(f"{what} is damaged: it lists {len(recorded):,} packages.")
    for package, version in recorded.items():
        try:
            _requirement(package, version)
        except (ValueError, TypeError, AttributeError):
            raise StylekitError(f"{what} is damaged: it lists a package whose name or version is invalid.") from None


def _requirement(package: str, version: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    return str(Requirement(f"{canonicalize_name(package, validate=True)}=={Version(version)}"))


def require_packages(needed: Mapping[str, str], what: object) -> None:
    """Checks that packages are installed, and warns if one has another version than recorded.

    Raises:
        StylekitError: a package is not installed or not visible (the message says how to fix that), or a recorded name or
            version is invalid.
    """
    require_valid(needed, what)
    missing = [package for package in needed if installed_version(package) is None]
    if missing:
        listed = missing[:SHOWN]
        names = ", ".join(f"{package} {needed[package]}" for package in listed)
        install = " ".join(_requirement(package, needed[package]) for package in listed)
        raise StylekitError(
            f"{what} says that it was created with plugins of {names}, which {'is' if len(listed) == 1 else 'are'} not "
            f"installed. stylekit has not verified {'this name' if len(listed) == 1 else 'these names'}: if you trust where "
            f"it came from, run: pip install {install}"
        )
    plugins = _plugin_packages()
    for package in needed:
        if allowed_plugins() is not None and not plugins.get(package):
            raise StylekitError(
                f"{what} was created with plugins of {package}, which STYLEKIT_PLUGINS excludes. Add it to the variable."
            )
    warn_versions(needed, what)


def warn_versions(recorded: Mapping[str, str], what: object) -> None:
    """Warns if a package of plugins is installed in another version than recorded."""
    for package in recorded.keys() & _plugin_packages().keys():
        if (installed := installed_version(package)) != recorded[package]:
            warn(
                f"{what} was created with {package} {recorded[package]}, but {installed} is installed. If results differ, "
                f"run: pip install {_requirement(package, recorded[package])}"
            )


def any_installed(recorded: Collection[str]) -> bool:
    """Whether one of the packages is installed and has plugins."""
    return not _plugin_packages().keys().isdisjoint(recorded)


def _plugin_packages() -> dict[str, bool]:
    """The packages that have plugins, each with whether they are visible."""
    packages: dict[str, bool] = {}
    for plugin, visible in lookup.all_plugins():
        packages[plugin.package] = packages.get(plugin.package, False) or visible
    return packages
