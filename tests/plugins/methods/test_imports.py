"""Generators of other programs: the same images as their own code makes, for cut and pix2pix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import stylekit
from stylekit.inference.importing import import_model


@pytest.mark.parametrize("method", ["cut", "pix2pix"])
def test_images_are_those_of_the_papers_code(method: str, fixtures: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    import_model([fixtures / method / "latest_net_G.pth"], method, model)
    tensors = load_file(fixtures / method / "expected.safetensors")
    assert tensors["output"].std() > 0.1
    image = stylekit.load(model, "cpu").stylize(tensors["content"])
    torch.testing.assert_close(image, tensors["output"], rtol=0, atol=1e-5)


def test_the_blurred_generator_is_recognised_by_its_weights(fixtures: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    import_model([fixtures / "cut" / "latest_net_G.pth"], "cut", model)
    method = stylekit.load(model, "cpu").method
    assert method.arguments["generator"] == {
        "name": "resnet",
        "blocks": 2,
        "width": 4,
        "norm": "instance",
        "dropout": 0.0,
        "upsample": "transpose",
        "channels": 3,
        "antialias": True,
    }
