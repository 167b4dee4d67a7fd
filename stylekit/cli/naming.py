"""How outputs are named: a template with fields, such as ``{name}-{style}``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from string import Formatter

from stylekit.datasets.files import SUFFIXES
from stylekit.errors import StylekitError, suggest

FIELDS = ("model", "name", "number", "style")
"""What a template may contain."""


class Template:
    """The path of an output below the output folder, without the suffix.

    Folders of the template come before the image's own folder: ``{style}/{name}`` of ``deep/photo.jpg`` is
    ``painting/deep/photo``.

    Args:
        text: text with fields in braces; ``{{`` is a brace

    Raises:
        StylekitError: a field is unknown, or the path would leave the output folder.
    """

    def __init__(self, text: str) -> None:
        self.text, self.fields = text, self._fields(text)
        sample = Path(text.format_map(dict.fromkeys(self.fields, "x")))
        if not sample.name or text.endswith("/") or sample.anchor or ".." in sample.parts:
            raise StylekitError(f"--name {text!r} must name a file in the output folder, such as '{{name}}-{{style}}'.")
        if sample.suffix.lower() in SUFFIXES:
            raise StylekitError(f"--name {text!r} names files without their suffix. Choose the format with --format.")

    def path(self, relative: Path, **values: str) -> Path:
        """The path of one output.

        Args:
            relative: path of the image within its folder
            values: the fields besides ``name``; slashes in them become underscores

        Raises:
            StylekitError: the values result in no name for a file.
        """
        fields = {field: re.sub(r"[/\\\0]", "_", value) for field, value in values.items()}
        path = Path(self.text.format_map({**fields, "name": relative.stem}))
        if not path.name or ".." in path.parts:
            raise StylekitError(f"--name {self.text!r} names no file for {relative}: {path}.")
        return path.parent / relative.parent / path.name

    @staticmethod
    def _fields(text: str) -> set[str]:
        try:
            parsed = [parts[1:] for parts in Formatter().parse(text) if parts[1] is not None]
        except ValueError as error:
            raise StylekitError(f"--name {text!r} is not valid: {error}. Write {{{{ for a brace.") from error
        for field, spec, conversion in parsed:
            if field not in FIELDS:
                raise StylekitError(f"--name {text!r} has an unknown field {field!r}. {suggest(str(field), FIELDS)}")
            if spec or conversion:
                raise StylekitError(
                    f"--name {text!r} has a format after {field!r}. Write {{{field}}}; numbers are padded with zeros already."
                )
        return {str(field) for field, _, _ in parsed}


def distinct(paths: Iterable[Path]) -> list[Path]:
    """The paths, with numbers added to the stems of those that are equal to an earlier one."""
    taken: set[str] = set()
    result = []
    for path in paths:
        candidate, number = path, 2
        while os.path.normcase(candidate) in taken:
            candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
        taken.add(os.path.normcase(candidate))
        result.append(candidate)
    return result
