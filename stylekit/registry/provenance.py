"""Which packages the parts of a model came from, so that its file can say so, and its next user install them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup
from stylekit.registry.entrypoints import allowed_plugins, installed_version
from stylekit.registry.loading import Plugin


def record_origin(part: object, plugin: Plugin) -> None:
    """Notes on a part which plugin it came from, for :func:`packages`."""
    with contextlib.suppress(AttributeError, TypeError):  # it keeps no notes
        vars(part)["_stylekit_plugin"] = plugin


def origin(part: object) -> str:
    """Where a part came from, in words; empty where nobody noted it. Of a file only the name: what is written into a model
    file is read by others."""
    plugin = getattr(part, "_stylekit_plugin", None)
    if plugin is None:
        return ""
    return plugin.file.name if plugin.file else str(plugin.origin)


def packages(*signed: Any) -> dict[str, str]:
    """The packages beside stylekit, with their versions, of plugins, and of parts and the modules within them."""
    from torch import nn

    within = [module for part in signed for module in (part.modules() if isinstance(part, nn.Module) else [part])]
    found = {each if isinstance(each, Plugin) else getattr(each, "_stylekit_plugin", None) for each in within}
    return {plugin.package: plugin.version for plugin in found if plugin and not plugin.own and plugin.file is None}


def require_packages(needed: Mapping[str, str], what: object) -> None:
    """Refuses to go on without packages, and warns where one has another version than then.

    Raises:
        StylekitError: one is not installed, or not visible; it says what to type. Or what is needed is no package.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    seen = {plugin.package for plugin, visible in lookup.all_plugins() if visible}
    missing = []
    for package, then in needed.items():
        try:
            line = str(Requirement(f"{canonicalize_name(package, validate=True)}=={Version(then)}"))
        except (ValueError, TypeError, AttributeError):  # nothing that a user is to type comes from a file unchecked
            raise StylekitError(f"{what} is damaged: it names a package {package!r} of version {then!r}.") from None
        now = installed_version(package)
        if now is None:
            missing.append(line)
        elif package not in seen and allowed_plugins() is not None:
            raise StylekitError(
                f"{what} was made with plugins of {package}, which STYLEKIT_PLUGINS leaves out. Name it there."
            )
        elif now != then:
            warn(
                f"{what} was made with {package} {then}, and {now} is installed. If it does not do what it did, type: "
                f"pip install {line}"
            )
    if missing:
        cure = f"Type: pip install {' '.join(missing)}"
        raise StylekitError(f"{what} was made with plugins that are not installed here. {cure}")
