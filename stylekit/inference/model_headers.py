"""The header of a model file: the method, its arguments and its packages, as texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import stylekit
from stylekit.errors import StylekitError
from stylekit.images import Intensities
from stylekit.method import Method
from stylekit.registry import provenance

FORMAT = "1"
SHOWN = 80
"""Maximum length of a name from a header in a message."""


def model_header(method: Method, name: str) -> dict[str, str]:
    """The header of a file with the weights of a method."""
    return {
        "stylekit": stylekit.__version__,
        "format": FORMAT,
        "method": name,
        "origin": provenance.origin(method),
        "packages": json.dumps(provenance.packages(method)),
        "arguments": json.dumps(json_arguments(method.arguments)),
        "inference_modules": json.dumps(list(method.inference_modules)),
        **{name: json.dumps(mapping.as_json()) for name, mapping in _mappings(method).items() if mapping},
    }


def json_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments as JSON values; a callable cannot be stored, and is replaced by its module and name.

    Raises:
        StylekitError: another value cannot be stored; the message names the first such argument.
    """
    return {name: _json_value(name, value) for name, value in arguments.items()}


def _json_value(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_note))
    except (TypeError, ValueError) as error:
        raise StylekitError(f"The option {name!r} has a value that a model file cannot store: {error}.") from None


def _note(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum) and isinstance(value.value, str | int | float):
        return value.value
    if not callable(value):
        raise TypeError(
            f"a {type(value).__name__} is not a text, number, list, mapping, path, enum of texts or numbers, or callable"
        )
    target = getattr(value, "func", value)
    return {"callable": f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"}


@dataclass(frozen=True)
class Header:
    """What a model file says about its method. Anyone may have written it."""

    method: str
    origin: str
    arguments: dict[str, Any]
    packages: dict[str, str]
    inference_modules: tuple[str, ...]
    intensities: Intensities | None
    results: Intensities | None


def read_header(texts: Mapping[str, str], path: Path, given: bool) -> Header:
    """Reads the texts of a header; ``given``: the user gives the method, so its package need not be installed."""
    if "method" not in texts:
        raise StylekitError(
            f"{path} is not a stylekit model: its header names no method. Convert weights of other programs with "
            "`stylekit import`."
        )
    if texts.get("format") != FORMAT:
        raise StylekitError(
            f"{path} has format {texts.get('format', '')[:SHOWN]!r}, but this stylekit reads {FORMAT!r}. Update stylekit."
        )
    if any(len(text) > SHOWN or not text.isprintable() for text in (texts["method"], texts.get("origin", ""))):
        raise StylekitError(f"{path} is damaged: its header has no valid name of a method.")
    packages = _header_value(texts, "packages", dict, path)
    provenance.require_valid(packages, path)
    if given:
        packages.pop(texts.get("origin", "").rpartition(" ")[0], None)
    return Header(
        texts["method"],
        texts.get("origin", ""),
        _header_value(texts, "arguments", dict, path, required=True),
        packages,
        tuple(map(str, _header_value(texts, "inference_modules", list, path))),
        *(_intensities(texts, name, path) if name in texts else None for name in ("intensities", "results")),
    )


def _mappings(method: Method) -> dict[str, Intensities | None]:
    return {"intensities": method.intensities, "results": method.results}


def _intensities(texts: Mapping[str, str], name: str, path: Path) -> Intensities:
    try:
        return Intensities.from_json(_header_value(texts, name, dict, path))
    except (TypeError, ValueError):
        raise StylekitError(f"{path} is damaged: its header has no valid {name} of the method.") from None


def _header_value(texts: Mapping[str, str], key: str, kind: type, path: Path, required: bool = False) -> Any:
    """A value that a header stores as JSON, of this type; an empty one if it is missing."""
    if key not in texts and not required:
        return kind()
    try:
        value = json.loads(texts[key])
    except (KeyError, ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise StylekitError(f"{path} is damaged: its header has no valid {key} of the method.")
    return value
