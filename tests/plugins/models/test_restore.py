"""The restorers that ship are better than the filters that everybody has, and leave alone what is not their task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import stylekit
from stylekit import images, make
from stylekit.datasets import find_images
from stylekit.images import Degradations
from stylekit.inference import Model
from stylekit.inference.exported.model import ExportedModel
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup
from stylekit.seeding import seeded
from stylekit.weights.digests import module_digest
from stylekit_plugins.datasets.scenes import render

NAMES = ("stylekit-restore-denoise", "stylekit-restore-jpeg", "stylekit-restore-x2", "stylekit-restore-x4")
STRENGTHS = {"sigma": 25, "quality": 10}
"""Strengths of the damage, of those that the models have learned."""


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Model:
    return stylekit.load(request.param, device="cpu")


def damage(model: Model) -> Degradations:
    """What the model learned to undo, in one strength."""
    told = model.method.arguments["degradation"]
    return Degradations({**told, **{name: value for name, value in STRENGTHS.items() if name in told}})


def scale(model: Model) -> int:
    return int(model.method.arguments["degradation"].get("scale", 1))


def filtered(model: Model) -> Callable[[Tensor], Tensor]:
    """What the model must beat: bicubic interpolation, or nothing."""

    def enlarge(image: Tensor) -> Tensor:
        picture = images.to_pil(image)
        size = (picture.width * scale(model), picture.height * scale(model))
        return images.to_tensor(picture.resize(size, Image.Resampling.BICUBIC))

    return enlarge if scale(model) > 1 else lambda image: image


def gain(model: Model, clean: Tensor, damaged: Tensor) -> float:
    """The PSNR of the model's picture above the filter's, in dB."""
    psnr = make("metric", "psnr")
    return float(psnr(model.stylize(damaged).clamp(0, 1), clean)) - float(psnr(filtered(model)(damaged), clean))


def test_photographs_gain(model: Model, pictures: Path) -> None:
    gains = []
    for number, path in enumerate(find_images(pictures / "open" / "contents" / "holdout")[:8]):
        clean = images.read_over_white(path)[..., :128, :128]
        with seeded("test", number):
            gains.append(gain(model, clean, damage(model)(clean)))
    assert min(gains) > -0.5  # of smooth skies, bicubic interpolation leaves nothing to gain
    least = {"gaussian-noise": 8.0, "jpeg": 1.0, "downscale": {1: 0.0, 2: 1.5, 4: 0.7}[scale(model)]}
    assert sum(gains) / len(gains) > least[model.method.arguments["degradation"]["name"]]


def test_drawn_scenes_gain(model: Model) -> None:
    for number in range(3):
        clean = render(number, size=128)[None]
        with seeded("test", number):
            assert gain(model, clean, damage(model)(clean)) > 0


def test_flat_colours_stay(model: Model) -> None:
    """But for a few pixels at the border, which the networks see beside zeros."""
    for color in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.2, 0.5, 0.8)):
        flat = torch.tensor(color)[None, :, None, None].expand(1, 3, 48, 40)
        out = model.stylize(flat)
        assert out.shape[2:] == (48 * scale(model), 40 * scale(model))
        assert (out - flat[..., :1, :1])[..., 8:-8, 8:-8].abs().max() < 3 / 255


def test_the_denoiser_leaves_little_more_noise_at_the_border_than_inside() -> None:
    model = stylekit.load("stylekit-restore-denoise", device="cpu")
    with seeded("test"):
        error = model.stylize((0.5 + 25 / 255 * torch.randn(1, 3, 96, 96)).clamp(0, 1)) - 0.5
    border = torch.cat([error[..., 0, :], error[..., -1, :], error[..., 0], error[..., -1]], -1)
    assert border.square().mean().sqrt() < 2 * error[..., 8:-8, 8:-8].square().mean().sqrt()
    assert error.abs().max() < 20 / 255


@pytest.mark.parametrize("name", NAMES)
def test_the_exported_form_makes_the_same_picture(name: str) -> None:
    pytest.importorskip("onnxruntime")
    model, factory = stylekit.load(name, device="cpu"), lookup.find_part("model", name)
    assert isinstance(factory, ModelFile)
    exported, picture = ExportedModel(factory.exported), images.Picture(render(4, size=96)[None, :, :83])
    assert exported.file.card.weights == module_digest(model.method)
    made = exported.stylize_picture(replace(picture, image=picture.image.numpy()), [])
    torch.testing.assert_close(torch.as_tensor(made.image), model.stylize(picture.image), rtol=0, atol=0.5 / 255)


def test_a_clean_picture_is_hardly_changed_by_the_denoiser(pictures: Path) -> None:
    model = stylekit.load("stylekit-restore-denoise", device="cpu")
    clean = images.read_over_white(pictures / "content" / "cornell.jpg")[..., :256, :256]
    assert float(make("metric", "psnr")(model.stylize(clean), clean)) > 35
