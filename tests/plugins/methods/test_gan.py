"""gan: its presets, labels, and that it learns."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError, make, testing
from stylekit.layers import SelfAttention, widths_by_scale
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.methods.gan import GAN
from stylekit_plugins.methods.gan.networks import GENERATORS
from tests.facts import raises

TINY: dict[str, Any] = dict(GAN.presets["tiny"])
LABELLED = {**TINY, "classes": 3}


def batch(count: int = 4, side: int = 32, classes: int = 0) -> dict[str, Tensor]:
    image = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": torch.arange(count) % classes} if classes else {"content": image}


@pytest.mark.parametrize(
    ("side", "expected"), [(8, [64, 32]), (32, [256, 128, 64, 32]), (128, [256, 256, 256, 128, 64, 32])]
)
def test_channels_double_with_every_halving_up_to_eight_times(side: int, expected: list[int]) -> None:
    assert widths_by_scale(side, 32) == expected


@pytest.mark.parametrize("network", GENERATORS)
@pytest.mark.parametrize("side", [8, 64])
def test_every_generator_draws_images_of_the_side(network: str, side: int) -> None:
    images = GENERATORS[network](16, side, 4)(torch.randn(3, 16))
    assert images.shape == (3, 3, side, side)
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("network", GENERATORS)
def test_attention_is_at_side_16_and_starts_closed(network: str) -> None:
    plain, attending = (GENERATORS[network](16, 32, 8, attention).eval() for attention in (False, True))
    (layer,) = (part for part in attending.modules() if isinstance(part, SelfAttention))
    assert not any(isinstance(part, SelfAttention) for part in plain.modules())
    seen: list[tuple[int, ...]] = []
    layer.register_forward_hook(lambda part, given, out: seen.append(tuple(out.shape[2:])))
    codes = torch.randn(2, 16)
    closed = attending(codes)
    assert seen == [(16, 16)]
    with torch.no_grad():
        layer.share.fill_(1.0)
    assert not torch.equal(attending(codes), closed)
    trained = [parameter for name, parameter in attending.named_parameters() if "share" not in name]
    assert len(trained) - 4 == len(list(plain.parameters()))  # query, key, value and back


def test_attention_needs_features_of_side_16() -> None:
    with raises(StylekitError, "'attention'", 16, 8):
        GAN(**{**TINY, "side": 8, "attention": True})


@pytest.mark.parametrize("preset", [name for name in GAN.presets if name != "tiny"])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_preset_trains_with_and_without_labels(preset: str, classes: int) -> None:
    torch.manual_seed(0)
    method = GAN(**{**GAN.presets[preset], "classes": classes})
    losses = rehearse(method, batch(classes=classes))
    assert set(losses) == {"discriminate", "generate"}
    assert ("label" in method.batch_keys) == bool(classes)


def test_the_presets_are_those_of_the_papers() -> None:
    built = {name: GAN(**options) for name, options in GAN.presets.items()}
    assert {name: type(method.adversary.adversarial).__name__ for name, method in built.items()} == {
        "dcgan": "NonSaturating",
        "wgan-gp": "Wasserstein",
        "sngan": "Hinge",
        "r3gan": "Relativistic",
        "tiny": "Relativistic",
    }
    assert list(built["wgan-gp"].adversary.regularizers) == ["gradient-penalty"]
    assert list(built["r3gan"].adversary.regularizers) == ["r1", "r2"]
    assert built["wgan-gp"].players()["generator"].update_every == 5


def test_larger_images_are_reduced_to_the_side() -> None:
    method = GAN(**TINY)
    made = method(batch(side=64))
    assert made["real"].shape == made["fake"].shape == (4, 3, 32, 32)


def test_labels_reach_the_generator_and_the_discriminator() -> None:
    torch.manual_seed(0)
    method = GAN(**LABELLED).eval()
    codes = torch.randn(1, method.latent).expand(3, -1)
    drawn = method.draw(codes, torch.tensor([0, 1, 2]))
    assert torch.pdist(drawn.flatten(1)).min() > 0
    torch.testing.assert_close(method.sample_from(codes[:1], label=2), drawn[2:])
    anyhow = method.sample_from(codes[:1].expand(60, -1))
    nearest = torch.cdist(anyhow.flatten(1), drawn.flatten(1)).argmin(1)
    assert nearest.bincount(minlength=3).min() > 5  # by default, all classes are drawn


def test_a_model_without_classes_ignores_the_labels_of_its_data() -> None:
    made, losses = [], []
    for labels in ({}, {"label": torch.tensor([0, 1, 2, 0])}):
        torch.manual_seed(0)
        method = GAN(**TINY).eval()
        given = {**batch(side=32), **labels}
        made.append(method(given))
        losses.append(
            method.discriminate(given, made[-1])["adversarial"] + method.generate(given, made[-1])["adversarial"]
        )
    torch.testing.assert_close(made[0]["fake"], made[1]["fake"])
    torch.testing.assert_close(losses[0], losses[1])


def test_wrong_options_are_refused() -> None:
    for options, fact in (({"side": 48}, 48), ({"side": 4}, 4), ({"classes": -1}, -1)):
        with raises(StylekitError, *options, fact):
            GAN(**{**TINY, **options})
    with raises(StylekitError, "label 3", "0 to 2"):
        GAN(**LABELLED).sample_from(torch.randn(1, 16), label=3)
    with raises(StylekitError, "no classes", "label"):
        GAN(**TINY).sample_from(torch.randn(1, 16), label=0)


@pytest.mark.long
def test_it_learns_the_colours_of_its_images() -> None:
    """Drawn images get the mean of the real ones, which are of two colours, and are near both of them."""
    torch.manual_seed(0)
    method = GAN(**{**TINY, "side": 8, "lr": 2e-3, "discriminator": {"name": "r3", "layers": 2, "width": 8}})
    optimizers = {name: player.optimizer(player.parameters, player.lr) for name, player in method.players().items()}
    colors = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]])
    for _ in range(300):
        images = colors[torch.randint(2, (32,))][:, :, None, None].expand(-1, -1, 8, 8)
        made = method({"content": images})
        for name, turn in (("discriminator", method.discriminate), ("generator", method.generate)):
            optimizers[name].zero_grad()
            sum(turn({"content": images}, made).values()).backward(inputs=method.players()[name].parameters)
            optimizers[name].step()
    drawn = method.sample(200).mean((2, 3)).detach()
    torch.testing.assert_close(drawn.mean(0), colors.mean(0), atol=0.12, rtol=0)
    nearest = torch.cdist(drawn, colors).argmin(1).bincount(minlength=2)
    assert nearest.min() > 20


@pytest.mark.parametrize("options", [TINY, LABELLED], ids=["plain", "labelled"])
def test_conformance(options: dict[str, Any]) -> None:
    testing.check("method", partial(GAN, **options))


@pytest.mark.parametrize("name", ["dc", "r3"])
@pytest.mark.parametrize("classes", [0, 3])
def test_its_discriminators_conform(name: str, classes: int) -> None:
    testing.check("discriminator", lambda: make("discriminator", name, layers=3, width=8, classes=classes))
