"""Discriminators under spectral normalisation: singular values, state, and how steep they can get."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError, testing
from stylekit.training.rehearsal import rehearse
from stylekit_plugins.discriminators.combined import MultiscaleSN
from stylekit_plugins.discriminators.spectral import PatchSN, ResNetSN, spread
from stylekit_plugins.losses.adversarial import Hinge
from stylekit_plugins.methods.cyclegan import CycleGAN
from tests.facts import raises

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "patch-sn": lambda: PatchSN(layers=2, width=8),
    "patch-sn in groups": lambda: PatchSN(layers=2, width=8, group=4),
    "multiscale-sn": lambda: MultiscaleSN(scales=2, layers=2, width=8),
    "resnet-sn": lambda: ResNetSN(blocks=3, width=8),
    "resnet-sn with attention": lambda: ResNetSN(blocks=3, width=8, attention=True),
}
every_kind = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def images(seed: int) -> tuple[Tensor, Tensor]:
    """Bright and dark noise, which a discriminator soon tells apart."""
    noise = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return noise[0] * 0.7 + 0.3, noise[1] * 0.7


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        real, fake = images(step)
        optimizer.zero_grad()
        loss = Hinge().discriminator(network(real), network(fake))
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
def test_training_resumes_bit_for_bit_from_a_saved_state(build: Callable[[], nn.Module]) -> None:
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
def test_scoring_in_eval_mode_changes_nothing(build: Callable[[], nn.Module]) -> None:
    network = build().eval()
    before = copy.deepcopy(network.state_dict())
    network(images(0)[0])
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
    image, _ = images(100)
    for size in (1e-3, 0.1, 1.0):
        other = image + size * torch.randn_like(image)
        assert (network(image) - network(other)).norm() <= bound * (image - other).norm()


def test_weights_a_hundred_times_larger_change_no_score() -> None:
    torch.manual_seed(0)
    network = PatchSN(layers=2, width=8).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    image, _ = images(0)
    before = network(image)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("original"):
                parameter.mul_(100)
    assert torch.allclose(network(image), before, rtol=1e-4, atol=1e-6)


def test_the_second_scale_sees_the_image_at_half_size() -> None:
    network = MultiscaleSN(scales=3, layers=2, width=2)
    fine, middle, coarse = network(torch.rand(2, 3, 64, 64))
    assert fine.shape == PatchSN(2, 2)(torch.rand(2, 3, 64, 64)).shape
    assert middle.shape == PatchSN(2, 2)(torch.rand(2, 3, 32, 32)).shape
    assert coarse.shape == PatchSN(2, 2)(torch.rand(2, 3, 16, 16)).shape


def test_halving_keeps_a_flat_image_flat_up_to_its_border() -> None:
    network = MultiscaleSN(scales=2, layers=1, width=2)
    seen: list[Tensor] = []
    network.judges[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.full((1, 3, 20, 20), 0.25))
    assert torch.allclose(seen[0], torch.full((1, 3, 10, 10), 0.25))


def test_the_residual_discriminator_gives_one_score_per_image_of_any_size() -> None:
    network = ResNetSN(blocks=3, width=4)
    assert network(torch.rand(5, 3, 32, 32)).shape == (5, 1)
    assert network(torch.rand(5, 3, 37, 50)).shape == (5, 1)


@every_kind
def test_an_image_of_the_smallest_side_gets_a_score(build: Callable[[], nn.Module]) -> None:
    network = build()
    side = network.min_size
    assert isinstance(side, int)
    scores = network(torch.rand(1, 3, side, side))
    for scale in [scores] if isinstance(scores, Tensor) else scores:
        assert scale.numel() >= 1
        assert math.isfinite(scale.sum().item())


@every_kind
def test_the_images_of_a_batch_affect_each_other_in_groups_only(build: Callable[[], nn.Module]) -> None:
    network, (image, other) = build().eval(), images(0)
    alone, in_batch = network(image[:1]), network(torch.cat([image[:1], other]))
    pairs = [(alone, in_batch)] if isinstance(alone, Tensor) else list(zip(alone, in_batch, strict=True))
    for one, many in pairs:
        assert torch.allclose(one, many[:1], atol=1e-6) == network.sample_independent


@pytest.mark.parametrize("adversarial", ["lsgan", "nonsaturating", "hinge"])
@pytest.mark.parametrize("discriminator", ["patch-sn", "multiscale-sn", "resnet-sn"])
def test_cyclegan_trains_with_each_of_them(discriminator: str, adversarial: str) -> None:
    method = CycleGAN(
        generator={"name": "resnet", "blocks": 1, "width": 4},
        discriminator={"name": discriminator, "width": 4},
        adversarial=adversarial,
        pool=2,
    )
    losses = rehearse(method, {"content": torch.rand(1, 3, 64, 64), "style": torch.rand(1, 3, 64, 64)})
    assert set(losses) == {"translate", "discriminate"}
    assert all(math.isfinite(value) for terms in losses.values() for value in terms.values())


@pytest.mark.parametrize(
    ("build", "option"),
    [
        (lambda: PatchSN(layers=0), "'layers'"),
        (lambda: PatchSN(width=0), "'width'"),
        (lambda: PatchSN(channels=0), "'channels'"),
        (lambda: MultiscaleSN(scales=0), "'scales'"),
        (lambda: MultiscaleSN(layers=0), "'layers'"),
        (lambda: MultiscaleSN(channels=0), "'channels'"),
        (lambda: ResNetSN(blocks=0), "'blocks'"),
        (lambda: ResNetSN(width=0), "'width'"),
    ],
)
def test_options_that_build_no_network_are_refused(build: Callable[[], nn.Module], option: str) -> None:
    with raises(StylekitError, option, 0, 1):
        build()


def last_convolution(network: nn.Module) -> Any:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]


def varied(network: nn.Module) -> Any:
    """The network in float64 and eval mode, with biases, so that every layer counts."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.double().named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return network.eval()


