"""Phantoms: both scanners show the same body when testing, and lesions are where they should be."""

from __future__ import annotations

import pytest
import torch

from stylekit import StylekitError, make, testing
from stylekit_plugins.datasets.phantoms import SCANNERS, Phantoms, draw
from tests.facts import raises

QUIET = {"noise": 0.0}


def bright(image: torch.Tensor) -> int:
    """The number of pixels that show lesions to scanner b."""
    return int((image[0] > 0.9).sum())


def test_conformance() -> None:
    testing.check("dataset", Phantoms)


def test_a_slice_is_drawn_alike_down_to_the_bit_and_others_are_not() -> None:
    assert torch.equal(draw("a", 48, 0, "x", 3), draw("a", 48, 0, "x", 3))
    assert not torch.equal(draw("a", 48, 0, "x", 3), draw("a", 48, 0, "x", 4))


def test_the_values_are_those_of_the_scanner() -> None:
    for name, scanner in SCANNERS.items():
        image = draw(name, 128, 1, noise=0.0)
        for value in (0.0, scanner.body, scanner.organ, scanner.vessel, scanner.lesion):
            assert int(((image - value).abs() < 1e-6).sum()) > 20, value


def test_scanners_show_the_same_body_and_lesions_are_all_that_differs() -> None:
    healthy, ill = (draw("b", 64, 5, lesions=lesions, noise=0.0) for lesions in (False, True))
    changed = healthy != ill
    assert 0 < int(changed.sum()) < 0.1 * changed.numel()
    assert bool((ill[changed] > healthy[changed]).all())
    body = [draw(name, 64, 5, noise=0.0) > 0.05 for name in SCANNERS]
    assert float((body[0] == body[1]).float().mean()) > 0.99  # but for the soft edges


def test_every_second_phantom_of_the_test_has_lesions_and_the_shares_of_the_training_are_the_user_s() -> None:
    test = Phantoms(split="test", length=8, **QUIET)
    assert [bright(test[index]["style"]) > 0 for index in range(8)] == [True, False] * 4
    train = Phantoms(lesions=(1.0, 0.0), length=20, **QUIET)
    assert (test.paired, train.paired) == (True, False)
    assert not any(bright(train[index]["style"]) for index in range(20))
    some = Phantoms(lesions=(0.0, 0.3), length=200, **QUIET)
    assert 40 < sum(bright(some[index]["style"]) > 0 for index in range(200)) < 80


def test_missing_rows_are_black_and_the_noise_has_its_deviation() -> None:
    image = draw("a", 512, 1, noise=0.0, missing=0.25)[0]
    inside = image[:, 256] == 0
    assert 0.2 < float(inside[150:362].float().mean()) < 0.3
    centre = draw("a", 512, 2, noise=0.05)[0] - draw("a", 512, 2, noise=0.0)[0]
    assert float(centre[236:276, 236:276].std()) == pytest.approx(0.05, rel=0.05)


def test_channels_are_equal_and_of_any_number() -> None:
    image = Phantoms(channels=2)[0]["content"]
    assert image.shape == (2, 64, 64)
    assert torch.equal(image[0], image[1])


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"size": 16}, ["16", "32"]),
        ({"split": "tset"}, ["'tset'", "'test'"]),
        ({"lesions": (0.5, 1.5)}, ["'lesions'", "1.5"]),
        ({"lesions": (-0.5, 0.5)}, ["'lesions'", "-0.5"]),
        ({"noise": -1}, ["'noise'", "-1"]),
        ({"missing": 2}, ["'missing'", "2"]),
        ({"channels": 0}, ["'channels'", "0"]),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object], facts: list[str]) -> None:
    with raises(StylekitError, *facts):
        make("dataset", "phantoms", **options)
