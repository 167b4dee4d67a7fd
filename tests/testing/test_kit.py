"""The kit as a whole: valid parts of each kind pass, and a fault is reported once and leaves nothing behind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from stylekit import StylekitError, StylekitWarning, testing
from stylekit.hookspecs import KINDS
from stylekit.registry import lookup
from stylekit.testing import footprint
from stylekit.testing.catalogue import PLUGIN, checks_of
from stylekit.testing.subjects import find_subjects
from tests.facts import assert_mentions, raises, warns
from tests.testing.samples import (
    ADVERSARIAL,
    AUGMENTATION,
    DATASET,
    DEGRADATION,
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    IMAGE_LOSS,
    LABELLED,
    LEARNED,
    METHOD,
    METRIC,
    NET,
    REGULARIZER,
    SAMPLER,
    SET_METRIC,
    SIMULTANEOUS,
    STYLED,
    TAUGHT,
    altered,
    fault,
    faults,
    part,
    summary,
    untried,
)
from tests.warm import WarmProgram

if TYPE_CHECKING:
    from tests.testing.conftest import Write

TRAINED = ("resumes exactly", "saves and loads", "exports")
SAMPLES = {
    "method": (METHOD, "12 parameters", "keeps 69x57", "turns near", *TRAINED),
    "method with styles": (STYLED, "31 parameters", "keeps 69x57", "styles of 4 numbers", "turns near", *TRAINED),
    "method with learned styles": (LEARNED, "6 parameters", "keeps 69x57", "turns near", *TRAINED),
    "method that draws samples": (SAMPLER, "15 parameters", "turns near", "resumes exactly", "saves and loads"),
    "method with labels": (LABELLED, "with label", "turns near", "resumes exactly", "saves and loads"),
    "method whose players move together": (SIMULTANEOUS, "16 parameters", "keeps 69x57", "turns near, far", *TRAINED),
    "generator": (GENERATOR, "12 parameters", "keeps 64x64", "saves and loads", "exports"),
    "discriminator": (DISCRIMINATOR, "98 parameters", "scores (2,)", "2 feature maps", "saves and loads", "exports"),
    "encoder": (ENCODER, "112 parameters", "layers first", "saves and loads", "exports"),
    "adversarial": (ADVERSARIAL, "several scales"),
    "regularizer": (REGULARIZER, "every 4 updates"),
    "augmentation": (AUGMENTATION, "observes scores"),
    "degradation": (DEGRADATION, "divides the sides by 2"),
    "loss": (IMAGE_LOSS,),
    "metric": (METRIC, "against content, lower is better", "of images"),
    "metric of sets": (SET_METRIC, "against real, lower is better", "of sets"),
    "dataset": (DATASET, "4 items with content"),
}
"""A valid part of each kind that a plugin file can hold, and what is reported of it."""


@pytest.mark.slow
@pytest.mark.parametrize("case", SAMPLES.values(), ids=SAMPLES)
def test_a_valid_part_passes(write: Write, case: tuple[str, ...]) -> None:
    source, *facts = case
    subject = part(write(source))
    assert faults(subject) == {}
    assert untried(subject) == []
    assert set(summary(subject)) >= set(facts)


def test_there_are_checks_for_every_kind_and_a_sample_of_each() -> None:
    assert SAMPLES.keys() >= KINDS.keys() - {"model"}  # one needs a file of weights
    for kind in [*KINDS, PLUGIN]:
        names = [check.name for check in checks_of(kind)]
        assert len(names) == len(set(names)) > 1
        for check in checks_of(kind):
            assert set(check.after) <= set(names[: names.index(check.name)])  # such as a misspelt name


def test_checks_leave_no_traces(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(METHOD)
    folder = path.parent / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    assert faults(part(path)) == {}
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), repr(np.random.get_state()))
    assert list(folder.iterdir()) == []


def test_a_part_that_needs_an_option_is_not_tried_and_says_so(write: Write) -> None:
    subject = part(write(altered(GENERATOR, ("width: int = 4", "width: int"))))
    assert faults(subject) == {}
    (message,) = untried(subject)
    assert_mentions(message, "'width'", "channels within")
    with warns(StylekitWarning, "generator", "'width'"):
        testing.check("generator", subject.target)
    assert_mentions(fault(part(write(altered(GENERATOR, ("width: int = 4", "depth: int")))), "options"), "option depth")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"model"}))
def test_check_passes_a_valid_part_of_each_kind(write: Write, kind: str) -> None:
    subject = part(write(SAMPLES[kind][0]))
    assert subject.kind == kind
    testing.check(kind, subject.target)


def test_check_raises_one_line_per_fault(write: Write) -> None:
    changes = ("width: int", "width", ".sigmoid()", ".sigmoid().float()")
    network = part(write(altered(GENERATOR, changes))).target
    with pytest.raises(StylekitError) as caught:
        testing.check("generator", network)
    options, types = str(caught.value).splitlines()
    assert_mentions(options, "options:", "option width")
    assert_mentions(types, "float64:", "float32")


def test_an_unknown_kind_is_refused() -> None:
    with raises(StylekitError, "'lozz'", "loss"):
        testing.check("lozz", torch.nn.Identity)


def test_check_of_a_method_warns_of_what_it_could_not_train(write: Write) -> None:
    method = part(write(altered(METHOD, ("    def players", TAUGHT)))).target
    with warns(StylekitWarning, "method", "'teacher'"):
        testing.check("method", method)


def test_a_fault_that_stops_several_checks_is_reported_once(write: Write) -> None:
    found = faults(part(write(altered(METHOD, ('batch["content"]', 'batch["depth"]')))))
    assert list(found) == ["rehearsal"]


def test_nothing_else_is_reported_of_a_part_that_cannot_be_built(write: Write) -> None:
    source = altered(GENERATOR, ("width: int", "width", NET, "raise ValueError('too early')"))
    assert list(faults(part(write(source)))) == ["builds"]


BUILT_IN = [plugin.name for plugin in lookup.visible_plugins() if plugin.own]


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProgram]:
    program = WarmProgram("stylekit.testing.footprint:tell", footprint.public_modules())
    yield program
    program.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_plugins_are_named_and_imported_without_side_effects(
    name: str, warm: WarmProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork(command: list[str], *, cwd: str, env: dict[str, str], **options: object) -> CompletedProcess[str]:
        return CompletedProcess(command, *warm.run(command[3:], Path(cwd), env))

    monkeypatch.setattr(footprint, "subprocess", SimpleNamespace(run=fork))  # a new process each takes seconds
    for subject in find_subjects(name):
        if subject.kind == PLUGIN:
            assert faults(subject) == {}


@pytest.mark.long
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_parts_of_the_built_in_plugins_pass(name: str) -> None:
    assert len(BUILT_IN) >= 9
    for subject in find_subjects(name):
        if subject.kind != PLUGIN:
            assert faults(subject) == {}, subject.name