def test_the_last_convolution_makes_the_scores_of_the_last_features() -> None:
    network, image = varied(PatchSN(layers=2, width=8)), torch.rand(2, 3, 20, 24).double()
    features = network.features(image)
    assert [tuple(each.shape[1:]) for each in features] == [(8, 10, 12), (16, 5, 6), (32, 4, 5)]
    assert torch.equal(last_convolution(network)(features[-1]), network(image))


def test_features_of_several_scales_are_those_of_each_scale_one_after_the_other() -> None:
    """The finest first; from the last of each scale its last convolution makes the scores of that scale."""
    network, image = varied(MultiscaleSN(scales=3, layers=2, width=4)), torch.rand(2, 3, 64, 56).double()
    features, scores = network.features(image), network(image)
    assert (len(features), len(scores)) == (9, 3)
    for scale, judge in enumerate(network.judges):
        assert torch.equal(last_convolution(judge)(features[3 * scale + 2]), scores[scale])
    smaller = nn.functional.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
    for ours, of_smaller in zip(features[3:6], network.judges[1].features(smaller), strict=True):
        assert torch.equal(ours, of_smaller)


def test_features_have_a_gradient_for_the_image_at_every_depth() -> None:
    network = varied(MultiscaleSN(scales=2, layers=1, width=4))
    image = torch.rand(1, 3, 20, 24, dtype=torch.float64, requires_grad=True)
    for each in network.features(image):
        (slope,) = torch.autograd.grad((each * torch.rand(each.shape)).sum(), image, retain_graph=True)
        assert slope.abs().max() > 0


@pytest.mark.parametrize(
    "build",
    [lambda: PatchSN(layers=2, width=8, channels=6), lambda: MultiscaleSN(scales=2, layers=1, width=8, channels=6)],
    ids=["patch-sn", "multiscale-sn"],
)
def test_a_condition_is_an_image_that_brings_further_channels(build: Callable[[], nn.Module]) -> None:
    """Scored with the image, as if their channels had been joined, at every scale."""
    network = varied(build())
    image, condition = torch.rand(2, 2, 3, 32, 32).double()
    joined = torch.cat([image, condition], 1)

    def listed(scores: Tensor | list[Tensor]) -> list[Tensor]:
        return [scores] if isinstance(scores, Tensor) else scores

    for ours, of_joined in (
        (network(image, condition), network(joined)),
        (network.features(image, condition), network.features(joined)),
    ):
        for one, other in zip(listed(ours), listed(of_joined), strict=True):
            assert torch.equal(one, other)
    others = listed(network(image, condition.flip(0)))
    assert not any(map(torch.allclose, others, listed(network(image, condition))))


def test_six_channels_are_judged_by_the_residual_discriminator_too() -> None:
    network = ResNetSN(blocks=2, width=4, channels=6)
    assert network.first.weight.shape == (4, 6, 3, 3)
    assert network(torch.rand(2, 6, 16, 16)).shape == (2, 1)


def test_a_label_adds_its_embedding_projected_on_the_features() -> None:
    """Miyato and Koyama 2018, equation 3: ``y^T V f + psi(f)``, with V the embedding and psi the linear layer."""
    network = varied(ResNetSN(blocks=2, width=4, classes=5))
    image, labels = torch.rand(3, 3, 16, 20).double(), torch.tensor([4, 0, 4])
    network.requires_grad_(False)
    features = torch.relu(network.blocks(network.first(image * 2 - 1))).mean((2, 3))
    table, weight, bias = network.embedding.weight, network.score.weight[0], network.score.bias[0]
    expected = []
    for row, label in zip(features, labels.tolist(), strict=True):
        psi = sum([float(weight[c] * row[c]) for c in range(8)]) + float(bias)
        expected.append([psi + sum([float(table[label, c] * row[c]) for c in range(8)])])
    torch.testing.assert_close(
        network(image, labels), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12
    )
    with raises(StylekitError, "5 classes", "'classes'"):
        network(image)
    assert not torch.allclose(network(image, labels), network(image, torch.tensor([1, 2, 3])))


