"""Shapes of encoder layers, found without weights and without side effects, and the decoders that mirror them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, make
from stylekit.encoders import (
    encode,
    frozen_encoder,
    layer_shapes,
    mirror_decoder,
    remembered,
    require_layers,
    shared_features,
)
from stylekit.layers import NarrowConv2d
from stylekit.losses import ContentLoss, StyleLoss
from stylekit.weights.packaged import VGG19, packaged_file
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw
from tests.facts import raises

Maps = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "nothing"))


class Stack(nn.Module):
    """Everything that has side effects: batch norm updates its statistics, dropout draws, a layer has parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Dropout(0.5))

    def forward(self, image: Tensor) -> Maps:
        near = self.first(image)
        return {"far": F.avg_pool2d(near, 8).repeat(1, 2, 1, 1), "near": near}


def test_vgg_layers_match_the_paper_and_need_no_weights() -> None:
    """Simonyan and Zisserman 2015, table 1: the width doubles up to 512, and each pooling halves the sides."""
    layers = {"relu1_2": (64, 1), "relu2_1": (128, 2), "relu3_3": (256, 4), "relu4_1": (512, 8), "relu5_3": (512, 16)}
    for name in ("vgg16", "vgg19", "vgg19-normalised"):
        assert layer_shapes(make("encoder", {"name": name, "layers": list(layers)})) == layers


@pytest.mark.parametrize(
    "encoder", [{"name": "random", "width": 6, "side": 3}, {"name": "vgg16", "weights": "random"}, Stack]
)
def test_shapes_match_real_features(encoder: Any) -> None:
    network = make("encoder", encoder)
    features = network(torch.rand(1, 3, 128, 128))
    assert layer_shapes(network) == {layer: (each.shape[1], 128 // each.shape[3]) for layer, each in features.items()}


def test_layers_keep_the_encoders_order() -> None:
    assert list(layer_shapes(Stack()).items()) == [("far", (10, 8)), ("near", (5, 1))]


def test_a_stride_may_be_as_large_as_the_probe_image() -> None:
    class Whole(nn.Module):
        def forward(self, image: Tensor) -> Maps:
            return {"block": F.avg_pool2d(image, 256), "picture": image}

    assert layer_shapes(Whole()) == {"block": (3, 256), "picture": (3, 1)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_may_have_any_type(dtype: torch.dtype) -> None:
    assert layer_shapes(Stack().to(dtype)) == {"near": (5, 1), "far": (10, 8)}


def test_the_encoder_and_the_random_state_are_not_changed() -> None:
    encoder, random = Stack().train(), torch.get_rng_state()
    before = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    layer_shapes(encoder)
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, before[key]) and not tensor.is_meta for key, tensor in after.items())
    assert encoder.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in encoder.parameters())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda image: image.flatten(2), (1, 3, 65536)),  # tokens
        (lambda image: image[..., 1:, 1:], (1, 3, 255, 255)),  # one row and column cropped
        (lambda image: image[..., ::2], (1, 3, 256, 128)),  # only one side halved
        (lambda image: F.interpolate(image, scale_factor=2), (1, 3, 512, 512)),  # larger than the image
    ],
)
def test_layers_that_are_not_feature_maps_of_an_integer_stride_are_refused(layer: Any, shape: tuple[int, ...]) -> None:
    class Odd(nn.Module):
        def forward(self, image: Tensor) -> Maps:
            return {"good": image, "odd": layer(image)}

    with raises(StylekitError, "'odd'", "encoder", shape, 256, "(N, C, H, W)"):
        layer_shapes(Odd())


def test_unknown_layers_are_refused_with_a_suggestion_and_all_layers() -> None:
    require_layers(["near", "far", "near"], ("far", "near"))
    require_layers([], {})
    with raises(StylekitError, "encoder", "'nearer'", "did you mean 'near'", "far, near"):
        require_layers(["far", "nearer", "no"], {"near": 0, "far": 1})


