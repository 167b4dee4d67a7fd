"""Networks that are narrowed: what is left of them is the network of that width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import make
from stylekit_plugins.generators.resnet import ResBlock

SPECS: dict[str, dict[str, Any]] = {
    "resnet": {"name": "resnet", "blocks": 2, "width": 8},
    "resized": {"name": "resnet", "blocks": 1, "width": 8, "upsample": "resize", "dropout": 0.5},
    "blurred": {"name": "resnet", "blocks": 1, "width": 8, "antialias": True},
    "batch norms": {"name": "resnet", "blocks": 2, "width": 8, "norm": "batch"},
    "no norms": {"name": "resnet", "blocks": 1, "width": 8, "norm": "none"},
    "separable": {"name": "resnet", "blocks": 2, "width": 8, "separable": True},
    "unet": {"name": "unet", "downs": 6, "width": 8},
    "unet, resized": {"name": "unet", "downs": 5, "width": 8, "norm": "none", "upsample": "resize"},
    "unet, batch norms": {"name": "unet", "downs": 6, "width": 8, "norm": "batch", "dropout": 0.5},
}
anywhere = pytest.mark.parametrize("name", SPECS)


def build(name: str) -> Any:
    torch.manual_seed(0)
    return make("generator", SPECS[name]).eval()


def narrowed(name: str, network: Any, keep: float) -> Any:
    options, state = network.narrowed(keep)
    narrower = make("generator", {**SPECS[name], **options}).to(next(iter(state.values())).dtype).eval()
    narrower.load_state_dict(state)
    return narrower


def picture(side: int = 64) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@anywhere
def test_with_all_channels_it_is_the_same_network(name: str) -> None:
    network = build(name)
    options, state = network.narrowed(1.0)
    assert options == {"width": 8}
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())
    assert torch.equal(narrowed(name, network, 1.0)(picture()), network(picture()))


@anywhere
@pytest.mark.parametrize(("keep", "width"), [(0.5, 4), (0.3, 2), (0.01, 1)])
def test_the_width_is_rounded_and_at_least_one(name: str, keep: float, width: int) -> None:
    network = narrowed(name, build(name), keep)
    assert network.width == width
    out = network(picture())
    assert out.shape == (1, 3, 64, 64)
    assert bool(out.isfinite().all())


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """All but those of each channel by itself, which make no other channels."""
    kinds = nn.Conv2d | nn.ConvTranspose2d
    return [each for each in network.modules() if isinstance(each, kinds) and each.groups == 1]


def silence(convolution: nn.Conv2d | nn.ConvTranspose2d, filters: Tensor) -> None:
    """Sets the weights of some of the filters to zero."""
    axis = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
    convolution.weight.data.index_fill_(axis, filters, 0.0)


def silence_half(network: nn.Module, residual: bool) -> None:
    """Silences a random half of each layer's filters; in residual blocks, the second layers make the channels that they are
    added to, so the half is the same there."""
    first, down, wide, *rest = convolutions(network)
    stream = torch.randperm(wide.out_channels)[: wide.out_channels // 2]
    blocks = rest[1 : 2 * sum(isinstance(each, ResBlock) for each in network.modules()) : 2]
    for conv in (first, down, wide, *rest[:-1]):
        together = residual and (conv is wide or conv in blocks)
        silence(conv, stream if together else torch.randperm(conv.out_channels)[: conv.out_channels // 2])


@anywhere
def test_without_filters_of_zeros_the_output_is_the_same(name: str) -> None:
    network = build(name).double()
    for conv in convolutions(network):
        conv.weight.data *= 5  # otherwise the output hardly depends on the input
    silence_half(network, residual=SPECS[name]["name"] == "resnet")
    image = picture().double()
    expected = network(image)
    torch.testing.assert_close(narrowed(name, network, 0.5)(image), expected, rtol=0, atol=1e-10)
    assert float((narrowed(name, network, 0.25)(image) - expected).detach().abs().max()) > 1e-3
