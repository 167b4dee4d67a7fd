"""Checks of whole plugins: their imports, names and presets, and the metadata of their packages."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from itertools import accumulate
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stylekit.errors import StylekitError
from stylekit.registry import loading, lookup
from stylekit.registry.entrypoints import OWN
from stylekit.registry.loading import Plugin
from stylekit.registry.schema import unwrap_partial
from stylekit.testing.footprint import footprint
from stylekit.testing.imports import private_names
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.methods import try_preset

BUILT_IN = "stylekit_plugins"
"""The package of the built-in plugins. It is private: other plugins make its parts by name."""


def _loads(subject: Subject) -> str:
    state, message = lookup.loaded_state(subject.target)
    require(state == "loads", message)
    return message


def _import(subject: Subject) -> str:
    changed, seconds = footprint(subject.target)
    require(
        not changed,
        f"Importing the plugin {' and '.join(changed)}: remove that, or move it into the function that needs it.",
    )
    return f"imports in {seconds:.1f} s"


def _public(subject: Subject) -> str:
    builtin = () if subject.target.own else (BUILT_IN,)
    for source in sources(subject.target):
        try:
            private = private_names(source, builtin)
        except (SyntaxError, ValueError):  # a template or a test file: the module of the plugin itself was imported
            continue
        cure = "make parts by name" if any(name.startswith(BUILT_IN) for name in private) else ""
        require(
            not private,
            f"{source} imports {' and '.join(private)}, which may change without notice: use only names that stylekit and its "
            f"modules list in __all__{', and ' if cure else ''}{cure}.",
        )
    return ""


def _names(subject: Subject) -> str:
    plugin: Plugin = subject.target
    for kind, name, _ in lookup.plugin_parts(plugin):
        valid = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("0123456789_-").rstrip("-")
        require(
            name == valid,
            f"A name must start with a letter and consist of lower-case letters, digits, - and _: rename the {kind} {name!r} "
            f"to {valid!r}.",
        )
        others = lookup.rivals(plugin, kind, name)
        if any(other.own for other in others):
            raise StylekitError(
                f"The {kind} {name!r} is one of stylekit's own, so yours is never used: give it another name."
            )
        if others:
            origins = " and ".join(other.origin for other in others)
            raise StylekitError(f"The {kind} {name!r} is also registered by {origins}: give yours another name.")
    return ""


def sources(plugin: Plugin) -> list[Path]:
    """The Python files of a plugin: those of its top-level package, or its module. For a built-in plugin, only its own."""
    names = [plugin.module] if plugin.own else accumulate(plugin.module.split("."), "{}.{}".format)
    for module in filter(None, map(sys.modules.get, names)):
        file = getattr(module, "__file__", None)
        if file is not None:  # it is None for a namespace package, which several distributions may share
            path = Path(file)
            files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
            return [each for each in files if each.suffix == ".py"]
    return []


def _presets(subject: Subject) -> str:
    added = [each for each in loading.load_hooks(subject.target).hook.stylekit_presets() if each]
    for method, presets in (pair for each in added for pair in each.items()):
        try:
            factory = lookup.find_part("method", method)
        except StylekitError as error:
            raise StylekitError(f"stylekit_presets adds presets to an unknown method. {error}") from error
        for name, arguments in presets.items():
            require(
                name not in getattr(unwrap_partial(factory), "presets", {}) or name in _own(subject.target, method),
                f"The preset {name!r} of {method!r} is never used, because the method has one of that name: rename it.",
            )
            try_preset(factory, name, arguments)
    return ""


def _own(plugin: Plugin, method: str) -> dict[str, object]:
    """The presets of a method that the plugin itself registers; empty if it does not register the method."""
    return dict(getattr(unwrap_partial(lookup.parts_of_kind(plugin, "method").get(method)), "presets", {}))


def _metadata(subject: Subject) -> str:
    plugin: Plugin = subject.target
    if plugin.file is not None:
        return ""  # a single file has no package
    requirements = [Requirement(line) for line in metadata.requires(plugin.package) or []]
    required = [each for each in requirements if "extra" not in str(each.marker or "")]
    for requirement in required:
        lower = [str(each) for each in requirement.specifier if each.operator in (">=", ">", "!=")]
        pins = [each for each in requirement.specifier if each.operator not in (">=", ">", "!=")]
        if canonicalize_name(requirement.name) == "torch" and requirement.url:
            raise StylekitError(
                f"{plugin.package} requires {requirement}, which forces one build of torch on all users. Require 'torch', with "
                "a lower bound (>=) if necessary."
            )
        if canonicalize_name(requirement.name) == "torch" and pins:
            lower += [f">={each.version.removesuffix('.*')}" for each in pins if each.operator in ("==", "~=", "===")]
            raise StylekitError(
                f"{plugin.package} requires {requirement}, which excludes newer versions of torch. Require "
                f"'torch{','.join(sorted(lower))}' instead."
            )
    names = {canonicalize_name(each.name) for each in required}
    require(
        plugin.package == OWN or OWN in names,
        f"{plugin.package} does not require stylekit: add {OWN!r} to the dependencies in its pyproject.toml.",
    )
    return ""


CHECKS = (
    Check("loads", _loads),
    Check("names", _names),
    Check("import", _import),
    Check("public names", _public),
    Check("presets", _presets, after=("names",)),
    Check("metadata", _metadata),
)
