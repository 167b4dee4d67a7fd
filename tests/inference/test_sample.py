"""Samples: image i depends on the seed and i alone."""

from __future__ import annotations

import random
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, StylekitError
from stylekit.inference.model import Model
from stylekit.inference.options import sample_options
from tests.facts import raises


class Dots(Method):
    """Draws with the generators of torch, NumPy and Python."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 3, 1)

    def sample(self, count: int, *, size: int = 8, shade: Literal["light", "dark"] = "light") -> Tensor:
        """Draws.

        Args:
            size: side
            shade: how bright
        """
        noise = torch.rand(count, 3, size, size) + random.random() + float(np.random.rand())
        drawn = self.net(noise).sigmoid()
        return drawn if shade == "light" else drawn / 2


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(Dots(), "dots")


def test_samples_are_images_without_gradients(model: Model) -> None:
    drawn = model.sample(3)
    assert drawn.shape == (3, 3, 8, 8)
    assert drawn.dtype == torch.float32
    assert not drawn.requires_grad
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    assert model.sample().shape == (1, 3, 8, 8)


def test_an_image_depends_on_the_seed_and_its_number_alone(model: Model) -> None:
    ten = model.sample(10, seed=5)
    assert torch.equal(ten[:3], model.sample(3, seed=5))
    assert torch.equal(ten, torch.cat(list(model.draw(10, seed=5))))
    torch.rand(7), random.random()  # whatever was drawn before
    assert torch.equal(ten, model.sample(10, seed=5))


def test_images_of_other_numbers_or_seeds_differ(model: Model) -> None:
    drawn = torch.cat([model.sample(4, seed=seed) for seed in (0, 1, 2)])
    assert len({tuple(image.flatten().tolist()) for image in drawn}) == 12


def test_images_are_drawn_one_after_the_other(model: Model) -> None:
    calls: list[int] = []
    model.method.net.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    drawn = model.draw(3)
    for number in range(3):
        assert len(calls) == number
        assert next(drawn).shape == (1, 3, 8, 8)
    assert list(drawn) == []


def test_the_callers_random_numbers_and_grad_mode_are_untouched(model: Model) -> None:
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    for _ in model.draw(2):
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), repr(np.random.get_state()))
        assert torch.is_grad_enabled()


def test_autocast_of_the_caller_does_not_matter(model: Model) -> None:
    wanted = model.sample(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.sample(2), wanted)


def test_options_are_validated_before_anything_is_drawn(model: Model) -> None:
    assert list(sample_options(model.method)) == ["size", "shade"]
    assert model.sample(2, size="5").shape == (2, 3, 5, 5)
    assert torch.equal(model.sample(2, shade="dark"), model.sample(2) / 2)
    with raises(StylekitError, "method 'dots'", "'shape'", "did you mean 'shade'"):
        model.draw(2, shape="dark")
    with raises(StylekitError, "method 'dots'", "'size'", "'large'"):
        model.sample(2, size="large")
    with raises(StylekitError, "method 'dots'", "'shade'", "'grey'", "'light'"):
        model.draw(2, shade="grey")


def test_values_out_of_range_are_clamped() -> None:
    class Bright(Method):
        def sample(self, count: int) -> Tensor:
            return 4 * torch.rand(count, 3, 8, 8) - 1

    drawn = Model(Bright(), "bright").sample(2)
    assert (float(drawn.min()), float(drawn.max())) == (0, 1)


def test_a_method_that_only_samples_does_not_stylise(model: Model) -> None:
    image = torch.rand(1, 3, 8, 8)
    with raises(StylekitError, "method 'dots'", "samples", "stylekit sample"):
        model.stylize(image)
    with raises(StylekitError, "method 'dots'", "samples", "stylekit sample"):
        next(model.frames([image]))


def test_a_method_that_only_stylises_does_not_sample() -> None:
    class Invert(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return 1 - content

    model = Model(Invert(), "invert")
    with raises(StylekitError, "method 'invert'", "samples"):
        model.sample(2)
    with raises(StylekitError, "method 'invert'", "samples"):
        model.draw(2)


def test_a_method_may_do_both() -> None:
    class Both(Dots):
        def stylize(self, content: Tensor, style: Tensor | None = None, *, gain: float = 1.0) -> Tensor:
            return gain * content

    model, image = Model(Both(), "both"), torch.rand(1, 3, 8, 8)
    assert torch.equal(model.stylize(image, gain=0.5), image / 2)
    assert model.sample(2, size=4).shape == (2, 3, 4, 4)
    with raises(StylekitError, "'size'", "gain"):
        model.stylize(image, size=4)
    with raises(StylekitError, "'gain'", "size"):
        model.sample(1, gain=0.5)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_1_is_refused(model: Model, count: int) -> None:
    with raises(StylekitError, count):
        model.sample(count)


def test_samples_of_nan_or_of_another_shape_are_refused() -> None:
    class Broken(Method):
        def sample(self, count: int) -> Tensor:
            return torch.full((count, 3, 8, 8), float("nan"))

    class Grey(Method):
        def sample(self, count: int) -> Tensor:
            return torch.zeros(count, 1, 8, 8)

    with raises(StylekitError, "'broken'", "NaN"):
        Model(Broken(), "broken").sample(1)
    with raises(StylekitError, "'grey'", "(1, 1, 8, 8)"):
        Model(Grey(), "grey").sample(1)
