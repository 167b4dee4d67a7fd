"""Discriminators under spectral normalisation: singular values, state, and how steep they can get."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.discriminators.spectral import MultiscaleSN, PatchSN, ResNetSN
from stylekit_plugins.losses.adversarial import Hinge
from stylekit_plugins.methods.cyclegan import CycleGAN

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "patch-sn": lambda: PatchSN(layers=2, width=8),
    "multiscale-sn": lambda: MultiscaleSN(scales=2, layers=2, width=8),
    "resnet-sn": lambda: ResNetSN(blocks=3, width=8),
}
every_kind = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def pictures(seed: int) -> tuple[Tensor, Tensor]:
    """Bright and dark noise, which a discriminator soon tells apart."""
    noise = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return noise[0] * 0.7 + 0.3, noise[1] * 0.7


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        real, fake = pictures(step)
        optimizer.zero_grad()
        loss = Hinge().real(network(real)) + Hinge().fake(network(fake))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The weight that each layer works with."""
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    return {name: layer.weight.detach() for name, layer in layers.items()}


@every_kind
def test_largest_singular_values_stay_at_one_through_training(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = build()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, (0.5, 0.999))
    losses = train(network, optimizer, range(30))
    assert losses[-1] < losses[0]
    network.eval()
    for name, weight in weights(network).items():
        largest = torch.linalg.svdvals(weight.flatten(1).double())[0].item()
        assert largest == pytest.approx(1, rel=0.02), name


@every_kind
def test_every_layer_is_normalised(build: Callable[[], nn.Module]) -> None:
    network = build()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    assert all(hasattr(layer, "parametrizations") for layer in layers)


@every_kind
def test_training_goes_on_bit_for_bit_from_a_saved_state(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    first = build()
    optimizer = torch.optim.Adam(first.parameters(), 1e-3)
    train(first, optimizer, range(3))
    saved, saved_optimizer = copy.deepcopy(first.state_dict()), copy.deepcopy(optimizer.state_dict())
    torch.manual_seed(99)
    second = build()
    second.load_state_dict(saved)
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, saved[name]), name
    resumed = torch.optim.Adam(second.parameters(), 1e-3)
    resumed.load_state_dict(saved_optimizer)
    assert train(first, optimizer, range(3, 6)) == train(second, resumed, range(3, 6))
    for name, tensor in second.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name]), name


@every_kind
def test_judging_in_eval_mode_changes_nothing(build: Callable[[], nn.Module]) -> None:
    network = build().eval()
    before = copy.deepcopy(network.state_dict())
    network(pictures(0)[0])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_scores_change_no_faster_than_the_layers_allow() -> None:
    """The bound by hand: 2 for the range, and each pixel is read by at most 4 patches (stride 2) or 16 (stride 1), so a
    convolution stretches by at most 2 or 4 times its largest singular value; leaky ReLU by 1."""
    torch.manual_seed(0)
    network = PatchSN(layers=2, width=8)
    train(network, torch.optim.Adam(network.parameters(), 1e-3), range(30))
    network.eval()
    bound = 2 * (2 * 2) * (4 * 4) * 1.02**4
    image, _ = pictures(100)
    for size in (1e-3, 0.1, 1.0):
        other = image + size * torch.randn_like(image)
        assert (network(image) - network(other)).norm() <= bound * (image - other).norm()


def test_weights_made_a_hundred_times_larger_change_no_score() -> None:
    torch.manual_seed(0)
    network = PatchSN(layers=2, width=8).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    image, _ = pictures(0)
    before = network(image)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("original"):
                parameter.mul_(100)
    assert torch.allclose(network(image), before, rtol=1e-4, atol=1e-6)


def test_second_scale_sees_the_picture_at_half_size() -> None:
    network = MultiscaleSN(scales=3, layers=2, width=2)
    fine, middle, coarse = network(torch.rand(2, 3, 64, 64))
    assert fine.shape == PatchSN(2, 2)(torch.rand(2, 3, 64, 64)).shape
    assert middle.shape == PatchSN(2, 2)(torch.rand(2, 3, 32, 32)).shape
    assert coarse.shape == PatchSN(2, 2)(torch.rand(2, 3, 16, 16)).shape


def test_halving_keeps_a_plain_picture_plain_up_to_its_border() -> None:
    network = MultiscaleSN(scales=2, layers=1, width=2)
    seen: list[Tensor] = []
    network.judges[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 3, 20, 20), 0.25))
    assert torch.allclose(seen[0], torch.full((1, 3, 10, 10), 0.25))


def test_residual_discriminator_gives_one_score_a_picture_of_any_size() -> None:
    network = ResNetSN(blocks=3, width=4)
    assert network(torch.rand(5, 3, 32, 32)).shape == (5, 1)
    assert network(torch.rand(5, 3, 37, 50)).shape == (5, 1)


@every_kind
def test_least_side_is_enough_for_a_score(build: Callable[[], nn.Module]) -> None:
    network = build()
    side = network.min_size
    assert isinstance(side, int)
    scores = network(torch.rand(1, 3, side, side))
    for scale in [scores] if isinstance(scores, Tensor) else scores:
        assert scale.numel() >= 1
        assert math.isfinite(scale.sum().item())


@every_kind
def test_patch_scores_need_no_norm_so_that_pictures_are_judged_one_by_one(build: Callable[[], nn.Module]) -> None:
    network, (image, other) = build().eval(), pictures(0)
    alone, in_company = network(image[:1]), network(torch.cat([image[:1], other]))
    pairs = [(alone, in_company)] if isinstance(alone, Tensor) else list(zip(alone, in_company, strict=True))
    for one, many in pairs:
        assert torch.allclose(one, many[:1], atol=1e-6)


@pytest.mark.parametrize("adversarial", ["lsgan", "nonsaturating", "hinge"])
@pytest.mark.parametrize("discriminator", ["patch-sn", "multiscale-sn", "resnet-sn"])
def test_cyclegan_plays_with_each_of_them(discriminator: str, adversarial: str) -> None:
    method = CycleGAN(
        generator={"name": "resnet", "blocks": 1, "width": 4},
        discriminator={"name": discriminator, "width": 4},
        adversarial=adversarial,
        pool=2,
    )
    heard = rehearse(method, {"content": torch.rand(1, 3, 64, 64), "style": torch.rand(1, 3, 64, 64)})
    assert set(heard) == {"translate", "judge_a", "judge_b"}
    assert all(math.isfinite(value) for terms in heard.values() for value in terms.values())


@pytest.mark.parametrize(
    "build",
    [
        lambda: PatchSN(layers=0),
        lambda: PatchSN(width=0),
        lambda: MultiscaleSN(scales=0),
        lambda: MultiscaleSN(layers=0),
        lambda: ResNetSN(blocks=0),
        lambda: ResNetSN(width=0),
    ],
)
def test_options_that_build_no_network_are_refused(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(StylekitError, match=r"The option '\w+' is 0, and must be at least 1\."):
        build()
