"""stylegan: its layers by the paper's equations, styles at every scale, path lengths and truncation."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from stylekit import StylekitError, testing
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.methods.stylegan import StyleGAN
from stylekit_plugins.methods.stylegan.networks import ModulatedConv, ScaledLinear, Synthesis
from tests.facts import raises

TINY: dict[str, Any] = dict(StyleGAN.presets["tiny"])


@pytest.mark.parametrize("normalize", [True, False])
def test_a_modulated_convolution_scales_and_normalises_its_weights(normalize: bool) -> None:
    """Equations 1 and 3 of the paper, with a convolution for each image, in float64."""
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 4, normalize=normalize).double()
    x, style = torch.randn(3, 5, 6, 6).double(), torch.randn(3, 4).double()
    scales = 1 + style @ conv.style.weight.T / math.sqrt(4)
    for image, scale, out in zip(x, scales, conv(x, style), strict=True):
        weight = conv.weight / math.sqrt(5 * 9) * scale[:, None, None]
        if normalize:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(out, F.conv2d(image[None], weight, padding=1)[0])


def test_scaled_layers_start_alike_and_learn_at_their_rate() -> None:
    """At any rate, outputs have unit variance; a step of Adam, of 1 in each weight, moves them by the rate."""
    torch.manual_seed(0)
    x = torch.randn(2000, 64).double()
    for rate in (1.0, 0.01):
        layer = ScaledLinear(64, 64, rate=rate).double()
        before = layer(x)
        assert float(before.detach().var()) == pytest.approx(1, rel=0.1)
        with torch.no_grad():
            layer.weight += 1
        torch.testing.assert_close(layer(x) - before, rate * x.sum(1, keepdim=True).expand(-1, 64) / 8)


def test_every_scale_has_its_style() -> None:
    """A style changes the image of its own scale and of finer ones."""
    torch.manual_seed(0)
    network = Synthesis(8, 32, 4)
    drawn: list[torch.Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, __, output: drawn.append(output[1]))
    styles = torch.randn(1, 1, 8).expand(-1, 4, -1).clone()
    assert network(styles).shape == (1, 3, 32, 32)
    assert [image.shape[-1] for image in drawn] == [4, 8, 16, 32]
    for scale in range(4):
        before = drawn.copy()
        drawn.clear()
        styles[:, scale] = torch.randn(8)
        network(styles)
        assert [torch.equal(*pair) for pair in zip(before, drawn, strict=True)] == [index < scale for index in range(4)]


def test_styles_are_mixed_from_a_random_scale_on() -> None:
    torch.manual_seed(0)
    method = StyleGAN(**{**TINY, "mixing": 0.5})
    styles = method.mapping(method.codes(400))
    mixed = method.mixed(styles)
    own = (mixed == styles[:, None]).all(2)
    assert own[:, 0].all()  # the coarsest scale is never replaced
    assert (own.long().diff(dim=1) <= 0).all()  # and once replaced, all finer ones are
    assert 0.4 < own.all(1).float().mean() < 0.6
    assert torch.equal(StyleGAN(**{**TINY, "mixing": 0.0}).mixed(styles), styles[:, None].expand(-1, 4, -1))


def test_truncation_moves_samples_towards_the_average() -> None:
    torch.manual_seed(0)
    method = StyleGAN(**TINY).eval()  # its noise starts at zero
    method.average.copy_(method.mapping(method.codes(1000)).mean(0))
    codes = method.codes(20)
    with torch.no_grad():
        spreads = [float(method.sample_from(codes, truncation=share).std(0).mean()) for share in (0.0, 0.5, 1.0)]
    assert spreads[0] < 1e-6 < spreads[1] < spreads[2]


def test_training_updates_the_averages_and_has_all_terms() -> None:
    torch.manual_seed(0)
    method = StyleGAN(**TINY)
    losses = rehearse(method, {"content": torch.rand(4, 3, 48, 48)})
    assert set(losses) == {"discriminate", "generate", "straighten"}
    batch = {"content": torch.rand(4, 3, 48, 48)}
    made = method(batch)
    assert made["real"].shape == (4, 3, 32, 32)
    assert float(method.average.abs().max()) > 0
    method.straighten(batch, made)
    assert float(method.length.average) > 0


def test_wrong_options_are_refused() -> None:
    for options, fact in (({"side": 48}, 48), ({"side": 4}, 4), ({"mixing": 1.5}, 1.5), ({"mapping": 0}, 0)):
        with raises(StylekitError, *options, fact):
            StyleGAN(**{**TINY, **options})


def test_conformance() -> None:
    testing.check("method", partial(StyleGAN, **TINY))