def test_the_embedding_of_labels_is_normalised_like_every_layer_and_learns() -> None:
    torch.manual_seed(0)
    network = ResNetSN(blocks=2, width=4, classes=5)
    image, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 2, 4, 2])
    for _ in range(30):
        scores = network(image, labels)
    scores.sum().backward()
    original = network.embedding.parametrizations.weight.original
    assert original.grad.abs().sum(1)[[0, 2, 4]].gt(0).all()
    largest = torch.linalg.svdvals(network.eval().embedding.weight.detach().double())[0].item()
    assert largest == pytest.approx(1, rel=0.02)


def test_without_classes_there_is_no_embedding() -> None:
    assert ResNetSN(blocks=2, width=4).embedding is None
    assert not any("embedding" in name for name in ResNetSN(blocks=2, width=4).state_dict())
    with raises(StylekitError, "'classes'"):
        ResNetSN(classes=-1)


@pytest.mark.parametrize(
    "factory",
    [
        functools.partial(PatchSN, layers=2, width=4),
        functools.partial(PatchSN, layers=2, width=4, group=2),
        functools.partial(MultiscaleSN, layers=2, width=4),
        functools.partial(ResNetSN, blocks=2, width=4),
    ],
    ids=["patch-sn", "patch-sn in groups", "multiscale-sn", "resnet-sn"],
)
def test_conformance(factory: Callable[..., nn.Module]) -> None:
    testing.check("discriminator", factory)


def test_the_number_of_classes_in_the_message_is_the_one_given() -> None:
    with raises(StylekitError, "'classes'", "is -1"):
        ResNetSN(classes=-1)


@pytest.mark.parametrize("build", [PatchSN, ResNetSN])
def test_the_number_of_images_in_the_message_is_the_one_given(build: Callable[..., nn.Module]) -> None:
    with raises(StylekitError, "'group'", "is -2"):
        build(group=-2)


def test_a_condition_without_classes_is_refused() -> None:
    with raises(StylekitError, "classes"):
        ResNetSN(blocks=1, width=2)(torch.rand(1, 3, 8, 8), torch.tensor([0]))


def test_a_discriminator_with_labels_passes_the_checks() -> None:
    testing.check("discriminator", functools.partial(ResNetSN, blocks=2, width=4, classes=3))


def test_the_spread_is_the_mean_standard_deviation_within_each_group() -> None:
    features = torch.randn(5, 7, dtype=torch.float64)
    by_hand = [features[:2].numpy().std(0).mean()] * 2 + [features[2:4].numpy().std(0).mean()] * 2 + [0.0]
    found = spread(features, 2)[:, 0]
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64), atol=2e-4, rtol=1e-4)


def test_with_groups_the_score_depends_on_the_variety_of_the_images() -> None:
    torch.manual_seed(0)
    network = ResNetSN(blocks=3, width=8, group=4).eval()
    varied = torch.rand(4, 3, 32, 32)
    equal = varied[:1].expand(4, -1, -1, -1)
    assert not network.sample_independent
    difference = network(varied)[0] - network(equal)[0]
    features = torch.relu(network.blocks(network.first(varied * 2 - 1))).mean((2, 3))
    expected = network.score.weight[0, -1] * (spread(features, 4)[0, 0] - 1e-4)
    torch.testing.assert_close(difference[0], expected, atol=1e-5, rtol=1e-3)


def test_the_head_sees_the_features_of_each_image_and_half_the_distance_within_a_pair() -> None:
    """Of two values, the standard deviation is half their distance."""
    torch.manual_seed(0)
    images = torch.rand(5, 3, 32, 32, dtype=torch.float64)
    network = PatchSN(layers=2, width=4, group=2).double().eval()
    features = network.model[:6](images * 2 - 1)
    _, _, seen, _ = network.features(images)
    assert seen.shape == (5, 17, 7, 7)
    torch.testing.assert_close(seen[:, :16], features)
    distance = [(features[first] - features[first + 1]).abs().mean() / 2 for first in (0, 0, 2, 2)]
    expected = torch.stack([*distance, torch.tensor(1e-4).double()])  # the root of 1e-8, which is added to variances
    torch.testing.assert_close(seen[:, 16], expected[:, None, None].expand(-1, 7, 7), atol=1e-5, rtol=0)


def test_the_spread_pulls_the_features_of_a_pair_apart() -> None:
    """Its gradient is half the sign of the difference, divided by the number of features; equal images have none."""
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(spread(features, 2)[0, 0], features)
    sign = (features[0] - features[1]).detach().sign() / (2 * 12)
    torch.testing.assert_close(gradient, torch.stack([sign, -sign]), atol=1e-6, rtol=1e-4)
    equal = torch.ones(2, 3, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(spread(equal, 2)[0, 0], equal)
    assert not gradient.any()


def test_in_groups_a_generator_is_told_that_its_images_are_alike() -> None:
    """The score of an image depends on the others in its group, and only on those."""
    torch.manual_seed(0)
    network = PatchSN(layers=2, width=4, group=2).eval()
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images)[0].sum(), images)
    assert [bool(each.any()) for each in gradient] == [True, True, False, False]
