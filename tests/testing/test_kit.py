"""The kit as a whole: whole parts of each kind pass, and a fault is told once and leaves nothing behind."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from stylekit import StylekitError, StylekitWarning, testing
from stylekit.registry import lookup
from stylekit.testing.subjects import find_subjects
from tests.testing.samples import (
    ADVERSARIAL,
    DATASET,
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    IMAGE_LOSS,
    METHOD,
    NET,
    STYLED,
    fault,
    faults,
    part,
    seen,
    untried,
)

if TYPE_CHECKING:
    from tests.testing.conftest import Write


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (METHOD, "12 parameters; keeps 69x57; turns near; saves and loads; resumes exactly; exports"),
        (
            STYLED,
            "31 parameters; keeps 69x57; styles of 4 numbers; turns near; saves and loads; resumes exactly; exports",
        ),
        (GENERATOR, "12 parameters; keeps 64x64; keeps 69x57; saves and loads; exports"),
        (DISCRIMINATOR, "98 parameters; scores (2,); saves and loads; exports"),
        (ENCODER, "112 parameters; layers first; saves and loads; exports"),
        (ADVERSARIAL, "adversarial: real, fake, fool; several scales"),
        (IMAGE_LOSS, "image loss"),
        (DATASET, "4 items with content"),
    ],
    ids=[
        "method",
        "method with styles",
        "generator",
        "discriminator",
        "encoder",
        "adversarial loss",
        "image loss",
        "dataset",
    ],
)
def test_a_whole_part_passes(write: Write, source: str, told: str) -> None:
    subject = part(write(source))
    assert faults(subject) == {}
    assert seen(subject) == told


def test_a_check_leaves_no_trace(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(METHOD)
    folder = path.parent / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    assert faults(part(path)) == {}
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), repr(np.random.get_state()))
    assert list(folder.iterdir()) == []


def test_a_part_that_must_be_given_an_option_is_not_tried_and_says_so(write: Write) -> None:
    subject = part(write(GENERATOR.replace("width: int = 4", "width: int")))
    assert faults(subject) == {}
    assert untried(subject) == ["needs the option 'width' (channels within)"]
    with pytest.warns(StylekitWarning, match=r"the generator is not tried: needs the option 'width'"):
        testing.check_generator(subject.target)
    assert "Describe the option" in fault(part(write(GENERATOR.replace("width: int = 4", "depth: int"))), "options")


def test_the_functions_of_the_kit_raise_one_line_a_fault(write: Write) -> None:
    testing.check_method(part(write(METHOD)).target)
    testing.check_generator(part(write(GENERATOR)).target)
    testing.check_discriminator(part(write(DISCRIMINATOR)).target)
    testing.check_loss(part(write(IMAGE_LOSS)).target)
    testing.check_dataset(part(write(DATASET)).target)
    testing.check_encoder(part(write(ENCODER)).target)
    network = part(write(GENERATOR.replace("width: int", "width").replace(".sigmoid()", ".sigmoid().float()"))).target
    with pytest.raises(StylekitError) as told:
        testing.check_generator(network)
    options, types = str(told.value).splitlines()
    assert options.startswith("options: Give a type to the option width")
    assert types.startswith("float64: forward gave float32 for float64.")


def test_a_fault_that_stops_several_checks_is_told_once(write: Write) -> None:
    found = faults(part(write(METHOD.replace('batch["content"]', 'batch["depth"]'))))
    assert list(found) == ["rehearsal"]


def test_a_part_that_does_not_build_is_told_as_that_alone(write: Write) -> None:
    source = GENERATOR.replace("width: int", "width").replace(NET, "raise ValueError('too early')")
    assert list(faults(part(write(source)))) == ["builds"]


BUILT_IN = [plugin.name for plugin in lookup.visible_plugins() if plugin.own]
HEAVY = {"cyclegan", "resnet", "spectral", "unet"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in BUILT_IN]
)
def test_the_built_in_plugins_pass(name: str) -> None:
    assert len(BUILT_IN) >= 9
    for subject in find_subjects(name):
        assert faults(subject) == {}, subject.name
