"""Losses for steady clips: what they change, and what they cost networks whose response is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, Player, StylekitError, make, turn
from stylekit.images.flow import warp
from stylekit.method import Batch, Terms
from stylekit.seeding import repeatable, seeded
from stylekit.training.common_options import extra_terms
from stylekit.training.rehearsal import rehearse
from stylekit.training.setup import prepare
from stylekit_plugins.losses import temporal
from tests.facts import raises

STILL = {"name": "warp-consistency", "motion": 0, "shift": 0}


class Pixelwise(Method):
    """Multiplies each colour by a weight, and adds a weight times a ramp that stays on the screen."""

    batch_keys = ("content",)

    def __init__(self, gain: float = 1.0, ramp: float = 0.0) -> None:
        super().__init__()
        self.gain, self.ramp = nn.Parameter(torch.tensor(gain)), nn.Parameter(torch.tensor(ramp))

    def players(self) -> dict[str, Player]:
        return {"generator": Player(self)}

    def forward(self, batch: Batch) -> Tensor:
        content = batch["content"]
        return content * self.gain + torch.linspace(0, 1, content.shape[3]) * self.ramp

    @turn("generator")
    def paint(self, batch: Batch, made: Tensor) -> Terms:
        return {"near": (made - batch["content"]).square().mean()}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return self({"content": content})


class Drawing(Pixelwise):
    """Adds random numbers, as methods do that draw a style."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + torch.rand(())


def grey(count: int = 2, size: int = 96) -> dict[str, Tensor]:
    return {"content": 0.3 + 0.4 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))}


def term(method: Method, loss: Mapping[str, Any], batch: Batch, seed: int = 0) -> Tensor:
    prepare(method, {"extra": [loss]})
    with seeded(seed):
        repeated = repeatable()
        (value,) = extra_terms(method, "generator", batch, method(batch), repeated).values()
    return value


def test_for_the_identity_the_warp_loss_is_the_size_of_the_noise() -> None:
    """The mean absolute value of normal noise is sqrt(2 / pi) of its deviation, which is 0.01 to 0.02, 0.015 on average."""
    noise = {"name": "warp-consistency", "noise": 0.01}
    found = float(term(Pixelwise(), noise, grey(500, 16)).detach())
    assert found == pytest.approx(0.015 * math.sqrt(2 / math.pi), rel=0.03)
    assert float(term(Pixelwise(), {**noise, "noise": 0}, grey()).detach()) < 1e-7


def test_for_the_identity_the_noise_loss_is_the_variance() -> None:
    """The mean of s^2 for s from 0.01 to 0.02 is (0.02^3 - 0.01^3) / 3 / 0.01."""
    found = float(term(Pixelwise(), {"name": "noise-consistency"}, grey(500, 16)).detach())
    assert found == pytest.approx(7e-6 / 0.03, rel=0.05)
    doubled = term(Pixelwise(2.0), {"name": "noise-consistency"}, grey())
    torch.testing.assert_close(doubled, 4 * term(Pixelwise(), {"name": "noise-consistency"}, grey()))


def test_what_stays_on_the_screen_costs_the_length_of_the_motion() -> None:
    """A ramp of 1 over 95 steps, moved by a whole number of pixels, differs by that over 95; borders repeat."""
    shift = {"name": "warp-consistency", "motion": 0, "shift": 10, "noise": 0}
    method, batch = Pixelwise(0.0, 1.0), grey(1)
    with seeded(0):
        flow = temporal.WarpConsistency(0, 10, 0).flow(batch["content"])
    moved = round(float(flow[0, 0, 0, 0]))
    assert 0 < abs(moved) <= 10
    steps = torch.arange(96.0)
    expected = ((steps + moved).clamp(0, 95) - steps).abs().mean() / 95
    torch.testing.assert_close(term(method, shift, batch), expected)


def test_the_gradient_reaches_the_generator_from_both_sides() -> None:
    """d/dg mean |g n| = mean |n|, and for the squares d/dg g^2 n^2 = 2 g n^2."""
    for loss, power in (({**STILL, "noise": 0.01}, 1), ({"name": "noise-consistency"}, 2)):
        method = Pixelwise(3.0)
        value = term(method, loss, grey())
        value.backward()
        assert method.gain.grad is not None
        torch.testing.assert_close(method.gain.grad, power * value.detach() / 3)


def test_the_method_draws_the_same_numbers_again() -> None:
    """Otherwise its choice of a style would count as unsteadiness."""
    still = {**STILL, "noise": 0}
    assert float(term(Drawing(), still, grey()).detach()) == 0
    method = Drawing()
    prepare(method, {"extra": [still]})
    assert rehearse(method, grey())["extra"] == {"extra/warp-consistency": 0}


def test_the_flow_is_smooth_and_differs_between_images() -> None:
    loss = temporal.WarpConsistency()
    with seeded(0):
        flows = torch.cat([loss.flow(torch.empty(4, 3, 256, 256)) for _ in range(8)])
    assert flows.diff(dim=3).abs().max() < 0.5
    assert flows.mean((2, 3)).std() == pytest.approx(math.sqrt(10**2 / 3 + 8**2 / 4), rel=0.2)
    assert len(flows.mean((2, 3)).unique()) == 64


def test_means_of_windows_by_hand() -> None:
    flow = torch.zeros(1, 2, 1, 300)
    flow[..., 150] = 100
    found = temporal.blurred(flow)[0, 0, 0]
    assert found.sum() == pytest.approx(100)
    assert found[101:201].allclose(torch.ones(100))
    torch.testing.assert_close(temporal.blurred(torch.full((1, 2, 20, 30), 7.0)), torch.full((1, 2, 20, 30), 7.0))


def test_output_and_reference_move_alike() -> None:
    image = torch.rand(2, 3, 64, 64)
    output, reference = temporal.WarpConsistency(noise=0).change(image, image)
    assert torch.equal(output, reference)
    assert not torch.equal(output, image)
    with seeded(3):
        flow = temporal.WarpConsistency().flow(image)
    with seeded(3):
        moved, _ = temporal.WarpConsistency().change(image, image)
    assert torch.equal(moved, warp(image, flow, "nearest"))


def test_noise_stays_in_the_range() -> None:
    black = torch.zeros(2, 3, 32, 32)
    kept, changed = temporal.NoiseConsistency(0.1, 0.1).change(black, black)
    assert kept is black
    assert changed.min() == 0
    assert changed.std() > 0.04


def test_negative_options_are_refused() -> None:
    for name, option in (("warp-consistency", "motion"), ("warp-consistency", "noise"), ("noise-consistency", "most")):
        with raises(StylekitError, repr(option), -1.0, "at least 0"):
            make("loss", name, **{option: -1})
