"""MicroAST against its authors' code, and the import of their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import stylekit
from stylekit import StylekitError, testing
from stylekit.inference.importing import import_model
from stylekit_plugins.methods.microast import NETWORKS, MicroAST
from tests.facts import raises

State = dict[str, Tensor]


def published(name: str) -> State:
    """A state with the names of the authors' file, drawn as for the expected images."""
    generator = torch.Generator().manual_seed(NETWORKS.index(name) if name in NETWORKS else 0)
    state = MicroAST().get_submodule(name).state_dict()
    return {
        name_in_file(key): torch.randn(tensor.shape, generator=generator)
        * (1.5 / max(1, tensor[0].numel() if tensor.ndim > 1 else 100)) ** 0.5
        for key, tensor in state.items()
    }


def name_in_file(key: str) -> str:
    *path, leaf = key.split(".")
    assert path[-1] == "1"  # a convolution after its padding
    return ".".join([*path[:-1], "conv_layer", leaf])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}_iter_160000.pth.tar" for name in NETWORKS]
    for path, name in zip(paths, NETWORKS, strict=True):
        torch.save(published(name), path)
    return paths


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_images_are_those_of_the_authors_code(files: list[Path], strength: float, fixtures: Path) -> None:
    model = files[0].parent / "microast.safetensors"
    import_model(files, "microast", model)
    method = stylekit.load(model, "cpu").method
    generator = torch.Generator().manual_seed(9)
    content, style = (torch.rand(1, 3, *size, generator=generator) for size in ((24, 32), (28, 20)))
    wanted = load_file(fixtures / "microast/expected.safetensors")[f"strength {strength}"]
    with torch.inference_mode():
        image = method.transfer(content, method.describe(style), strength)
    assert wanted.std() > 0.1
    torch.testing.assert_close(image, wanted.clamp(0, 1), rtol=0, atol=2e-5)


def test_the_number_of_parameters_is_that_of_the_authors_files() -> None:
    """157,792 in each encoder, 2,560 in the modulator, 153,843 in the decoder."""
    method = MicroAST()
    counts = [sum(p.numel() for p in method.get_submodule(name).parameters()) for name in NETWORKS]
    assert counts == [157_792, 157_792, 2_560, 153_843]


def test_conformance() -> None:
    testing.check("method", MicroAST)


def test_a_missing_or_wrong_file_is_named(files: list[Path], tmp_path: Path) -> None:
    with raises(StylekitError, "decoder", "decoder_iter_160000.pth.tar"):
        import_model(files[:3], "microast", tmp_path / "m.safetensors")
    torch.save(published("modulator"), files[3])
    with raises(StylekitError, "decoder"):
        import_model(files, "microast", tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 31)])
def test_any_size_keeps_its_shape(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    method, image = MicroAST(), torch.rand(1, 3, *size)
    with torch.inference_mode():
        assert method.transfer(image, method.describe(image)).shape == image.shape
