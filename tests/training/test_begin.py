"""Training that begins with a finished model's weights: the setting ``init``."""

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
from stylekit.inference import model, model_files
from stylekit.registry import lookup
from stylekit.training.checkpoint import saved_steps as checkpoint_steps
from stylekit.training.settings import validate_settings
from stylekit.training.setup import build_method
from stylekit.weights.tensors import read_tensors

TINY: dict[str, Any] = {"preset": "tiny", "size": 32, "steps": 1, "workers": 0, "data": "textures"}
CYCLEGAN: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
STILL: dict[str, Any] = {"lr": 0.0, "ema": None}
"""Training that changes no weight, so that a run ends with those that it began with."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``descent`` with weights that no other seed draws. Nobody writes there."""
    return stylekit.train("descent", out=tmp_path_factory.mktemp("finished") / "run", seed=7, **TINY)


def held(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "model.safetensors")[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def recorded(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((run / "run.json").read_text())["settings"]
    return settings


def drawn_anew(**settings: Any) -> Method:
    """The method of the finished run as training builds it, with other weights."""
    torch.manual_seed(0)
    return build_method(validate_settings({"plugin": "descent", "preset": "tiny", **settings}))[1]


def weights(method: Method) -> dict[str, Tensor]:
    return dict(method.state_dict())


def test_a_run_begins_with_the_weights_of_another_and_says_so(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.parent)
    run = stylekit.train("descent", out=tmp_path / "run", init=finished.name, set=STILL, **TINY)
    assert same(held(run), held(finished))
    assert recorded(run)["init"] == str(finished)
    assert recorded(finished)["init"] is None


def test_a_model_is_named_by_its_run_file_or_checkpoint_or_as_a_shipped_one(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "shipping.py").write_text(
        "from functools import partial\nfrom stylekit import hookimpl, load\n\n@hookimpl\ndef stylekit_models():\n"
        f"    return {{'sample-shipped': partial(load, {str(finished)!r})}}\n"
    )
    lookup.add_file(tmp_path / "shipping.py")
    assert not same(weights(drawn_anew()), held(finished))
    for source in (finished, finished / "model.safetensors", "sample-shipped"):
        method = drawn_anew()
        model.init_from_model(method, str(source))
        assert same(weights(method), held(finished)), source
    checkpoint = finished / "checkpoints" / "1"  # which holds the weights themselves; the model has their average
    method = drawn_anew()
    model.init_from_model(method, checkpoint)
    assert same(weights(method), read_tensors(checkpoint / "method.safetensors")[0])


def test_what_a_model_does_not_ship_stays_as_it_was_drawn(tmp_path: Path) -> None:
    """A model file of CycleGAN has no discriminators."""
    first, second = (drawn_anew(plugin="cyclegan", preset=None, set=CYCLEGAN) for _ in range(2))
    for tensor in first.state_dict().values():
        tensor += 1
    drawn = {name: tensor.clone() for name, tensor in second.state_dict().items()}
    model_files.save_model(first, "cyclegan", tmp_path / "first.safetensors")
    model.init_from_model(second, tmp_path / "first.safetensors")
    for name, tensor in second.state_dict().items():
        learnt = name.split(".")[0] in first.inference_modules
        assert torch.equal(tensor, drawn[name] + 1 if learnt else drawn[name]), name


class Tower(Method):
    """A scale of its own, and so many layers."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(3))
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(layers)))


@pytest.fixture
def tower(tmp_path: Path) -> Path:
    """A model file of a method that no plugin offers, with two layers."""
    torch.manual_seed(1)
    model_files.save_model(Tower(2), "tower", tmp_path / "tower.safetensors")
    return tmp_path / "tower.safetensors"


def test_a_method_built_by_hand_begins_with_its_own_model(tower: Path) -> None:
    method = Tower(2)
    model.init_from_model(method, tower)
    assert same(weights(method), read_tensors(tower)[0])


@pytest.mark.parametrize(
    ("layers", "told"), [(1, r"holds the tensor 'layers\.1\.\w+', which"), (3, r"lacks the tensor 'layers\.2\.\w+'")]
)
def test_unknown_and_missing_tensors_are_told(tower: Path, layers: int, told: str) -> None:
    method = Tower(layers)
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with pytest.raises(StylekitError, match=f"cannot begin with --init {tower}: {tower} {told}"):
        model.init_from_model(method, tower)
    assert same(weights(method), before)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"set": {"widths": [8, 4, 8]}}, r"The tensor 'updater\.\S+' in \S+ is \(.*\), and the method as it is set up"),
        ({"plugin": "adain", "preset": "tiny"}, "is a model of Descent, and AdaIN is to be trained"),
        ({"init": "nowhere"}, "There is no model nowhere"),
        ({"init": "gatys"}, "gatys is a model of Gatys, and Descent is to be trained"),
        ({"init": "cyclegan"}, "The method 'cyclegan' has to be trained first"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_model_that_does_not_fit_is_one_error(
    finished: Path, tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    given = {"plugin": "descent", "init": str(finished), "out": tmp_path / "run", **TINY, **settings}
    source = given["init"]
    with pytest.raises(StylekitError, match=told) as error:
        stylekit.train(given.pop("plugin"), **given)
    assert str(error.value).startswith(f"The training cannot begin with --init {source}: ")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_own_weights(finished: Path, tmp_path: Path) -> None:
    source = shutil.copytree(finished, tmp_path / "source")
    settings = {**TINY, "set": {"lr": 0.1, "ema": None}}
    run = stylekit.train("descent", out=tmp_path / "run", init=str(source), **settings)
    first = held(run)
    assert not same(first, held(finished))
    shutil.rmtree(source)  # it is not looked for again
    with pytest.raises(StylekitError, match="was started with other settings: init was"):
        stylekit.train(resume=True, out=run, steps=2, init="another")
    stylekit.train(resume=True, out=run, steps=2)
    assert recorded(run)["init"] == str(source)
    moved = max(float((held(run)[name] - tensor).abs().max()) for name, tensor in first.items())
    assert 0 < moved < 0.15  # Adam's steps are about as long as its lr: one more was made from where the first one led
    for name, tensor in held(run).items():
        assert float((tensor - held(finished)[name]).abs().max()) < 0.25, name


def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_again(finished: Path, tmp_path: Path) -> None:
    run = stylekit.train("descent", out=tmp_path / "run", init=str(finished), set=STILL, **TINY)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    stylekit.train(resume=True, out=run)
    assert checkpoint_steps(run / "checkpoints") == [1]
    assert same(held(run), held(finished))


def test_relative_paths_are_those_of_where_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "model.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("small", "./small", "~/small", "small/model.safetensors"):
        expected = tmp_path / given.removeprefix("~/").removeprefix("./")
        assert validate_settings({"plugin": "descent", "init": given}).init == str(expected)
    assert (
        validate_settings({"plugin": "descent", "init": "stylekit-small"}).init == "stylekit-small"
    )  # a name, as nothing is there
