"""The setting ``init``: training that starts with the weights of a finished model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Method, StylekitError
from stylekit.inference import model_files
from stylekit.registry import lookup
from stylekit.training.checkpoint import saved_steps as checkpoint_steps
from stylekit.training.settings import validate_settings
from stylekit.training.setup import build_method, init_from_model
from stylekit.weights.tensors import read_tensors
from tests.facts import raises

TINY: dict[str, Any] = {"preset": "tiny", "size": 32, "steps": 1, "workers": 0, "data": "textures"}
CYCLEGAN: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
FROZEN: dict[str, Any] = {"lr": 0.0, "ema": None}
"""Training that changes no weight, so that a run ends with its initial weights."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``any-style`` with a seed of its own. No test writes there."""
    return stylekit.train("any-style", out=tmp_path_factory.mktemp("finished") / "run", seed=7, **TINY)


def model_weights(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "model.safetensors")[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def settings_of(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((run / "run.json").read_text())["settings"]
    return settings


def random_method(**settings: Any) -> Method:
    """The method of the finished run as training builds it, with other random weights."""
    torch.manual_seed(0)
    return build_method(validate_settings({"plugin": "any-style", "preset": "tiny", **settings}))[1]


def weights(method: Method) -> dict[str, Tensor]:
    return dict(method.state_dict())


@pytest.mark.slow
def test_a_run_starts_with_the_weights_of_another_and_records_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.parent)
    run = stylekit.train("any-style", out=tmp_path / "run", init=finished.name, set=FROZEN, **TINY)
    assert same(model_weights(run), model_weights(finished))
    assert settings_of(run)["init"] == str(finished)
    assert settings_of(finished)["init"] is None


def test_init_accepts_a_run_a_file_a_checkpoint_and_a_shipped_model(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "shipping.py").write_text(
        "from functools import partial\nfrom stylekit import hookimpl, load\n\n@hookimpl\ndef stylekit_models():\n"
        f"    return {{'sample-shipped': partial(load, {str(finished)!r})}}\n"
    )
    lookup.add_file(tmp_path / "shipping.py")
    assert not same(weights(random_method()), model_weights(finished))
    for source in (finished, finished / "model.safetensors", "sample-shipped"):
        method = random_method()
        init_from_model(method, str(source))
        assert same(weights(method), model_weights(finished)), source
    checkpoint = finished / "checkpoints" / "1"  # with the weights themselves; the model has their average
    method = random_method()
    init_from_model(method, checkpoint)
    painter = {
        key: value for key, value in read_tensors(checkpoint / "method.safetensors")[0].items() if "encoder" not in key
    }
    assert same(weights(method), painter)


def test_weights_that_a_model_file_lacks_stay_random(tmp_path: Path) -> None:
    """A model file of CycleGAN has no discriminators."""
    first, second = (random_method(plugin="cyclegan", preset=None, set=CYCLEGAN) for _ in range(2))
    for tensor in first.state_dict().values():
        tensor += 1
    drawn = {name: tensor.clone() for name, tensor in second.state_dict().items()}
    model_files.save_model(first, "cyclegan", tmp_path / "first.safetensors")
    init_from_model(second, tmp_path / "first.safetensors")
    for name, tensor in second.state_dict().items():
        loaded = name.split(".")[0] in first.inference_modules
        assert torch.equal(tensor, drawn[name] + 1 if loaded else drawn[name]), name


class Tower(Method):
    """A parameter of its own, and a number of layers."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(3))
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(layers)))


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A model file of a method that no plugin offers, with two layers."""
    torch.manual_seed(1)
    model_files.save_model(Tower(2), "tower", tmp_path / "tower.safetensors")
    return tmp_path / "tower.safetensors"


def test_a_method_built_by_hand_starts_with_its_own_model(tower: Path) -> None:
    method = Tower(2)
    init_from_model(method, tower)
    assert same(weights(method), read_tensors(tower)[0])


@pytest.mark.parametrize(
    ("layers", "facts"), [(1, ["contains the tensor 'layers.1."]), (3, ["lacks the tensor 'layers.2."])]
)
def test_unknown_and_missing_tensors_are_reported(tower: Path, layers: int, facts: list[str]) -> None:
    method = Tower(layers)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with raises(StylekitError, f"--init {tower}", *facts):
        init_from_model(method, tower)
    assert same(weights(method), before)


@pytest.fixture
def restoring(tmp_path: Path) -> Path:
    """A model file of pix2pix, with the generator of the CycleGAN above."""
    torch.manual_seed(1)
    method = random_method(plugin="pix2pix", preset=None, set=CYCLEGAN)
    model_files.save_model(method, "pix2pix", tmp_path / "restoring.safetensors")
    return tmp_path / "restoring.safetensors"


def test_both_generators_start_with_that_of_another_method(restoring: Path) -> None:
    method = random_method(plugin="cyclegan", preset=None, set=CYCLEGAN)
    drawn = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    init_from_model(method, restoring)
    given = {name.removeprefix("generator."): tensor for name, tensor in read_tensors(restoring)[0].items()}
    assert len(given) > 5
    for name, tensor in method.state_dict().items():
        part, _, rest = name.partition(".")
        assert torch.equal(tensor, given[rest] if part in ("generator_ab", "generator_ba") else drawn[name]), name


def test_a_generator_of_another_shape_is_refused_whole(restoring: Path) -> None:
    wider = {**CYCLEGAN, "generator": {**CYCLEGAN["generator"], "width": 8}}
    method = random_method(plugin="cyclegan", preset=None, set=wider)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with raises(StylekitError, f"--init {restoring}", "'model.1.weight'", "(4, 3, 7, 7)", "(8, 3, 7, 7)"):
        init_from_model(method, restoring)
    assert same(weights(method), before)


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"set": {"width": 8}}, ["tensor 'painter."]),
        ({"plugin": "adain", "preset": "tiny"}, ["AnyStyle", "AdaIN"]),
        ({"init": "nowhere"}, ["model nowhere"]),
        ({"init": "gatys"}, ["Gatys", "AnyStyle"]),
        ({"init": "cyclegan"}, ["method 'cyclegan'", "stylekit train --plugin cyclegan"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_model_that_does_not_fit_is_one_error(
    finished: Path, tmp_path: Path, settings: dict[str, Any], facts: list[str]
) -> None:
    given = {"plugin": "any-style", "init": str(finished), "out": tmp_path / "run", **TINY, **settings}
    with raises(StylekitError, f"--init {given['init']}", *facts) as caught:
        stylekit.train(given.pop("plugin"), **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_resumed_run_keeps_its_own_weights(finished: Path, tmp_path: Path) -> None:
    source = shutil.copytree(finished, tmp_path / "source")
    settings = {**TINY, "set": {"lr": 0.1, "ema": None}}
    run = stylekit.train("any-style", out=tmp_path / "run", init=str(source), **settings)
    first = model_weights(run)
    assert not same(first, model_weights(finished))
    shutil.rmtree(source)  # it is not read again
    with raises(StylekitError, f"init was '{source}', now 'another'"):
        stylekit.train(resume=True, out=run, steps=2, init="another")
    stylekit.train(resume=True, out=run, steps=2)
    assert settings_of(run)["init"] == str(source)
    moved = max(float((model_weights(run)[name] - tensor).abs().max()) for name, tensor in first.items())
    assert 0 < moved < 0.15  # Adam's steps are about as long as its lr: one more step from the result of the first
    for name, tensor in model_weights(run).items():
        assert float((tensor - model_weights(finished)[name]).abs().max()) < 0.25, name


@pytest.mark.slow
def test_a_run_without_a_checkpoint_starts_with_init_again(finished: Path, tmp_path: Path) -> None:
    run = stylekit.train("any-style", out=tmp_path / "run", init=str(finished), set=FROZEN, **TINY)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    stylekit.train(resume=True, out=run)
    assert checkpoint_steps(run / "checkpoints") == [1]
    assert same(model_weights(run), model_weights(finished))


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("small", "./small", "~/small", "small/model.safetensors"):
        expected = tmp_path / given.removeprefix("~/").removeprefix("./")
        assert validate_settings({"plugin": "any-style", "init": given}).init == str(expected)
    shipped = validate_settings({"plugin": "any-style", "init": "stylekit-any"})
    assert shipped.init == "stylekit-any"  # a name, as there is no such path
