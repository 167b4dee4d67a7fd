"""Values as a user writes them, on the command line and in files: as YAML, or as text."""

from __future__ import annotations

import re
from typing import Any

import yaml

from stylekit.errors import StylekitError
from stylekit.registry.schema import Written

MOST, DEEPEST = 100_000, 50
"""Maximum number of values, and of levels, that YAML may have: a few lines with references can mean billions of values."""
_NULL = "~|null|Null|NULL|"


class _Loader(yaml.SafeLoader):
    """Reads plain scalars like YAML 1.2. YAML 1.1 reads ``on`` as true, ``16:9`` as 969, and ``1e-4`` as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _type, _pattern, _first in (
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", "[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", "[-+]?[0-9]+[eE][-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(rf"(?:{_pattern})\Z"), _first)


def read_yaml(text: str) -> Any:
    """Reads YAML; of the unquoted words, only numbers, true, false and null are not text.

    Raises:
        yaml.YAMLError: the text is not YAML, or has too many values or levels
    """
    loader = _Loader(text)
    try:
        if (node := loader.get_single_node()) is None:
            return None
        _require_bounded(node)
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError(f"it has more than {DEEPEST} levels") from None
    finally:
        loader.dispose()


def _require_bounded(root: yaml.Node) -> None:
    """Counts every value once per reference to it, so a value that contains itself has too many.

    Raises:
        yaml.YAMLError: there are too many values or levels
    """
    pending, count = [(root, 0)], 0
    while pending:
        node, level = pending.pop()
        count += 1
        if count > MOST:
            raise yaml.YAMLError(f"it has more than {MOST:,} values")
        if level > DEEPEST:
            raise yaml.YAMLError(f"it has more than {DEEPEST} levels")
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        for child in children:  # of a mapping, pairs of key and value
            pending += [(each, level + 1) for each in (child if isinstance(child, tuple) else (child,))]


def written(text: str) -> Written:
    """What a user wrote for an option. As YAML, it is the text itself if it is not valid, or no more than unquoted text."""
    text = text.strip()
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        return Written(text, text)
    unquoted = isinstance(value, str) and not text.startswith(("'", '"'))
    comment = value is None and not re.fullmatch(_NULL, text)
    return Written(text, text if unquoted or comment else value)


def read_assignments(items: list[str], option: str = "--set") -> dict[str, Any]:
    """Parses ``KEY=VALUE`` strings to a dict.

    The type of an option decides whether its value is YAML or text, so this is left to whoever knows it. The types of
    ``part.option`` are known only when the part is built, so its values are YAML, which a run can store.

    Raises:
        StylekitError: an item without ``=``, or a value of ``part.option`` that is not YAML.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise StylekitError(f"{option} needs KEY=VALUE, not {item!r}.")
        try:
            values[key] = read_yaml(value) if "." in key else written(value)
        except yaml.YAMLError:
            raise StylekitError(
                f"The value in {option} {item} is not valid YAML. Quote it like a YAML string."
            ) from None
    return values
