"""The nodes for ComfyUI, called with its kinds of tensors, without ComfyUI."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "examples" / "comfyui_stylekit"


@pytest.fixture(scope="module")
def nodes() -> Any:
    spec = importlib.util.spec_from_file_location("comfyui_stylekit", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_node_declares_what_its_function_takes(nodes: Any) -> None:
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for kind in nodes.NODE_CLASS_MAPPINGS.values():
        inputs = kind.INPUT_TYPES()
        declared = [name for group in ("required", "optional") for name in inputs.get(group, {})]
        function = inspect.signature(getattr(kind, kind.FUNCTION))
        assert set(declared) == set(function.parameters) - {"self"}
        assert all(isinstance(each, tuple) for each in inputs["required"].values())
        assert isinstance(kind.RETURN_TYPES, tuple)
        assert kind.CATEGORY


def test_a_batch_is_stylised(nodes: Any) -> None:
    (model,) = nodes.StylekitLoader().load("color-pca")
    content, style = torch.rand(2, 20, 30, 3), torch.rand(1, 16, 16, 3)
    (made,) = nodes.StylekitStylize().stylize(model, content, style=style)
    assert (made.shape, made.dtype) == ((2, 20, 30, 3), torch.float32)
    assert 0 <= made.min() <= made.max() <= 1
    planes = content.permute(0, 3, 1, 2)
    expected = model.stylize(planes[:1], model.style(style.permute(0, 3, 1, 2)))
    torch.testing.assert_close(made[:1], expected.permute(0, 2, 3, 1), rtol=0, atol=1e-5)


def test_masks_alpha_and_colours(nodes: Any) -> None:
    (model,) = nodes.StylekitLoader().load("color-pca")
    content, style = torch.rand(1, 20, 30, 4), torch.rand(2, 16, 16, 3)
    mask = torch.zeros(1, 20, 30)
    mask[:, :, 15:] = 1
    (made,) = nodes.StylekitStylize().stylize(model, content, colors="luminance", style=style, mask=mask)
    assert made.shape == (1, 20, 30, 3)
    assert torch.equal(made[:, :, :15], content[:, :, :15, :3])
    assert not torch.equal(made[:, :, 15:], content[:, :, 15:, :3])


def test_several_styles_are_blended_where_the_mask_is_white(nodes: Any) -> None:
    (model,) = nodes.StylekitLoader().load("color-pca")
    content, style = torch.rand(1, 20, 30, 3), torch.rand(2, 16, 16, 3) * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
    (plain,) = nodes.StylekitStylize().stylize(model, content, style=style)
    (masked,) = nodes.StylekitStylize().stylize(model, content, style=style, mask=torch.ones(1, 20, 30))
    torch.testing.assert_close(masked, plain, rtol=0, atol=1e-5)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")
def test_the_registry_finds_what_it_needs() -> None:
    tomllib: Any = importlib.import_module("tomllib")
    content = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert content["project"].keys() >= {"name", "description", "version", "license", "dependencies"}
    assert content["tool"]["comfy"].keys() == {"PublisherId", "DisplayName", "Icon"}
    assert not [each for each in content["project"]["dependencies"] if each.startswith("torch")]
