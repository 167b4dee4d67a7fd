"""What a plugin must be as a whole: its import, its presets, and the metadata of its package."""

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
"""The built-in plugins, which are private to others: their parts are made by name."""


def _loads(subject: Subject) -> str:
    state, told = lookup.loaded_state(subject.target)
    require(state == "loads", told)
    return told


def _import(subject: Subject) -> str:
    changed, seconds = footprint(subject.target)
    require(
        not changed, f"Importing it {' and '.join(changed)}: leave that out, or do it in the function that needs it."
    )
    return f"imports in {seconds:.1f} s"


def _public(subject: Subject) -> str:
    builtin = () if subject.target.own else (BUILT_IN,)
    for source in sources(subject.target):
        try:
            closed = private_names(source, builtin)
        except (SyntaxError, ValueError):  # a template, or a sample: the plugin's own module was imported
            continue
        cure = "make parts by name" if any(name.startswith(BUILT_IN) for name in closed) else ""
        require(
            not closed,
            f"{source} imports {' and '.join(closed)}, which may change without notice: use what stylekit and its modules "
            f"list in __all__{', and ' if cure else ''}{cure}.",
        )
    return ""


def _names(subject: Subject) -> str:
    plugin: Plugin = subject.target
    for kind, name, _ in lookup.plugin_parts(plugin):
        plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("0123456789_-").rstrip("-")
        require(
            name == plain,
            f"A name begins with a letter and has lower-case letters, digits, - and _, to be typed in a command: call the "
            f"{kind} {name!r} {plain!r}.",
        )
        others = lookup.rivals(plugin, kind, name)
        if any(other.own for other in others):
            raise StylekitError(f"The {kind} {name!r} is stylekit's own, so yours is never used: give it another name.")
        if others:
            theirs = " and ".join(other.origin for other in others)
            raise StylekitError(f"The {kind} {name!r} is also that of {theirs}: give yours another name.")
    return ""


def sources(plugin: Plugin) -> list[Path]:
    """The Python files of a plugin: of its outermost package, or its one module; of a built-in one, only its own."""
    names = [plugin.module] if plugin.own else accumulate(plugin.module.split("."), "{}.{}".format)
    for module in filter(None, map(sys.modules.get, names)):
        file = getattr(module, "__file__", None)
        if file is not None:  # a namespace package has none, and belongs to several
            path = Path(file)
            found = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
            return [each for each in found if each.suffix == ".py"]
    return []


def _presets(subject: Subject) -> str:
    added = [given for given in loading.load_hooks(subject.target).hook.stylekit_presets() if given]
    for method, presets in (pair for given in added for pair in given.items()):
        try:
            factory = lookup.find_part("method", method)
        except StylekitError as error:
            raise StylekitError(f"stylekit_presets names a method that is not here. {error}") from error
        for name, arguments in presets.items():
            require(
                name not in getattr(unwrap_partial(factory), "presets", {}) or name in _own(subject.target, method),
                f"The preset {name!r} of {method!r} is never seen, as the method has one of that name: give it another.",
            )
            try_preset(factory, name, arguments)
    return ""


def _own(plugin: Plugin, method: str) -> dict[str, object]:
    return dict(getattr(unwrap_partial(lookup.parts_of_kind(plugin, "method").get(method)), "presets", {}))


def _metadata(subject: Subject) -> str:
    plugin: Plugin = subject.target
    if plugin.file is not None:
        return ""  # a file has no package
    needs = [Requirement(line) for line in metadata.requires(plugin.package) or []]
    always = [need for need in needs if "extra" not in str(need.marker or "")]
    for need in always:
        least = [str(each) for each in need.specifier if each.operator in (">=", ">", "!=")]
        pins = [each for each in need.specifier if each.operator not in (">=", ">", "!=")]
        if canonicalize_name(need.name) == "torch" and need.url:
            raise StylekitError(
                f"{plugin.package} requires {need}, one file for everyone who installs it. Write 'torch', with >= if need be."
            )
        if canonicalize_name(need.name) == "torch" and pins:
            least += [f">={each.version.removesuffix('.*')}" for each in pins if each.operator in ("==", "~=", "===")]
            raise StylekitError(
                f"{plugin.package} requires {need}, which keeps newer ones away from everyone who installs it. Write "
                f"'torch{','.join(sorted(least))}'."
            )
    known = {canonicalize_name(need.name) for need in always}
    require(
        plugin.package == OWN or OWN in known,
        f"{plugin.package} does not require stylekit: add {OWN!r} to dependencies in its pyproject.toml.",
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
