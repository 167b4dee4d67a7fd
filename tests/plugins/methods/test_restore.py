"""restore: its presets train, resume exactly, learn, and enlarge by the scale of their degradation."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import stylekit
from stylekit import StylekitError, images, make, testing
from stylekit.training.common_options import extra_terms
from stylekit.training.rehearsal import rehearse
from stylekit.training.runs import Run
from stylekit.training.setup import prepare
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.methods.restore import TASKS, Restore, RestoreGAN
from tests.facts import raises
from tests.training.signals import stopper

SCALES = {"x2": 2, "x4": 4}
SMALL: dict[str, Any] = {"name": "srvgg", "width": 4, "convs": 1}
JUDGE: dict[str, Any] = {"name": "patch", "layers": 1, "width": 4}


def batch(count: int = 2, side: int = 32) -> dict[str, Tensor]:
    return {"content": torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    scenes = make("dataset", "scenes", size=48)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        images.write(tmp_path / f"photos/{number}.png", scenes[number]["content"])
    return tmp_path / "photos"


def settings(photos: Path, preset: str, steps: int = 20) -> dict[str, Any]:
    own = {"plugin": "restore", "preset": preset, "content": photos, "steps": steps}
    return {**own, "size": 32, "batch_size": 2, "workers": 0, "sample_every": 20, "device": "cpu", "log": []}


@pytest.mark.parametrize("task", TASKS)
def test_every_preset_trains_from_a_folder_of_clean_pictures(task: str, photos: Path, tmp_path: Path) -> None:
    run = stylekit.train(out=tmp_path / "run", **settings(photos, f"{task}-tiny"))
    assert len(Run(run).metrics()) == 20
    model = stylekit.load(run, "cpu")
    image = torch.rand(1, 3, 9, 14)
    scale = SCALES.get(task, 1)
    out = model.stylize(image)
    assert out.shape == (1, 3, 9 * scale, 14 * scale)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["denoise-tiny", "x2-tiny"])
def test_a_run_resumes_exactly(preset: str, photos: Path, tmp_path: Path) -> None:
    given = settings(photos, preset, 8)
    whole = stylekit.train(out=tmp_path / "whole", **given)
    parted = stylekit.train(out=tmp_path / "parted", **{**given, "log": [stopper(tmp_path, 3, signal.SIGINT)]})
    assert len(Run(parted).metrics()) < 8
    stylekit.train(out=parted, resume=True, log=[])
    weights = [read_tensors(run / "model.safetensors")[0] for run in (whole, parted)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_it_learns_to_undo_a_degradation(photos: Path, tmp_path: Path) -> None:
    """Noise is removed: after some steps, the error is well below that of the noisy picture."""
    given = {**settings(photos, "denoise-tiny", 150), "set": {"degradation": "gaussian-noise", "ema": None, "lr": 5e-3}}
    model = stylekit.load(stylekit.train(out=tmp_path / "run", **given), "cpu")
    clean = make("dataset", "scenes", size=64, split="test")[0]["content"][None]
    torch.manual_seed(0)
    noisy = make("degradation", "gaussian-noise")(clean)
    before, after = ((image - clean).square().mean() for image in (noisy, model.stylize(noisy)))
    assert float(after) < 0.6 * float(before)


def test_the_network_gets_the_scale_of_all_degradations() -> None:
    parts = ("blur", {"name": "downscale", "scale": 3}, "jpeg")
    method = Restore(parts, SMALL)
    assert method.scale == method.generator.scale == 3
    made = method(batch(side=33))
    assert made.shape == (2, 3, 33, 33)
    assert list(method.outputs(batch(side=33), made)) == ["generator"]
    assert {name: image.shape[2:] for name, image in method.preview(batch(side=33)).items()} == dict.fromkeys(
        ("degraded", "restored", "clean"), (33, 33)
    )


def test_the_degraded_picture_is_compared_with_the_clean_one() -> None:
    """With a network that changes nothing, the loss is that of the degradation."""
    method = Restore("grey", SMALL, loss="l2")
    for each in (method.generator.body[-1].weight, method.generator.body[-1].bias):
        torch.nn.init.zeros_(each)
    clean = batch()["content"].double()
    luma = (clean * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    loss = rehearse(method, batch())["restore"]["pixels"]
    assert loss == pytest.approx(float((luma - clean).square().mean()), rel=0.01)


def test_a_hole_is_erased_and_filled_and_all_else_stays() -> None:
    seen: list[Tensor] = []

    class Black(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image)
            return torch.zeros_like(image)

    method = Restore("mask", Black)
    image, hole = torch.rand(2, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    hole[..., 2:5, 3:7] = 1
    filled = method.stylize(image, hole=hole)
    expected, erased = image.clone(), image.clone()
    expected[..., 2:5, 3:7], erased[..., 2:5, 3:7] = 0, 1
    assert torch.equal(filled, expected)
    assert torch.equal(seen[0], erased)


def test_real_esrgan_has_the_weights_of_the_paper() -> None:
    """Wang et al. 2021, section 4.1: L1, perceptual and GAN losses with the weights 1, 1 and 0.1."""
    small = {
        "generator": {"name": "rrdb", "blocks": 1, "width": 4, "growth": 2},
        "discriminator": {"name": "unet", "width": 4},
    }
    options = {**RestoreGAN.presets["real-esrgan"], **small}
    extra = options.pop("extra")
    method = RestoreGAN(**options)
    prepare(method, {"extra": extra})
    assert method.scale == 4
    images = {"content": torch.rand(1, 3, 64, 64)}
    made = method.eval()(images)  # in training, each call changes the norms of the weights
    assert made.shape == images["content"].shape
    torch.testing.assert_close(method.restore(images, made)["pixels"], (made - images["content"]).abs().mean())
    plain = method.adversary.generate(made, images["content"])
    torch.testing.assert_close(method.convince(images, made)["adversarial"], 0.1 * plain)
    (term,) = extra_terms(method, "generator", images, made).values()
    expected = make("loss", "perceptual")(made, images["content"])
    torch.testing.assert_close(term, expected)


def test_a_hole_of_the_same_proportions_is_resized() -> None:
    """Such as that of a picture before it was reduced, or enlarged by the model before."""
    method = Restore("mask", lambda: torch.nn.Conv2d(3, 3, 1))
    image, hole = torch.rand(1, 3, 10, 15), torch.zeros(1, 3, 20, 30)
    hole[..., 8:12, 10:20] = 1
    smaller = torch.zeros(1, 3, 10, 15)
    smaller[..., 4:6, 5:10] = 1
    assert torch.equal(method.stylize(image, hole=hole), method.stylize(image, hole=smaller))


def test_a_hole_that_does_not_fit_is_refused() -> None:
    with raises(StylekitError, "hole", "8x4", "8x8"):
        Restore("mask", torch.nn.Identity).stylize(torch.rand(1, 3, 8, 8), hole=torch.zeros(1, 3, 4, 8))
    with raises(StylekitError, "'hole'", "without", "'mask'", "--preset inpaint"):
        Restore("gaussian-noise", SMALL).stylize(torch.rand(1, 3, 8, 8), hole=torch.zeros(1, 3, 8, 8))
    with raises(StylekitError, "hole", "keeps the size", "2"):
        Restore({"name": "downscale", "scale": 2}, SMALL).stylize(torch.rand(1, 3, 8, 8), hole=torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("scale", [1, 2])
def test_the_network_sees_a_mirrored_margin(scale: int) -> None:
    degradation = {"name": "downscale", "scale": 2} if scale == 2 else "gaussian-noise"
    method = Restore(degradation, SMALL, margin=3).eval()
    image, cut = torch.rand(1, 3, 6, 5), 3 * scale
    wide = method.generator(F.pad(image, (3, 3, 3, 3), mode="reflect"))
    assert torch.equal(method.stylize(image), wide[..., cut:-cut, cut:-cut])
    assert method.stylize(image).shape == (1, 3, 6 * scale, 5 * scale)


def test_a_side_that_the_scale_does_not_divide_is_named() -> None:
    method = Restore({"name": "downscale", "scale": 3}, SMALL)
    with raises(StylekitError, "32x32", "scale 3", "--size 30"):
        method(batch())


def test_a_network_of_another_scale_is_refused() -> None:
    with raises(StylekitError, "divides the sides by 2", "multiplies them by 4", "'scale'"):
        Restore("downscale", {**SMALL, "scale": 4})
    with raises(StylekitError, "'resnet'", "'scale'"):
        Restore("downscale", "resnet")


def test_further_losses_compare_with_the_clean_picture(photos: Path, tmp_path: Path) -> None:
    given = {**settings(photos, "x2-tiny", 2), "set": {"extra": ["edges"]}}
    run = stylekit.train(out=tmp_path / "run", **given)
    assert "extra/edges" in Run(run).metrics()[0]


def test_with_a_discriminator_both_players_learn() -> None:
    method = RestoreGAN("downscale", SMALL, discriminator=JUDGE)
    losses = rehearse(method, batch())
    assert {turn: set(terms) for turn, terms in losses.items()} == {
        "discriminate": {"adversarial"}, "restore": {"pixels"}, "convince": {"adversarial"}
    }  # fmt: skip


@pytest.mark.slow
def test_conformance() -> None:
    testing.check("method", partial(Restore, **Restore.presets["x2-tiny"]))
    testing.check("method", partial(RestoreGAN, generator=SMALL, discriminator=JUDGE))
