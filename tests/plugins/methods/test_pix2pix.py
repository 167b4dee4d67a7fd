"""pix2pix: its losses by hand, and what its discriminator sees."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylekit import testing
from stylekit_plugins.methods.pix2pix import Pix2Pix


class Darker(nn.Module):
    """Multiplies images by a learned factor, 0.5 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, image: Tensor) -> Tensor:
        return self.factor * image


class Scores(nn.Module):
    """Scores an image by its mean less that of its condition, and remembers what it was given."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, image: Tensor, condition: Tensor) -> Tensor:
        self.seen.append((image, condition))
        return (image - condition).mean((1, 2, 3))


def batch() -> dict[str, Tensor]:
    content, style = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {"content": content, "style": style}


def test_the_losses_are_those_of_the_paper() -> None:
    """Equation 4, with 100 times the mean absolute difference of images in [-1, 1], and half of the discriminator's loss."""
    method, images = Pix2Pix(Darker, Scores), batch()
    fake = method(images)
    terms = method.translate(images, fake)
    real_score, fake_score = ((x - images["content"]).mean((1, 2, 3)) for x in (images["style"], fake))
    torch.testing.assert_close(terms["l1"], 100 * ((2 * fake - 1) - (2 * images["style"] - 1)).abs().mean())
    torch.testing.assert_close(terms["adversarial"], F.softplus(-fake_score).mean())
    terms = method.discriminate(images, fake)
    torch.testing.assert_close(
        terms["adversarial"], (F.softplus(-real_score).mean() + F.softplus(fake_score).mean()) / 2
    )


def test_pairs_are_judged_and_the_discriminators_turn_does_not_reach_the_generator() -> None:
    method, images = Pix2Pix(Darker, Scores), batch()
    fake = method(images)
    method.discriminate(images, fake)
    scores: Any = method.adversary.discriminator
    assert scores.channels == 6
    assert all(torch.equal(condition, images["content"]) for _, condition in scores.seen)
    assert {image.requires_grad for image, _ in scores.seen} == {False}
    method.translate(images, fake)
    assert scores.seen[-1][0].requires_grad


@pytest.mark.parametrize("discriminator", [{"name": "patch", "layers": 2, "width": 8}, {"name": "unet", "width": 8}])
def test_conformance(discriminator: Any) -> None:
    testing.check("method", partial(Pix2Pix, **{**Pix2Pix.presets["tiny"], "discriminator": discriminator}))
