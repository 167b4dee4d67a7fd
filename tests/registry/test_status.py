"""The status of an installed plugin, read from its metadata and source without importing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stylekit import __version__, hookspecs
from stylekit.registry import lookup
from stylekit.registry.status import plugin_status
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.conftest import Install

LOUD = "raise RuntimeError('imported')\n"


def state(name: str, package: str) -> tuple[str, str]:
    every = lookup.all_plugins()
    ((plugin, visible),) = [each for each in every if (each[0].name, each[0].package) == (name, package)]
    return plugin_status(plugin, visible, [other for other, _ in every])


@pytest.mark.parametrize(
    ("source", "word", "facts"),
    [
        ("", "installed", []),
        (f"STYLEKIT_API = {hookspecs.API}", "installed", []),
        ("STYLEKIT_API: int = 99", "outdated", ["version", 99, hookspecs.API]),
        ("STYLEKIT_API = 0", "outdated", ["version", 0, hookspecs.API]),
        ("def broken(:", "broken", ["line 2", "sample_tulips"]),
    ],
)
def test_the_status_is_read_from_the_source(install: Install, source: str, word: str, facts: list[object]) -> None:
    install("tulips", "tulip", LOUD + source)
    status, reason = state("tulip", "tulips")
    assert status == word
    assert_mentions(reason, *facts)
    assert bool(reason) == bool(facts)


def test_a_newer_contract_needs_a_newer_stylekit_and_an_older_one_a_newer_plugin(install: Install) -> None:
    install("tulips", "tulip", "STYLEKIT_API = 99")
    install("roses", "rose", "STYLEKIT_API = 0")
    assert_mentions(state("tulip", "tulips")[1], "update stylekit")
    assert_mentions(state("rose", "roses")[1], "update the plugin")


def test_a_missing_module_is_broken(install: Install) -> None:
    install("tulips", "tulip", LOUD, target=".petals")
    status, reason = state("tulip", "tulips")
    assert status == "broken"
    assert_mentions(reason, "module", "sample_tulips.petals", "install")


def test_a_name_of_another_package_is_taken(install: Install) -> None:
    install("tulips", "cyclegan", LOUD)
    install("roses", "flower", LOUD)
    install("daisies", "flower", LOUD)
    for name, package, rival in (
        ("cyclegan", "tulips", f"stylekit-torch {__version__}"),
        ("flower", "roses", "daisies 1.0"),
    ):
        status, reason = state(name, package)
        assert status == "taken"
        assert_mentions(reason, rival)
    assert state("cyclegan", "stylekit-torch") == ("installed", "")


def test_a_plugin_that_the_variable_excludes_is_hidden(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tulips", "tulip", LOUD)
    monkeypatch.setenv("STYLEKIT_PLUGINS", "roses")
    status, reason = state("tulip", "tulips")
    assert status == "hidden"
    assert_mentions(reason, "STYLEKIT_PLUGINS")
    assert state("cyclegan", "stylekit-torch") == ("installed", "")
