"""The mapping of values to [0, 1] and back, against formulas by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylekit import StylekitError
from stylekit.images import Intensities
from stylekit.images.intensities import Scale
from tests.facts import raises

WINDOW = Intensities(window=(-1000.0, 400.0))


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_the_whole_range_of_a_type_comes_back_exactly_but_for_the_steps_of_float32(kind: str) -> None:
    limits = np.iinfo(kind)
    values = np.linspace(limits.min, limits.max, 1001).astype(kind).reshape(1, 77, 13, 1)
    scale = Intensities().scale(values)
    unit = scale.to_unit(values)
    assert unit.dtype == np.float32
    assert (unit.min(), unit.max()) == (0, 1)
    assert np.allclose(unit, (values.astype(float) - limits.min) / (float(limits.max) - limits.min), atol=1e-7)
    back = scale.to_values(unit, values.dtype)
    step = 0 if limits.bits <= 16 else (2.0**32) * 2**-24
    assert np.abs(back.astype(float) - values).max() <= step
    assert (scale.to_values(unit, values.dtype, values) == values).all()
    assert scale.outside(values) == 0


def test_floats_are_taken_as_they_are() -> None:
    values = np.array([-0.5, 0.0, 0.25, 1.0, 2.0]).reshape(1, 1, 5, 1)
    scale = Intensities().scale(values)
    assert scale.to_unit(values).ravel().tolist() == [0, 0, 0.25, 1, 1]
    assert scale.outside(values) == 2


def test_a_window_is_linear_and_clips() -> None:
    values = np.array([-2000, -1000, -300, 399, 400, 1500], np.int16).reshape(1, 2, 3, 1)
    scale = WINDOW.scale(values)
    unit = scale.to_unit(values)
    assert np.allclose(unit.ravel(), [0, 0, 0.5, 1399 / 1400, 1, 1], atol=1e-7)
    assert scale.outside(values) == 2
    changed = scale.to_values(np.full_like(unit, 0.75), values.dtype, values)
    assert (changed == 50).all()  # -1000 + 0.75 * 1400


def test_what_does_not_change_keeps_its_value_even_outside_the_window() -> None:
    values = np.array([-2000, -1000, -300, 1500], np.int16).reshape(1, 2, 2, 1)
    scale = WINDOW.scale(values)
    assert (scale.to_values(scale.to_unit(values), values.dtype, values) == values).all()
    assert scale.to_values(scale.to_unit(values), values.dtype).ravel().tolist() == [-1000, -1000, -300, 400]


def test_integers_are_rounded_and_stay_in_their_range() -> None:
    scale = Intensities(window=(0.0, 300.0)).scale(np.zeros((1, 1, 1, 1), np.uint8))
    unit = np.array([0.5 / 300, 0.49 / 300, 1.0], np.float32).reshape(1, 3, 1)
    assert scale.to_values(unit, np.dtype(np.uint8)).ravel().tolist() == [1, 0, 255]


def test_percentiles_are_those_of_each_channel_of_each_file() -> None:
    values = np.stack([np.arange(101.0), 1000 + 7 * np.arange(101.0)], -1).reshape(1, 1, 101, 2).astype(np.float32)
    scale = Intensities(percentile=(10.0, 90.0)).scale(values)
    assert isinstance(scale, Scale)
    assert np.allclose(scale.low, [10, 1070])
    assert np.allclose(scale.high, [90, 1630])
    assert np.allclose(scale.to_unit(values)[0, 0, 50], 0.5)
    assert scale.outside(values) == 40


def test_a_constant_channel_and_one_without_numbers_do_not_divide_by_zero() -> None:
    values = np.stack([np.full((4, 4), 7.0), np.full((4, 4), np.nan)], -1)[None]
    scale = Intensities(percentile=(1.0, 99.0)).scale(values)
    unit = scale.to_unit(values)
    assert not unit.any()
    assert np.array_equal(scale.to_values(unit, values.dtype, values), values, equal_nan=True)


def test_nan_stays_and_infinity_is_the_end_of_the_range() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32).reshape(1, 2, 2, 1)
    scale = Intensities().scale(values)
    assert scale.to_unit(values).ravel().tolist() == [0, 1, 0, 0.5]
    assert scale.outside(values) == 3
    made = scale.to_values(np.full((1, 2, 2, 1), 0.25, np.float32), values.dtype, values).ravel()
    assert np.array_equal(made, np.array([np.nan, np.inf, -np.inf, 0.25], np.float32), equal_nan=True)


@pytest.mark.parametrize("mapping", [Intensities(), WINDOW, Intensities(percentile=(0.5, 99.5))])
def test_a_mapping_is_stored_and_read_again(mapping: Intensities) -> None:
    assert Intensities.from_json(mapping.as_json()) == mapping


@pytest.mark.parametrize(
    "stored", [[], {"gamma": [1, 2]}, {"window": [1]}, {"window": [2, 1]}, {"percentile": [-1, 50]}]
)
def test_damaged_mappings_are_refused(stored: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Intensities.from_json(stored)


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"window": (400.0, -1000.0)}, ["'window'", 400.0, -1000.0, "smaller"]),
        ({"window": (0.0, float("inf"))}, ["'window'", "inf"]),
        ({"percentile": (1.0, 101.0)}, ["'percentile'", 101.0, "from 0 to 100"]),
        ({"window": (0.0, 1.0), "percentile": (1.0, 99.0)}, ["window", "percentiles"]),
    ],
)
def test_impossible_mappings_are_refused(given: dict[str, tuple[float, float]], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        Intensities(**given)


def test_classes_become_channels_and_the_largest_channel_is_the_class() -> None:
    labels = np.array([[0, 2, 1], [1, 1, 0]], np.uint8).reshape(1, 2, 3, 1)
    mapping = Intensities(labels=3)
    scale = mapping.scale(labels)
    unit = scale.to_unit(labels)
    assert np.array_equal(unit, np.eye(3, dtype=np.float32)[labels[..., 0]])
    assert np.array_equal(scale.to_values(unit * 0.6 + 0.1, labels.dtype), labels)
    assert (mapping.channels(1), scale.outside(labels)) == (3, 0)
    assert Intensities.from_json(mapping.as_json()) == mapping
    assert mapping.result(3, np.dtype(np.float32))[1] == np.uint8
    assert Intensities(labels=300).result(300, np.dtype(np.uint8))[1] == np.uint16


@pytest.mark.parametrize(("values", "fact"), [([[3]], "value 3"), ([[-1]], "value -1"), ([[0.5]], "value 0.5")])
def test_other_numbers_than_those_of_classes_are_refused(values: list[list[float]], fact: str) -> None:
    with raises(StylekitError, "0 to 2", fact):
        Intensities(labels=3).scale(np.array(values)[None, ..., None])


def test_results_of_another_unit_are_floats_and_percentiles_need_a_file() -> None:
    scale, kind = WINDOW.result(2, np.dtype(np.uint8))
    assert kind == np.float32
    made = scale.to_values(np.array([[[0.0, 0.5]]], np.float32), kind)
    assert made.ravel().tolist() == [-1000, -300]
    with raises(StylekitError, "Percentiles", "window"):
        Intensities(percentile=(1.0, 99.0)).result(1, np.dtype(np.uint8))
