"""colorstyle: one generator colours pictures, and stylises them if a style is given."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stylekit
from stylekit import StylekitError, images, make, testing
from stylekit.images.color import to_lab
from stylekit.inference.model import Model
from stylekit.losses import StyleLoss
from stylekit.training.rehearsal import rehearse
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.methods.colors.colorstyle import RANGE, ColorStyle
from tests.facts import raises
from tests.training.signals import stopper

TINY: dict[str, Any] = {"width": 4, "code": 8, "encoder": {"name": "random", "width": 8, "scales": 3}}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def batch(count: int = 2, side: int = 32) -> dict[str, Tensor]:
    return {"content": noise(count, 3, side, side), "style": noise(count, 3, side, side, seed=1)}


def vivid() -> Model:
    """An untrained model whose colours and changes of the lightness are far from 0."""
    torch.manual_seed(0)
    method = ColorStyle(**TINY)
    with torch.no_grad():
        method.generator.last[-1].weight.mul_(20)
        method.generator.change[-1].weight.mul_(20)
        method.describer.last.weight.mul_(10)
    return Model(method, "colorstyle")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    scenes = make("dataset", "scenes", size=48)
    made = {side: tmp_path / side for side in ("content", "style")}
    for side, folder in made.items():
        folder.mkdir()
        for number in range(3):
            images.write(folder / f"{number}.png", scenes[number][side])
    return made


def settings(folders: dict[str, Path], steps: int) -> dict[str, Any]:
    own = {"plugin": "colorstyle", "preset": "tiny", **folders, "steps": steps}
    return {**own, "size": 32, "batch_size": 2, "workers": 0, "sample_every": 20, "device": "cpu", "log": []}


@pytest.mark.slow
def test_a_run_resumes_exactly_and_stylises_with_and_without_a_style(folders: dict[str, Path], tmp_path: Path) -> None:
    given = settings(folders, 6)
    whole = stylekit.train(out=tmp_path / "whole", **given)
    parted = stylekit.train(out=tmp_path / "parted", **{**given, "log": [stopper(tmp_path, 3, signal.SIGINT)]})
    assert len(Run(parted).metrics()) < 6
    stylekit.train(out=parted, resume=True, log=[])
    weights = [read_tensors(run / "model.safetensors")[0] for run in (whole, parted)]
    assert weights[0].keys() == weights[1].keys()
    assert not any(name.startswith("encoder.") for name in weights[0])
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    model, content = stylekit.load(whole, "cpu"), noise(1, 3, 40, 40)
    assert model.learned_styles() == ["none"]
    assert torch.equal(model.stylize(content), model.stylize(content, "none"))
    assert not torch.equal(model.stylize(content), model.stylize(content, folders["style"] / "0.png"))


@pytest.mark.parametrize("size", [(40, 57), (3, 90)])
def test_without_a_style_the_lightness_is_kept(size: tuple[int, int]) -> None:
    content = noise(1, 3, *size)
    out = vivid().stylize(content)
    assert float(to_lab(out)[:, 1:].abs().max()) > 5
    assert float((to_lab(out)[:, 0] - to_lab(content)[:, 0]).abs().max()) < 0.1


def test_a_style_changes_the_lightness_within_its_range() -> None:
    content, model = noise(1, 3, 40, 40) * 0.2 + 0.4, vivid()
    styles = [noise(1, 3, 24, 24, seed=seed) * torch.tensor([1.0, seed / 9, 0.2])[:, None, None] for seed in (3, 8)]
    light = [to_lab(model.stylize(content, style))[:, 0] for style in styles]
    changes = [float((each - to_lab(content)[:, 0]).abs().max()) for each in light]
    assert 1 < min(changes) <= max(changes) <= RANGE[0] + 0.1
    assert not torch.equal(*light)


def test_a_strength_lies_between_only_colours_and_the_style() -> None:
    content, style, model = noise(1, 3, 40, 40) * 0.2 + 0.4, noise(1, 3, 20, 20, seed=1), vivid()
    torch.testing.assert_close(model.stylize(content, style, strength=0), model.stylize(content), rtol=0, atol=1e-4)
    plain, full = model.stylize(content), model.stylize(content, style)
    half = model.stylize(content, style, strength=0.5)
    assert float((half - plain).abs().mean()) > 0
    assert float((half - full).abs().mean()) > 0
    blended = model.stylize(content, [("none", 1.0), (style, 1.0)])
    torch.testing.assert_close(blended, half, rtol=0, atol=1e-4)


def test_colours_are_learned_without_a_style_and_looks_with_one() -> None:
    method = ColorStyle(**TINY)
    method.prepare()
    assert set(rehearse(method, batch())["paint"]) == {"colors", "content", "style", "moments"}
    method = ColorStyle(**TINY, content=0.0, style=0.0, moments=0.0)
    method.prepare()
    made = method(batch())
    loss = method.paint(batch(), made)
    assert [loss[name].item() for name in ("content", "style", "moments")] == [0, 0, 0]
    sum(loss.values()).backward()
    assert float(method.describer.get_parameter("none").grad.abs().max()) > 0


def test_the_terms_are_those_of_the_losses() -> None:
    """The moments and the Gram matrices of the stylised picture beside those of the style, in NumPy."""
    torch.manual_seed(0)
    method = ColorStyle(**TINY, style=2.0, moments=3.0)
    method.prepare()
    given = batch(1)
    made = method(given)
    loss = method.paint(given, made)
    styled, style = (each.detach().double().numpy()[0].reshape(3, -1) for each in (made["styled"], given["style"]))
    differences = [
        (styled.mean(1) - style.mean(1)) ** 2,
        (np.sqrt(styled.var(1) + 1e-5) - np.sqrt(style.var(1) + 1e-5)) ** 2,
    ]
    assert loss["moments"].item() == pytest.approx(3 * sum(each.mean() for each in differences), rel=1e-3)
    features = [method.encoder(each) for each in (made["styled"], given["style"])]
    total = 0.0
    for layer in features[0]:
        maps = [each[layer].detach().double().numpy()[0] for each in features]
        grams = [each.reshape(len(each), -1) @ each.reshape(len(each), -1).T / each.size for each in maps]
        total += ((grams[0] - grams[1]) ** 2).sum() / (grams[1] ** 2).sum()
    assert loss["style"].item() == pytest.approx(2 * total / len(features[0]), rel=1e-3)  # the mean of the layers


@pytest.mark.slow
def test_it_learns_both() -> None:
    """Two pictures and a style: after some steps, the colours are nearer to the truth, and the look to the style."""
    torch.manual_seed(0)
    method = ColorStyle(**{**TINY, "width": 8}, lr=1e-2)
    method.prepare()
    scenes = make("dataset", "scenes", size=32)
    given = {key: torch.stack([scenes[number][key] for number in range(2)]) for key in ("content", "style")}

    def errors() -> tuple[float, float]:
        model = Model(method, "colorstyle")
        colours = to_lab(model.stylize(given["content"])) - to_lab(given["content"])
        styled = model.stylize(given["content"], given["style"][:1])
        target = StyleLoss().target(method.encoder(given["style"][:1]))
        return float(colours[:, 1:].square().mean()), float(StyleLoss()(method.encoder(styled), target).mean())

    before = errors()
    method.train()
    optimizer = torch.optim.Adam([*method.generator.parameters(), *method.describer.parameters()], method.lr)
    for _ in range(100):
        optimizer.zero_grad()
        sum(method.paint(given, method(given)).values()).backward()
        optimizer.step()
    after = errors()
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.4 * before[1]


def test_bad_options_are_refused() -> None:
    for options in ({"rebalance": 0.0}, {"code": 0}, {"width": 0}):
        with raises(StylekitError, *options, *map(str, options.values())):
            ColorStyle(**{**TINY, **options})


def test_the_default_networks_are_small() -> None:
    method = ColorStyle()
    assert sum(each.numel() for each in method.parameters()) <= 240_000


@pytest.mark.slow
def test_conformance() -> None:
    testing.check("method", partial(ColorStyle, **TINY))
