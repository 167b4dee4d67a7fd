"""Walks: images on the way from one sample to the next."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, StylekitError
from stylekit.inference.model import Model
from stylekit.inference.walks import closed_path, great_circle
from tests.facts import raises


class Mapped(Method):
    """Draws the first three numbers of a code as a colour, with noise."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def codes(self, count: int) -> Tensor:
        return torch.randn(count, 8)

    def sample_from(self, codes: Tensor, *, noise: float = 0.0) -> Tensor:
        """Draws.

        Args:
            codes: of the images
            noise: its size
        """
        image = (self.gain * codes[:, :3, None, None]).sigmoid().expand(-1, -1, 4, 5)
        return image + noise * torch.rand(len(codes), 3, 4, 5)


@pytest.fixture
def model() -> Model:
    return Model(Mapped(), "mapped")


def test_a_great_circle_turns_evenly() -> None:
    """From (1, 0) to (0, 2): angles and lengths grow in proportion to the share."""
    start, end = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    for share in (0.0, 0.25, 0.5, 1.0):
        angle, length = share * math.pi / 2, 1 + share
        expected = torch.tensor([length * math.cos(angle), length * math.sin(angle)])
        torch.testing.assert_close(great_circle(start, end, share), expected)


@pytest.mark.parametrize("end", [[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
def test_without_an_angle_the_way_is_straight(end: list[float]) -> None:
    start = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(great_circle(start, torch.tensor(end), 0.25), start.lerp(torch.tensor(end), 0.25))


def test_a_path_returns_to_its_start() -> None:
    corners = [torch.tensor(corner) for corner in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.001])]
    path = list(closed_path(corners, 4))
    assert len(path) == 12
    for corner, code in zip(corners, path[::4], strict=True):
        torch.testing.assert_close(code, corner)
    torch.testing.assert_close(path[11], great_circle(corners[2], corners[0], 0.75))


def test_a_walk_passes_the_samples_and_has_no_jumps(model: Model) -> None:
    walk = torch.cat(list(model.walk(3, 20, seed=4)))
    assert walk.shape == (60, 3, 4, 5)
    torch.testing.assert_close(walk[::20], model.sample(3, seed=4))
    steps = (walk - walk.roll(-1, 0)).abs().amax((1, 2, 3))  # the last one leads back to the first
    assert steps.max() < 0.1


def test_noise_stays_the_same_along_a_walk(model: Model) -> None:
    still, noisy = (torch.cat(list(model.walk(2, 3, noise=noise))) for noise in (0.0, 0.2))
    noise = (noisy - still)[noisy.amax((1, 2, 3)) < 1]
    torch.testing.assert_close(noise, noise[:1].expand_as(noise))
    assert noise.std() > 0.02


def test_wrong_walks_are_refused(model: Model) -> None:
    class Plain(Method):
        def sample(self, count: int) -> Tensor:
            return torch.rand(count, 3, 8, 8)

    class Copy(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return content

    with raises(StylekitError, "'plain'", "codes"):
        Model(Plain(), "plain").walk(2)
    with raises(StylekitError, "'copy'", "stylises"):
        Model(Copy(), "copy").walk(2)
    with raises(StylekitError, "at least 1", "0"):
        model.walk(2, 0)
    with raises(StylekitError, "at least 1", "-1"):
        model.walk(-1)
    with raises(StylekitError, "'speed'", "noise"):
        model.walk(2, speed=3)
