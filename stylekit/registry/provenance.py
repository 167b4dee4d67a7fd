"""The packages that the parts of a model came from, which its file records so that other users can install them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup
from stylekit.registry.entrypoints import allowed_plugins, installed_version
from stylekit.registry.loading import Plugin


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


def require_packages(needed: Mapping[str, str], what: object) -> None:
    """Checks that packages are installed, and warns if one has another version than recorded.

    Raises:
        StylekitError: a package is not installed or not visible (the message says how to fix that), or a recorded name or
            version is invalid.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    visible_packages = {plugin.package for plugin, visible in lookup.all_plugins() if visible}
    missing = []
    for package, recorded in needed.items():
        try:
            requirement = str(Requirement(f"{canonicalize_name(package, validate=True)}=={Version(recorded)}"))
        except (ValueError, TypeError, AttributeError):  # users will run this command, so file content is validated
            raise StylekitError(f"{what} is damaged: it lists a package {package!r} of version {recorded!r}.") from None
        installed = installed_version(package)
        if installed is None:
            missing.append(requirement)
        elif package not in visible_packages and allowed_plugins() is not None:
            raise StylekitError(
                f"{what} was created with plugins of {package}, which STYLEKIT_PLUGINS excludes. Add it to the variable."
            )
        elif installed != recorded:
            warn(
                f"{what} was created with {package} {recorded}, but {installed} is installed. If results differ, run: "
                f"pip install {requirement}"
            )
    if missing:
        fix = f"Run: pip install {' '.join(missing)}"
        raise StylekitError(f"{what} was created with plugins that are not installed. {fix}")
