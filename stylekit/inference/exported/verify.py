"""Checks exported files: against the model they were exported from, or against what their card says. Does not import torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stylekit.errors import StylekitError
from stylekit.inference.exported.card import Array, drawn, summary
from stylekit.inference.exported.file import ExportedFile

SIZES = ((64, 96), (61, 83), (150, 101))
"""Height and width of the images by which files are checked; most are odd."""
COUNTS = ((1,), (3,))
"""Numbers of codes by which files are checked that draw samples."""
STYLE_SIZE = (75, 90)
LEVELS = 255
SHARE = 0.5
"""The strength at which files that accept one are checked."""


@dataclass(frozen=True)
class Check:
    """The check of one size.

    Attributes:
        size: height and width, or the number of codes
        difference: the largest difference from what was expected, in levels of 8 bits
        seconds: what the file took, without loading it
        expected_seconds: what torch took, if it was measured
    """

    size: Sequence[int]
    difference: float
    seconds: float
    expected_seconds: float | None = None


def known_style(file: ExportedFile) -> dict[str, Array]:
    """The style by which files are checked: a learned one, or that of an image that everyone can draw."""
    if file.card.takes_styles:
        return file.describe(drawn(*STYLE_SIZE, phase=2.0))
    for rows in file.card.learned.values():
        return {name: np.array(values, np.float32) for name, values in rows.items()}
    return {}


def probe(file: ExportedFile, size: Sequence[int]) -> tuple[Array, float]:
    """The output for an image or for codes that everyone can draw, and the seconds that it took."""
    if file.card.graph == "sample":
        codes = probe_codes(file.card.codes, size[0])
        start = time.perf_counter()
        return file.sample(codes), time.perf_counter() - start
    image, style = drawn(*size), known_style(file)
    start = time.perf_counter()
    return file.stylize(image, style), time.perf_counter() - start


def probe_codes(shape: Sequence[int], count: int) -> Array:
    """Codes that everyone can draw."""
    values = np.sin(np.arange(count * int(np.prod(shape)), dtype=np.float64) ** 2)
    return values.reshape(count, *shape).astype(np.float32)


def verify(file: ExportedFile) -> list[Check]:
    """Compares a file with what was measured when it was exported, by the mean colours of 4 x 4 cells.

    Raises:
        StylekitError: the file has no such values.
    """
    if not file.card.probes:
        raise StylekitError(f"{file.path} does not say what it should compute. Export the model again.")
    checks = []
    for expected in file.card.probes:
        output, seconds = probe(file, expected.size)
        found = summary(output)
        same = len(found) == len(expected.means)
        difference = (
            max(abs(one - other) for one, other in zip(found, expected.means, strict=True)) if same else float("inf")
        )
        checks.append(Check(expected.size, difference * LEVELS, seconds))
    return checks
