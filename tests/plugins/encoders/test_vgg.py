"""The VGG encoders against the published files' layouts and a plain formulation, and where their weights come from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from stylekit import StylekitError, make, testing
from stylekit.errors import MissingWeights
from stylekit.testing.catalogue import examine
from stylekit.testing.kit import Subject
from stylekit.weights import packaged, pretrained
from stylekit_plugins.encoders.vgg import VGG, VGG16, VGG19, VGG19Normalised
from tests.facts import assert_mentions, raises

State = dict[str, Tensor]
ALL = {VGG16: "relu5_3", VGG19: "relu5_4", VGG19Normalised: "relu5_4"}
CONVOLUTIONS = {  # index in the published file : number of output channels
    VGG16: "0:64 2:64 5:128 7:128 10:256 12:256 14:256 17:512 19:512 21:512 24:512 26:512 28:512",
    VGG19: "0:64 2:64 5:128 7:128 10:256 12:256 14:256 16:256 19:512 21:512 23:512 25:512 28:512 30:512 32:512 34:512",
    VGG19Normalised: "0:3 2:64 5:64 9:128 12:128 16:256 19:256 22:256 25:256 29:512 32:512 35:512 38:512 42:512 45:512 "
    "48:512 51:512",
}
ENCODERS = pytest.mark.parametrize("encoder", list(ALL), ids=lambda encoder: encoder.published)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of fetched weights and no package, so that the machine's own are not used."""
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged, "packaged_file", lambda known: None)
    return tmp_path / "cache"


def layout(encoder: type[VGG], end: int = 100) -> State:
    """The tensors of the published file up to a layer's number, empty."""
    head = "" if encoder is VGG19Normalised else "features."
    state, before = State(), 3
    for entry in CONVOLUTIONS[encoder].split():
        index, width = map(int, entry.split(":"))
        side = 1 if encoder is VGG19Normalised and index == 0 else 3
        if index < end:
            state[f"{head}{index}.weight"] = torch.empty(width, before, side, side)
            state[f"{head}{index}.bias"] = torch.empty(width)
        before = width
    return state


