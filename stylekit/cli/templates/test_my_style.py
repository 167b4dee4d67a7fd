"""Runs stylekit's conformance checks on everything that my-style offers."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.stylekit("my-style")
def test_it_does_what_the_contract_says(stylekit_check: Callable[[], None]) -> None:
    stylekit_check()