VGG = [(64, 1), (128, 2), (256, 4), (512, 8), (512, 16)]
"""relu1_1, relu2_1, ... of VGG-19 (Simonyan and Zisserman 2015, table 1, column E)."""
DECODERS = {
    1: "64-3",
    2: "128-64 up 64-64 64-3",
    3: "256-128 up 128-128 128-64 up 64-64 64-3",
    4: "512-256 up 256-256 256-256 256-256 256-128 up 128-128 128-64 up 64-64 64-3",
    5: "512-512 up 512-512 512-512 512-512 512-256 up 256-256 256-256 256-256 256-128 up 128-128 128-64 up 64-64 64-3",
}
"""The encoder's convolutions and poolings from the first to each relu*_1, in reverse order."""


def summary(decoder: nn.Sequential) -> str:
    """The convolutions and upsamplings; each convolution has reflection padding, and each but the last a ReLU."""
    steps, layers = [], list(decoder)
    while layers:
        layer = layers.pop(0)
        if isinstance(layer, nn.Upsample):
            assert (layer.scale_factor, layer.mode) == (2, "nearest")
            steps.append("up")
            continue
        assert isinstance(layer, nn.ReflectionPad2d)
        assert layer.padding == (1, 1, 1, 1)
        conv = layers.pop(0)
        assert isinstance(conv, nn.Conv2d)
        assert conv.kernel_size == (3, 3)
        assert isinstance(layers.pop(0), nn.ReLU) if layers else isinstance(conv, NarrowConv2d)
        steps.append(f"{conv.in_channels}-{conv.out_channels}")
    return " ".join(steps)


@pytest.mark.parametrize("depth", DECODERS)
def test_the_mirror_of_vgg_19_is_the_papers_decoder(depth: int) -> None:
    with torch.device("meta"):  # only the shapes are needed
        assert summary(mirror_decoder(VGG[:depth])) == DECODERS[depth]


@pytest.mark.parametrize(
    ("layers", "widths"),
    [
        ([(24, 8)], [(24, 24), (24, 24), (24, 3)]),  # a single deep layer is mirrored up to the image
        ([(6, 1), (20, 4)], [(20, 6), (6, 6), (6, 3)]),
        ([(6, 1), (5, 1)], [(5, 3)]),  # no step where the size does not change
        ([(6, 1), (5, 1), (9, 2), (8, 2)], [(8, 6), (6, 6), (6, 3)]),  # up to the shallowest layer of each size
        ([(8, 2), (9, 2), (10, 16)], [(10, 8), (8, 8), (8, 8), (8, 8), (8, 3)]),
        ([(7, 1), (7, 16), (9, 32)], [(9, 7), *[(7, 7)] * 5, (7, 3)]),  # three extra at stride 16, as in VGG-19
    ],
)
def test_the_mirror_of_any_layers_produces_images(layers: list[tuple[int, int]], widths: list[tuple[int, int]]) -> None:
    decoder, (width, stride) = mirror_decoder(layers), layers[-1]
    assert [(each.in_channels, each.out_channels) for each in decoder if isinstance(each, nn.Conv2d)] == widths
    assert decoder(torch.rand(2, width, 2, 3)).shape == (2, 3, 2 * stride, 3 * stride)


class Halved(nn.Module):
    """An encoder of one convolution, which allows half precision."""

    half_precision = True

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"a": self.conv(image)}


