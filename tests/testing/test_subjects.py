"""What a name means to the kit: a package means all its plugins, and for an unknown name the nearest is suggested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stylekit import StylekitError
from stylekit.testing.subjects import find_subjects
from tests.facts import raises
from tests.testing.samples import ADVERSARIAL, GENERATOR, HEAD, IMAGE_LOSS, QUIET, faults

if TYPE_CHECKING:
    from tests.testing.conftest import Package


@pytest.mark.slow
def test_a_package_means_all_its_plugins_and_their_parts(package: Package) -> None:
    package("tulips", "garden", GENERATOR + IMAGE_LOSS.replace(HEAD, ""), ["stylekit-torch>=0.1", "torch>=2.10"])
    for name in ("Tulips", "garden"):
        plugin, *parts = find_subjects(name)
        assert (plugin.kind, plugin.name) == ("plugin", "garden")
        assert [(subject.kind, subject.name) for subject in parts] == [("generator", "mine"), ("loss", "mine")]
    assert [subject.kind for subject in find_subjects("mine")] == ["generator", "loss"]
    assert faults(plugin) == {}


@pytest.mark.slow
def test_adversarial_losses_and_image_losses_are_parts_of_two_kinds(package: Package) -> None:
    package(
        "tulips", "garden", ADVERSARIAL + IMAGE_LOSS.replace(HEAD, "").replace("Loss", "Distance"), ["stylekit-torch"]
    )
    assert {subject.kind for subject in find_subjects("mine")} == {"adversarial", "loss"}
    for subject in find_subjects("garden"):
        assert faults(subject) == {}


def test_a_package_without_plugins_says_how_to_register_one(package: Package) -> None:
    package("tulips", "", QUIET, ["stylekit-torch"])
    with raises(StylekitError, "'tulips'", "pyproject.toml", "[project.entry-points.stylekit]"):
        find_subjects("tulips")


def test_the_nearest_name_is_suggested_for_an_unknown_one() -> None:
    with raises(StylekitError, "'cyclgan'", "did you mean 'cyclegan'"):
        find_subjects("cyclgan")


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(name: str) -> None:
    with raises(StylekitError, "plugin", ".py", "package"):
        find_subjects(name)
