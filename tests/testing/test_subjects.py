"""What a name means to the kit: a package is all its plugins, and an unknown name is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stylekit import StylekitError
from stylekit.testing.subjects import find_subjects
from tests.testing.samples import GENERATOR, HEAD, IMAGE_LOSS, QUIET, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Package


def test_a_package_is_all_its_plugins_and_their_parts(package: Package) -> None:
    package("tulips", "garden", GENERATOR + IMAGE_LOSS.replace(HEAD, ""), ["stylekit>=0.1", "torch>=2.10"])
    for name in ("Tulips", "garden"):
        plugin, *parts = find_subjects(name)
        assert (plugin.kind, plugin.name) == ("plugin", "garden")
        assert [(subject.kind, subject.name) for subject in parts] == [("generator", "mine"), ("loss", "mine")]
    assert [subject.kind for subject in find_subjects("mine")] == ["generator", "loss"]
    assert faults(plugin) == {}


def test_a_package_without_plugins_says_how_to_register_one(package: Package) -> None:
    package("tulips", "", QUIET, ["stylekit"])
    with pytest.raises(
        StylekitError, match=r"The package 'tulips' registers no plugin\. Name its module in pyproject\.toml"
    ):
        find_subjects("tulips")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(StylekitError, match=r"no plugin, no part and no package 'cyclgan'\. Did you mean 'cyclegan'\?"):
        find_subjects("cyclgan")