@pytest.mark.parametrize(
    ("allowed", "available", "dtype", "wanted"),
    [
        (True, True, torch.float32, torch.bfloat16),
        (False, True, torch.float32, torch.float32),
        (True, False, torch.float32, torch.float32),
        (True, True, torch.float64, torch.float64),
    ],
)
def test_half_precision_needs_an_encoder_and_a_processor_for_it(
    allowed: bool, available: bool, dtype: torch.dtype, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Halved().to(dtype)
    monkeypatch.setattr(Halved, "half_precision", allowed)
    monkeypatch.setattr("stylekit.encoders.computes_bf16", lambda device: available)
    image = torch.rand(2, 3, 9, 9, dtype=dtype)
    (features,) = encode(encoder, image).values()
    assert features.dtype == wanted
    torch.testing.assert_close(features.to(dtype), encoder.conv(image), rtol=0.02, atol=0.02)


def test_the_callers_autocast_stays_in_force() -> None:
    encoder, image = Halved(), torch.rand(1, 3, 9, 9, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        (features,) = encode(encoder, image, half=False).values()
    assert features.dtype == torch.bfloat16


def test_half_precision_hardly_turns_the_gradient_of_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    if packaged_file(VGG19) is None:
        pytest.skip(f"the package is not installed: {VGG19.install}")
    encoder, photo, style = make("encoder", "vgg19"), render(2, size=64)[None], draw("leaves", 64, 1)[None]
    content, strokes = ContentLoss(("relu4_1",), normalize=True), StyleLoss()

    def gradient(half: bool) -> Tensor:
        monkeypatch.setattr("stylekit.encoders.computes_bf16", lambda device: half)
        image = (0.7 * photo + 0.3 * style).requires_grad_(True)
        features = encode(encoder, image)
        loss = content(features, content.target(encoder(photo))) + 10 * strokes(
            features, strokes.target(encoder(style))
        )
        return torch.autograd.grad(loss.sum(), image)[0].flatten()

    assert F.cosine_similarity(gradient(True), gradient(False), dim=0) > 0.98


class Counting(nn.Module):
    """An encoder that counts how often it runs."""

    calls = 0

    def forward(self, image: Tensor) -> Maps:
        Counting.calls += 1
        return {"near": image, "far": image[..., ::2, ::2]}


@pytest.mark.parametrize(("limit", "calls"), [(2**20, 2), (0, 4)])
def test_features_are_computed_once_for_each_image_within_a_block(
    limit: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "calls", 0)
    one, other = torch.rand(2, 1, 3, 4, 4)
    with torch.no_grad(), shared_features(limit):
        encoder = frozen_encoder(Counting)
        assert frozen_encoder(Counting) is encoder
        for image in (one, other):
            for layer in ("near", "far"):
                expected = Counting()(image)[layer]
                Counting.calls -= 1
                assert torch.equal(encode(encoder, image, (layer,), half=False)[layer], expected)
    assert Counting.calls == calls
    assert frozen_encoder(Counting) is not encoder


def test_what_a_part_computes_of_an_image_is_kept_as_long_as_the_image() -> None:
    parts, image = (nn.Identity(), nn.Identity()), torch.zeros(1, 3, 4, 4)
    computed: list[float] = []

    def sums(image: Tensor) -> Maps:
        computed.append(image.sum().item())
        return {"sum": image.sum()}

    assert [remembered(parts[0], image, sums)["sum"].item() for _ in range(2)] == [0, 0]
    assert computed == [0, 0]  # nothing is kept outside a block
    with shared_features():
        for part in (*parts, *parts):
            assert remembered(part, image, sums)["sum"].item() == 0
        assert len(computed) == 4
        for value in (1, 2, 3):  # which usually get the same id, one after the other
            other = torch.full((1, 3, 4, 4), float(value))
            assert remembered(parts[0], other, sums)["sum"].item() == 48 * value
            del other


def test_shared_features_may_be_computed_in_half_precision_and_are_float32_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylekit.encoders.computes_bf16", lambda device: True)
    monkeypatch.setattr(Counting, "half_precision", True, raising=False)
    monkeypatch.setattr(Counting, "forward", lambda self, image: {"sum": image.flatten(2) @ torch.ones(16, 1)})
    image = torch.rand(1, 3, 4, 4)
    with torch.no_grad(), shared_features(half=True):
        features = encode(frozen_encoder(Counting), image, half=False)["sum"]
    exact = image.flatten(2) @ torch.ones(16, 1)
    assert features.dtype == torch.float32
    assert not torch.equal(features, exact)
    torch.testing.assert_close(features, exact, rtol=0.02, atol=0)


def test_features_with_gradients_or_in_half_precision_are_not_shared() -> None:
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    with shared_features():
        encoder = frozen_encoder(Counting)
        encode(encoder, image)["near"].sum().backward()
    assert image.grad is not None