def drawn(encoder: type[VGG], end: int, seed: int = 0) -> State:
    """Random weights in that layout, biases too."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(tensor.shape, generator=generator) * (2 / max(tensor[0].numel(), 20)) ** 0.5
        for key, tensor in layout(encoder, end).items()
    }


@ENCODERS
def test_weights_have_the_names_and_shapes_in_the_published_file(encoder: type[VGG]) -> None:
    shapes = {key: tensor.shape for key, tensor in encoder(layers=(ALL[encoder],)).state_dict().items()}
    shapes.pop("mean", None)  # belongs to stylekit
    assert shapes == {key: tensor.shape for key, tensor in layout(encoder).items()}


def test_the_number_of_weights_is_that_of_the_paper() -> None:
    """138 and 144 million (table 2), of which the three fully connected layers have 123,642,856."""
    counts = [sum(p.numel() for p in encoder(layers=(ALL[encoder],)).parameters()) for encoder in (VGG16, VGG19)]
    assert [round((count + 123_642_856) / 1e6) for count in counts] == [138, 144]


def plain(encoder: type[VGG], w: State, image: Tensor) -> State:
    """The features up to relu3_1, in plain operations."""
    mirrored = encoder is VGG19Normalised

    def conv(x: Tensor, index: int) -> Tensor:
        head = "" if mirrored else "features."
        weight, bias = w[f"{head}{index}.weight"], w[f"{head}{index}.bias"]
        x = F.pad(x, [1] * 4, mode="reflect") if mirrored else F.pad(x, [1] * 4)
        return F.relu(F.conv2d(x, weight, bias))

    def halved(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, 2, ceil_mode=mirrored)

    if mirrored:
        x = torch.einsum("oi,nihw->nohw", w["0.weight"][..., 0, 0], image) + w["0.bias"][:, None, None]
        places = (2, 5, 9, 12, 16)
    else:
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=image.dtype)
        x = (image - mean[:, None, None]) / std[:, None, None]
        places = (0, 2, 5, 7, 10)
    first = conv(x, places[0])
    second = conv(halved(conv(first, places[1])), places[2])
    third = conv(halved(conv(second, places[3])), places[4])
    return {"relu1_1": first, "relu2_1": second, "relu3_1": third}


@ENCODERS
@pytest.mark.parametrize("size", [(16, 24), (21, 15)], ids=["even", "odd"])
def test_features_match_a_plain_formulation(encoder: type[VGG], size: tuple[int, int]) -> None:
    network, state = encoder(layers=("relu1_1", "relu2_1", "relu3_1")), drawn(encoder, 17)
    state = {key: tensor for key, tensor in state.items() if key in network.state_dict()}
    network.load_state_dict(state)
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    features = network.double()(image)
    wanted = plain(encoder, {key: tensor.double() for key, tensor in state.items()}, image)
    assert list(features) == list(wanted)
    for layer, each in wanted.items():
        assert features[layer].shape == each.shape
        assert (features[layer] - each).abs().max() < 1e-5  # the mean and std are float32


@ENCODERS
def test_only_layers_up_to_the_deepest_requested_one_are_built(encoder: type[VGG]) -> None:
    network = encoder(layers=("relu2_2", "relu1_1"), weights="random")
    assert len([module for module in network.modules() if isinstance(module, nn.Conv2d)]) in (4, 5)
    features = network(torch.rand(1, 3, 8, 8))
    assert list(features) == ["relu2_2", "relu1_1"]
    assert features["relu2_2"].shape == (1, 128, 4, 4)


@ENCODERS
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 40)])
def test_tiny_images_have_features(encoder: type[VGG], size: tuple[int, int]) -> None:
    features = encoder(weights="random")(torch.rand(1, 3, *size))
    assert [each.shape[1] for each in features.values()] == [64, 128, 256, 512]
    assert all(bool(torch.isfinite(each).all()) for each in features.values())


def test_random_weights_are_reproducible_and_keep_the_scale_of_features() -> None:
    network, again = VGG19(weights="random"), VGG19(weights="random")
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])
    features = network(torch.rand(1, 3, 32, 32))
    assert 0.3 < features["relu4_1"].square().mean() / features["relu1_1"].square().mean() < 3


@ENCODERS
def test_conformance(encoder: type[VGG]) -> None:
    build: Callable[..., nn.Module] = encoder
    testing.check("encoder", partial(build, layers=("relu1_2", "relu2_1"), weights="random"))


@ENCODERS
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_are_loaded_from_a_file_and_other_tensors_ignored(
    encoder: type[VGG], suffix: str, tmp_path: Path
) -> None:
    path, state = tmp_path / f"weights.{suffix}", drawn(encoder, 100 if encoder is VGG16 else 20)
    more = {"classifier.0.weight": torch.rand(2, 2), **state}
    save_file(more, path) if suffix == "safetensors" else torch.save(more, path)
    network = make("encoder", encoder.published, layers=("relu2_1",), weights=str(path))
    for key, tensor in network.named_parameters():
        assert torch.equal(tensor, state[key])
    assert network(torch.rand(1, 3, 8, 8))["relu2_1"].any()


@ENCODERS
def test_without_weights_the_error_says_how_to_get_them(encoder: type[VGG]) -> None:
    network = encoder(layers=("relu1_1",))
    name = encoder.published
    with raises(MissingWeights, f"'{name}'", f"`stylekit weights fetch {name}`", "MB", "licence"):
        network(torch.rand(1, 3, 8, 8))


def test_a_missing_file_is_named_when_the_encoder_is_used() -> None:
    network = VGG19(layers=("relu1_1",), weights="gone.pth")
    with raises(MissingWeights, "gone.pth", "stylekit weights fetch vgg19"):
        network(torch.rand(1, 3, 8, 8))


def test_loading_a_state_sets_the_weights_unless_it_was_saved_without_them() -> None:
    image, empty = torch.rand(1, 3, 8, 8), VGG19(layers=("relu1_2",)).state_dict()
    whole = nn.ModuleDict({"encoder": VGG19(layers=("relu1_2",))})
    whole.load_state_dict({f"encoder.{key}": tensor for key, tensor in empty.items()})
    with pytest.raises(MissingWeights):
        whole["encoder"](image)
    whole.load_state_dict({f"encoder.{key}": tensor for key, tensor in drawn(VGG19, 5).items()})
    assert whole["encoder"](image)["relu1_2"].any()


def test_shapes_are_known_without_weights() -> None:
    network = VGG16()
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    meta = {key: tensor.to("meta") for key, tensor in state.items()}
    features = torch.func.functional_call(network, meta, torch.zeros(1, 3, 64, 64, device="meta"))
    assert [tuple(each.shape) for each in features.values()] == [
        (1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16), (1, 512, 8, 8),
    ]  # fmt: skip


def publish(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Makes a file with this content the published one."""
    known = dataclasses.replace(
        pretrained.PUBLISHED[name], sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    monkeypatch.setitem(pretrained.PUBLISHED, name, known)


def test_fetched_weights_are_found_automatically(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = drawn(VGG19, 5)
    torch.save(state, tmp_path / "mine.pth")
    publish(monkeypatch, "vgg19", (tmp_path / "mine.pth").read_bytes())
    pretrained.fetch("vgg19", source=tmp_path / "mine.pth")
    network = VGG19(layers=("relu1_2",))
    assert torch.equal(network.state_dict()["features.2.weight"], state["features.2.weight"])


def other(encoder: type[VGG]) -> State:
    return drawn(VGG19Normalised if encoder is not VGG19Normalised else VGG19, 5)


@ENCODERS
def test_weights_of_another_network_are_refused(encoder: type[VGG], tmp_path: Path) -> None:
    torch.save(other(encoder), tmp_path / "other.pth")
    with raises(StylekitError, tmp_path / "other.pth", "tensor", "network"):
        encoder(layers=("relu1_2",), weights=tmp_path / "other.pth")


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    torch.save({**drawn(VGG19, 5), "features.2.bias": torch.zeros(32)}, tmp_path / "narrow.pth")
    with raises(StylekitError, "'features.2.bias'", tmp_path / "narrow.pth", (32,), (64,)):
        VGG19(layers=("relu1_2",), weights=tmp_path / "narrow.pth")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save(drawn(VGG19, 5), path)
    path.write_bytes(path.read_bytes()[:5000])
    with raises(StylekitError, path, "truncated"):
        VGG19(layers=("relu1_2",), weights=path)


def test_other_content_with_a_published_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    torch.save(drawn(VGG19, 5), path)
    with raises(StylekitError, path, "published", f"{path.stat().st_size:,}", "574,673,361"):
        VGG19(layers=("relu1_2",), weights=path)


@pytest.mark.parametrize("layers", [(), ("relu3_4",), ("conv1_1",)])
def test_unknown_layers_are_refused(layers: tuple[str, ...]) -> None:
    with raises(StylekitError, "'vgg16'", f"'{layers[0]}'" if layers else "layer", "relu1_1", "relu5_3"):
        VGG16(layers=layers, weights="random")


def test_the_test_kit_skips_an_encoder_without_weights() -> None:
    findings = list(examine(Subject("encoder", "vgg19", VGG19)))
    assert not [finding for finding in findings if finding.fault]
    skipped: list[Any] = [finding.told for finding in findings if not finding.tried]
    assert len(skipped) == 1
    assert_mentions(skipped[0], "stylekit weights fetch vgg19")
