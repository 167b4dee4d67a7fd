"""Pruned models: ordinary model files of the same method, with narrower generators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import Method, StylekitError, make
from stylekit.cli import program
from stylekit.inference import model_files
from stylekit.inference.pruning import prune
from stylekit.training.setup import init_from_model
from stylekit.weights.tensors import read_tensors, write_tensors
from tests.facts import raises

NETWORK = {"name": "resnet", "blocks": 1, "width": 8}
IMAGE = torch.rand(1, 3, 33, 40, generator=torch.Generator().manual_seed(0))


def saved(method: Method, name: str, folder: Path) -> Path:
    model_files.save_model(method, name, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.fixture
def cyclegan(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return saved(make("method", "cyclegan", generator=NETWORK), "cyclegan", tmp_path)


def test_a_model_that_keeps_everything_is_the_same(cyclegan: Path, tmp_path: Path) -> None:
    assert prune(cyclegan, tmp_path / "same.safetensors", 1.0) == NETWORK
    one, other = (stylekit.load(path, "cpu") for path in (cyclegan, tmp_path / "same.safetensors"))
    for direction in ("a-to-b", "b-to-a"):
        assert torch.equal(one.stylize(IMAGE, direction=direction), other.stylize(IMAGE, direction=direction))


def test_a_pruned_model_is_a_model_of_its_method_with_other_options(cyclegan: Path, tmp_path: Path) -> None:
    out = tmp_path / "light.safetensors"
    assert prune(cyclegan, out, 0.5) == {**NETWORK, "width": 4}
    light = stylekit.load(out, "cpu")
    assert light.name == "cyclegan"
    assert light.method.arguments["generator"] == {**NETWORK, "width": 4}
    expected: Any = make("method", "cyclegan", generator={**NETWORK, "width": 4})
    tensors, _ = read_tensors(out)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        f"{part}.{name}": tensor.shape
        for part in ("generator_ab", "generator_ba")
        for name, tensor in getattr(expected, part).state_dict().items()
    }
    full = stylekit.load(cyclegan, "cpu").stylize(IMAGE)
    assert light.stylize(IMAGE).shape == full.shape
    assert not torch.equal(light.stylize(IMAGE), full)


def test_options_of_a_generator_that_was_given_by_its_name_only_are_written(tmp_path: Path) -> None:
    student = saved(make("method", "student", generator={"name": "unet", "downs": 5}), "student", tmp_path)
    prune(student, tmp_path / "light.safetensors", 0.125)
    assert stylekit.load(tmp_path / "light.safetensors", "cpu").method.arguments["generator"] == {
        "name": "unet",
        "downs": 5,
        "width": 8,
    }


def test_training_starts_with_the_pruned_generator_and_so_does_a_student(cyclegan: Path, tmp_path: Path) -> None:
    out = tmp_path / "light.safetensors"
    prune(cyclegan, out, 0.5)
    tensors, _ = read_tensors(out)
    for name, part in (("cyclegan", "generator_ab"), ("student", "generator")):
        method = make("method", name, generator={**NETWORK, "width": 4})
        init_from_model(method, out)
        state = method.state_dict()
        assert torch.equal(state[f"{part}.model.4.weight"], tensors["generator_ab.model.4.weight"]), name


def test_one_direction_is_enough(cyclegan: Path, tmp_path: Path) -> None:
    tensors, header = read_tensors(cyclegan)
    half = {name: tensor for name, tensor in tensors.items() if name.startswith("generator_ab.")}
    write_tensors(tmp_path / "half.safetensors", half, header)
    prune(tmp_path / "half.safetensors", tmp_path / "light.safetensors", 0.5)
    light = stylekit.load(tmp_path / "light.safetensors", "cpu")
    assert light.stylize(IMAGE).shape == IMAGE.shape
    with raises(StylekitError, "no weights for 'generator_ba'"):
        light.stylize(IMAGE, direction="b-to-a")


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_the_share_must_be_one(cyclegan: Path, tmp_path: Path, keep: float) -> None:
    with raises(StylekitError, f"above 0 and at most 1, not {keep:g}"):
        prune(cyclegan, tmp_path / "light.safetensors", keep)
    assert not (tmp_path / "light.safetensors").exists()


def test_models_without_a_generator_that_can_be_narrowed_are_refused(tmp_path: Path) -> None:
    with raises(StylekitError, "gatys cannot be pruned", "narrowed(keep)", "resnet or unet"):
        prune("gatys", tmp_path / "light.safetensors", 0.5)


def test_the_name_must_be_that_of_a_model_file(cyclegan: Path, tmp_path: Path) -> None:
    with raises(StylekitError, "must end in .safetensors", "light.pth"):
        prune(cyclegan, tmp_path / "light.pth", 0.5)


def test_the_command_says_what_changed(cyclegan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "light.safetensors"
    program()(["prune", str(cyclegan), "-o", str(out), "--keep", "0.25"], standalone_mode=False)
    printed = """--set 'generator={"name": "resnet", "blocks": 1, "width": 2}'"""
    assert capsys.readouterr().err == f"{out}: {printed}\n"
    assert stylekit.load(out, "cpu").stylize(IMAGE).shape == IMAGE.shape
