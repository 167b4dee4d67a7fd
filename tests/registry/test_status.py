"""How an installed plugin stands is told from its metadata and its source, and nothing is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stylekit import hookspecs
from stylekit.registry import lookup
from stylekit.registry.status import plugin_status

if TYPE_CHECKING:
    from tests.conftest import Install

LOUD = "raise RuntimeError('imported')\n"


def state(name: str, package: str) -> tuple[str, str]:
    every = lookup.all_plugins()
    ((plugin, visible),) = [each for each in every if (each[0].name, each[0].package) == (name, package)]
    return plugin_status(plugin, visible, [other for other, _ in every])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", ("installed", "")),
        (f"STYLEKIT_API = {hookspecs.API}", ("installed", "")),
        (
            "STYLEKIT_API: int = 99",
            ("outdated", "was written for version 99 of the plugin contract, and this stylekit "),
        ),
        ("STYLEKIT_API = 0", ("outdated", "was written for version 0 of the plugin contract, and this stylekit ")),
        ("def broken(:", ("broken", "line 2 of ")),
    ],
)
def test_source_is_read(install: Install, source: str, told: tuple[str, str]) -> None:
    install("tulips", "tulip", LOUD + source)
    word, reason = state("tulip", "tulips")
    assert word == told[0]
    assert reason.startswith(told[1])
    assert bool(reason) == bool(told[1])


def test_newer_contract_asks_for_a_newer_stylekit_and_an_older_one_for_a_newer_plugin(install: Install) -> None:
    install("tulips", "tulip", "STYLEKIT_API = 99")
    install("roses", "rose", "STYLEKIT_API = 0")
    assert state("tulip", "tulips")[1].endswith("Update stylekit.")
    assert state("rose", "roses")[1].endswith("Update the plugin.")


def test_module_that_is_gone_is_told(install: Install) -> None:
    install("tulips", "tulip", LOUD, target=".petals")
    assert state("tulip", "tulips") == (
        "broken",
        "there is no module sample_tulips.petals. Install its package anew.",
    )


def test_name_of_another_package_is_taken(install: Install) -> None:
    install("tulips", "cyclegan", LOUD)
    install("roses", "flower", LOUD)
    install("daisies", "flower", LOUD)
    word, reason = state("cyclegan", "tulips")
    assert (word, reason[:42]) == ("taken", "its name is also that of stylekit 0.1.0")
    assert state("cyclegan", "stylekit") == ("installed", "")
    assert state("flower", "roses") == ("taken", "its name is also that of daisies 1.0")


def test_plugin_that_the_variable_leaves_out_is_hidden(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("tulips", "tulip", LOUD)
    monkeypatch.setenv("STYLEKIT_PLUGINS", "roses")
    assert state("tulip", "tulips") == ("hidden", "STYLEKIT_PLUGINS does not name it")
    assert state("cyclegan", "stylekit") == ("installed", "")
