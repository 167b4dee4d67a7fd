"""The invertible mapping from what a file holds, such as Hounsfield units or counts of photons, to [0, 1] and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylekit.errors import StylekitError
from stylekit.images.pixels import Array


@dataclass(frozen=True)
class Intensities:
    """How the values of files are mapped to [0, 1]; a model stores it, and maps its results back.

    Without options, the range of the type becomes [0, 1]: 0 to 255, 0 to 65535, or the smallest to the largest integer of
    signed types. Floats are taken as they are.

    Args:
        window: the values that become 0 and 1, such as -1000 and 400 in Hounsfield units. For values with a unit
        percentile: percentiles of each channel of each file that become 0 and 1, such as 0.5 and 99.5. For values without a
            unit, which differ in gain from file to file, as those of microscopes and MRI do
        labels: values are the numbers of so many classes, from 0; each class becomes a channel, which is 1 where it is

    Raises:
        StylekitError: several are given, or one is not a smaller and a larger number.
    """

    window: tuple[float, float] | None = None
    percentile: tuple[float, float] | None = None
    labels: int | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.window, self.percentile, self.labels)) > 1:
            raise StylekitError(
                "Values are mapped to [0, 1] by a window, by percentiles or as labels. Choose one of them."
            )
        if self.labels is not None and not 2 <= self.labels <= 2**16:
            raise StylekitError(f"The option 'labels' is {self.labels}, but must be a number of classes, at least 2.")
        for name, limits, least, most in (
            ("window", self.window, -math.inf, math.inf),
            ("percentile", self.percentile, 0.0, 100.0),
        ):
            if limits and not (least <= limits[0] < limits[1] <= most and all(map(math.isfinite, limits))):
                reach = "" if math.isinf(most) else f" from {least:g} to {most:g}"
                raise StylekitError(
                    f"The option {name!r} is {list(limits)}, but must be a smaller and a larger number{reach}."
                )

    def as_json(self) -> dict[str, Any]:
        """What a model file stores."""
        given = {"window": self.window, "percentile": self.percentile}
        limits = {name: list(limits) for name, limits in given.items() if limits}
        return {"labels": self.labels} if self.labels else limits

    @staticmethod
    def from_json(stored: Any) -> Intensities:
        """Reads what a model file stores.

        Raises:
            ValueError: it is nothing that :meth:`as_json` returns.
        """
        if not isinstance(stored, dict) or not stored.keys() <= {"window", "percentile", "labels"}:
            raise ValueError("no mapping of intensities")
        limits = {name: tuple(map(float, values)) for name, values in stored.items() if name != "labels"}
        if any(len(values) != 2 for values in limits.values()):
            raise ValueError("no mapping of intensities")
        labels = {"labels": int(stored["labels"])} if "labels" in stored else {}
        try:
            return Intensities(**limits, **labels)  # type: ignore[arg-type]
        except StylekitError as error:
            raise ValueError(str(error)) from None

    def channels(self, stored: int) -> int:
        """The number of channels in [0, 1] of files that have so many."""
        return self.labels or stored

    def scale(self, values: Array) -> Scale | Classes:
        """The mapping for the values ``(..., C)`` of one file.

        Raises:
            StylekitError: they are to be classes, and are other numbers.
        """
        if self.labels:
            return Classes.of(values, self.labels)
        return self._limits(values.shape[-1], values.dtype, values)

    def result(self, channels: int, kind: np.dtype[Any]) -> tuple[Scale | Classes, np.dtype[Any]]:
        """The mapping back for results that are not those of a file, and their type.

        Args:
            channels: channels of the results in [0, 1]
            kind: the type, unless a class needs an integer or a window floats

        Raises:
            StylekitError: percentiles are those of a file.
        """
        if self.percentile:
            raise StylekitError("Percentiles are those of a file, and a result has none. Train with a window.")
        if self.labels:
            return Classes(self.labels), np.dtype(np.uint8 if self.labels <= 256 else np.uint16)
        kind = np.dtype(np.float32) if self.window else kind
        return self._limits(channels, kind, None), kind

    def _limits(self, channels: int, kind: np.dtype[Any], values: Array | None) -> Scale:
        if self.percentile and values is not None:
            flat = values.reshape(-1, channels)
            columns = [column[np.isfinite(column)] for column in flat.T] if kind.kind == "f" else list(flat.T)
            limits = [np.percentile(column, self.percentile) if len(column) else (0.0, 1.0) for column in columns]
            low, high = np.array(limits, np.float64).T
            return Scale(low, np.where(high > low, high, low + 1))  # a constant channel becomes 0
        if self.window:
            low, high = self.window
        elif kind.kind == "f":
            low, high = 0.0, 1.0
        else:
            low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
        return Scale(np.full(channels, low), np.full(channels, high))


@dataclass(frozen=True, eq=False)
class Scale:
    """The mapping of one file: the values ``(C,)`` that become 0 and 1."""

    low: Array
    high: Array

    def to_unit(self, values: Array) -> Array:
        """The values ``(..., C)`` as float32 in [0, 1]; those outside the limits are clipped, and NaN becomes 0."""
        unit = (values.astype(np.float64) - self.low) / (self.high - self.low)
        known: Array = np.nan_to_num(unit, nan=0.0, posinf=1.0, neginf=0.0)
        clipped: Array = known.clip(0, 1).astype(np.float32)
        return clipped

    def to_values(self, unit: Array, kind: np.dtype[Any], original: Array | None = None) -> Array:
        """The values of a type for a result in [0, 1]; integers are rounded, halves upwards.

        Args:
            unit: the result ``(..., C)``
            kind: the type
            original: what the result was made of, if it has the same shape: values that did not change are copied from it,
                even those outside the limits, and NaN stays
        """
        values = self.low + unit.astype(np.float64) * (self.high - self.low)
        if kind.kind != "f":
            limits = np.iinfo(kind)
            # float64 holds no integers near the ends of 64 bits.
            top = float(limits.max) if limits.bits < 64 else np.nextafter(float(limits.max), 0)
            values = np.floor(values + 0.5).clip(float(limits.min), top)
        converted: Array = values.astype(kind)
        if original is None:
            return converted
        kept = (unit == self.to_unit(original)) | ~np.isfinite(original)
        result: Array = np.where(kept, original, converted)
        return result

    def outside(self, values: Array) -> int:
        """The number of values ``(..., C)`` outside the limits, or not finite."""
        return int(values.size - ((values >= self.low) & (values <= self.high)).sum())


@dataclass(frozen=True)
class Classes:
    """The mapping of numbers of classes to a channel for each, and back.

    Args:
        count: number of classes
    """

    count: int

    @staticmethod
    def of(values: Array, count: int) -> Classes:
        """The mapping, after checking the values ``(..., 1)``.

        Raises:
            StylekitError: there are other numbers than those of the classes.
        """
        wrong = values[~np.isin(values, np.arange(count))]
        if values.shape[-1] != 1 or wrong.size:
            found = f"{values.shape[-1]} channels" if values.shape[-1] != 1 else f"the value {wrong[0]}"
            raise StylekitError(
                f"A label map has the numbers 0 to {count - 1} in one channel, but this one has {found}."
            )
        return Classes(count)

    def to_unit(self, values: Array) -> Array:
        """A channel for each class ``(..., K)``, float32, from the numbers ``(..., 1)``."""
        unit: Array = (values == np.arange(self.count)).astype(np.float32)
        return unit

    def to_values(self, unit: Array, kind: np.dtype[Any], original: Array | None = None) -> Array:
        """The number of the largest channel ``(..., 1)``, the first if there are several; as for :class:`Scale`."""
        values: Array = unit.argmax(-1)[..., None].astype(kind)
        return values

    def outside(self, values: Array) -> int:
        """The number of other values: none."""
        return 0
