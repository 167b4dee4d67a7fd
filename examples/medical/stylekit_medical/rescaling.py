"""The linear map from what a file stores to the values that it means, such as Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stylekit import StylekitError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rescaling:
    """``value = stored * slope + intercept``, where the smallest and the largest stored integers are known.

    Args:
        slope: the slope
        intercept: the intercept
        least: the smallest integer that can be stored
        most: the largest

    Raises:
        StylekitError: the slope is 0, or a number is not finite.
    """

    slope: float
    intercept: float
    least: int
    most: int

    def __post_init__(self) -> None:
        if not np.isfinite([self.slope, self.intercept]).all() or self.slope == 0:
            raise StylekitError(
                f"Its values are rescaled by a slope of {self.slope} and an intercept of {self.intercept}, which is damaged."
            )

    def to_values(self, stored: Array) -> Array:
        """The values: integers if slope and intercept are, and of the smallest signed type that holds all of them."""
        if self.slope == 1 and self.intercept == 0:
            return stored
        if self.slope % 1 or self.intercept % 1:
            return stored * self.slope + self.intercept
        ends = [end * int(self.slope) + int(self.intercept) for end in (self.least, self.most)]
        kind = next(kind for kind in (np.int16, np.int32, np.int64) if _holds(kind, min(ends), max(ends)))
        values: Array = stored.astype(kind) * kind(self.slope) + kind(self.intercept)
        return values

    def to_stored(self, values: Array, kind: np.dtype[Any]) -> Array:
        """What is stored for values: the nearest integers of a type, within the range."""
        stored = (values.astype(np.float64) - self.intercept) / self.slope
        return np.rint(stored).clip(self.least, self.most).astype(kind)


def _holds(kind: Any, low: int, high: int) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= low and high <= limits.max)
