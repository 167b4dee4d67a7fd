"""Checks exported files: against the model they were exported from, or against what their card says. Does not import torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylekit.errors import StylekitError
from stylekit.inference.exported.card import Array, Card, describing, drawn, summary
from stylekit.inference.exported.runtimes import Runtime, open_runtime

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


class ExportedFile:
    """An exported file, with the one that describes styles.

    Args:
        path: the file
        engine: as for :func:`open_runtime`
        threads: likewise
        device: likewise

    Raises:
        StylekitError: a file is missing, or cannot be run.
    """

    def __init__(
        self,
        path: Path,
        engine: str = "auto",
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.path = path
        pool = ThreadPoolExecutor(1)  # both files are loaded at the same time
        self._describe = pool.submit(open_runtime, describing(path), engine, threads, device)
        pool.shutdown(wait=False)
        self.main: Runtime = open_runtime(path, engine, threads, device)
        self.card: Card = self.main.card

    def describe(self, image: Array) -> dict[str, Array]:
        """The statistics of a style image ``(1, 3, H, W)``, by name.

        Raises:
            StylekitError: there is no file that describes styles, or it belongs to another model.
        """
        if not describing(self.path).is_file():
            raise StylekitError(
                f"{self.path} needs {describing(self.path)} to describe styles. Put it next to the file."
            )
        runtime = self._describe.result()
        if runtime.card.graph != "describe" or runtime.card.weights != self.card.weights:
            raise StylekitError(f"{describing(self.path)} belongs to another model than {self.path}. Export it again.")
        return dict(zip(self.card.statistics, runtime.run({"image": image}), strict=True))

    def stylize(self, image: Array, style: dict[str, Array], strength: float = 1.0) -> Array:
        """Stylises images ``(N, 3, H, W)`` with statistics."""
        given = {"strength": np.array(strength, np.float32)} if self.card.strength == "input" else {}
        return self.main.run({"image": image, **style, **given})[0]

    def sample(self, codes: Array) -> Array:
        """Draws images from codes ``(N, ...)``."""
        return self.main.run({"codes": codes})[0]

    def known_style(self) -> dict[str, Array]:
        """The style by which files are checked: a learned one, or that of an image that everyone can draw."""
        if self.card.takes_styles:
            return self.describe(drawn(*STYLE_SIZE, phase=2.0))
        for rows in self.card.learned.values():
            return {name: np.array(values, np.float32) for name, values in rows.items()}
        return {}

    def probe(self, size: Sequence[int]) -> tuple[Array, float]:
        """The output for an image or for codes that everyone can draw, and the seconds that it took."""
        if self.card.graph == "sample":
            codes = probe_codes(self.card.codes, size[0])
            start = time.perf_counter()
            return self.sample(codes), time.perf_counter() - start
        image, style = drawn(*size), self.known_style()
        start = time.perf_counter()
        return self.stylize(image, style), time.perf_counter() - start


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
    for probe in file.card.probes:
        output, seconds = file.probe(probe.size)
        found = summary(output)
        same = len(found) == len(probe.means)
        difference = (
            max(abs(one - other) for one, other in zip(found, probe.means, strict=True)) if same else float("inf")
        )
        checks.append(Check(probe.size, difference * LEVELS, seconds))
    return checks
