"""Intervals against the normal theory, and against means that can be counted."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from stylekit.evaluation.bootstrap import interval, matrix

NAMES = [f"{number:03}" for number in range(200)]


def test_of_independent_values_it_is_that_of_the_normal_distribution() -> None:
    values = torch.randn(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = interval({(name, None): float(value) for name, value in zip(NAMES, values, strict=True)})
    assert found is not None
    mean, half = float(values.mean()), 1.96 * float(values.std(correction=0)) / math.sqrt(200)
    assert list(found) == pytest.approx([mean - half, mean + half], abs=0.1 * half)


def test_styles_are_resampled_as_well_as_contents() -> None:
    """If only the style matters, more contents say nothing more: with two styles of 0 and 1, a draw of both has the mean 0 or
    1 with probability 1/4 each."""
    values = {(content, style): float(style == "y") for content, style in itertools.product(NAMES, ("x", "y"))}
    assert interval(values) == (0, 1)


def test_a_single_value_has_no_interval() -> None:
    assert interval({("a", "x"): 1.0}) is None


def test_it_is_the_same_each_time_and_in_any_order() -> None:
    values = {(content, style): hash((content, style)) % 7 / 7 for content, style in itertools.product("abc", "xyz")}
    assert interval(values) == interval(values)
    assert matrix(values).shape == (3, 3)
    by_style = dict(sorted(values.items(), key=lambda item: item[0][1]))
    assert interval(by_style) == interval(values)


def test_an_incomplete_combination_is_resampled_by_pairs() -> None:
    assert matrix({("a", "x"): 1.0, ("b", "y"): 2.0}).shape == (2, 1)
