"""A method's own options: keyword-only arguments of its ``stylize``, ``transfer`` or ``sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylekit import Method, StylekitError, images
from stylekit.inference.model import Model
from stylekit.inference.options import sample_options, stylize_options
from stylekit.method import Layer, Statistics
from tests.facts import raises
from tests.tensors import noise


class Grade(Method):
    """Multiplies an image by a gain, and by another image."""

    def stylize(
        self,
        content: Tensor,
        style: Tensor | None = None,
        *,
        gain: float = 1.0,
        mode: Literal["light", "dark"] = "light",
        light: Tensor | Literal["none"] | None = None,
    ) -> Tensor:
        """Grades.

        Args:
            gain: factor
            mode: whether to invert it
            light: another factor, for each pixel
        """
        self.given = gain, mode, light
        graded = gain * content * light if isinstance(light, Tensor) else gain * content
        return graded if mode == "light" else 1 - graded


class Depth(Method):
    """Needs an image and a number at each call."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(  # type: ignore[override]
        self, content: Tensor, style: Statistics, strength: float = 1.0, *, depth: Tensor, power: int
    ) -> Tensor:
        """Blends by depth.

        Args:
            depth: how far away each pixel is
            power: exponent
        """
        return content.lerp(style["mean"][..., None, None].expand_as(content), strength * depth**power)


class Overlaid(Method):
    """Lays a picture with transparency over an image."""

    def stylize(self, content: Tensor, style: Tensor | None = None, *, over: Layer | None = None) -> Tensor:
        """Lays a picture over images.

        Args:
            over: what is laid over them
        """
        return content if over is None else content.lerp(over[:, :3].expand_as(content), over[:, 3:])


@pytest.fixture
def model() -> Model:
    return Model(Grade(), "grade")


CONTENT = noise(1, 3, 6, 8)


def test_options_reach_the_method_converted_to_their_types(model: Model) -> None:
    assert torch.equal(model.stylize(CONTENT), CONTENT)
    assert torch.equal(model.stylize(CONTENT, gain="0.5"), CONTENT / 2)  # as the command line gives it
    assert model.method.given == (0.5, "light", None)
    assert torch.equal(model.stylize(CONTENT, mode="dark", gain=0.5), 1 - CONTENT / 2)


def test_options_of_transfer_are_those_of_stylising() -> None:
    model = Model(Depth(), "depth")
    styled = model.stylize(CONTENT, torch.ones(1, 3, 4, 4), depth=torch.full((1, 3, 6, 8), 0.5), power="2")
    torch.testing.assert_close(styled, 0.75 * CONTENT + 0.25)
    assert list(stylize_options(model.method)) == ["depth", "power"]
    assert list(stylize_options(Grade)) == ["gain", "mode", "light"]
    assert sample_options(Grade) == {}


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"gian": 2}, ("method 'grade'", "'gian'", "did you mean 'gain'", "light", "mode")),
        ({"direction": "a-to-b"}, ("method 'grade'", "'direction'", "gain", "light", "mode")),
        ({"gain": "much"}, ("method 'grade'", "'gain'", "'much'", "default: 1.0")),
        ({"mode": "drak"}, ("method 'grade'", "'mode'", "'drak'", "'light'", "'dark'")),
        ({"light": 3}, ("method 'grade'", "'light'", 3, "Tensor")),
    ],
)
def test_an_unknown_option_or_value_is_refused_by_every_call(
    model: Model, options: dict[str, Any], facts: tuple[object, ...]
) -> None:
    picture = images.from_pil(images.to_pil(CONTENT))
    calls: list[Any] = [
        lambda: model.stylize(CONTENT, **options),
        lambda: model.stylize(images.to_pil(CONTENT), **options),
        lambda: model.stylize(CONTENT, strength=0, **options),
        lambda: model.stylize_picture(picture, **options),
        lambda: next(model.frames([CONTENT], **options)),
        lambda: next(model.clip([picture], **options)),
        lambda: model.resolve_options(options),
    ]
    for call in calls:
        with raises(StylekitError, *facts):
            call()


def test_the_controls_are_listed_for_a_method_without_options() -> None:
    class Plain(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return content

    with raises(StylekitError, "method 'plain'", "'gain'", "strength", "keep_color"):
        Model(Plain(), "plain").stylize(CONTENT, gain=1)


def test_a_missing_option_is_named() -> None:
    model, style = Model(Depth(), "depth"), torch.ones(1, 3, 4, 4)
    with raises(StylekitError, "method 'depth'", "'depth'", "how far away each pixel is"):
        model.stylize(CONTENT, style)
    with raises(StylekitError, "method 'depth'", "'power'", "exponent"):
        model.stylize(CONTENT, style, depth=CONTENT)


def test_an_image_option_is_a_path_a_pil_image_or_a_tensor(model: Model, tmp_path: Path) -> None:
    picture = images.to_pil(noise(1, 3, 6, 8).flip(3))
    picture.save(tmp_path / "light.png")
    wanted = model.stylize(CONTENT, light=images.to_tensor(picture))
    torch.testing.assert_close(wanted, CONTENT * images.to_tensor(picture))
    for light in (picture, tmp_path / "light.png", str(tmp_path / "light.png"), images.to_tensor(picture).double()):
        assert torch.equal(model.stylize(CONTENT, light=light), wanted)
        assert model.method.given[2].dtype == torch.float32
    assert torch.equal(next(model.frames([CONTENT], light=picture)), wanted)


def test_an_optional_image_may_be_left_out_or_none(model: Model) -> None:
    assert torch.equal(model.stylize(CONTENT, light=None), CONTENT)


def test_a_word_that_an_image_option_takes_is_no_path(model: Model) -> None:
    assert torch.equal(model.stylize(CONTENT, light="none"), CONTENT)
    assert model.method.given[2] == "none"
    with raises(StylekitError, "nothing", "no such file"):
        model.stylize(CONTENT, light="nothing")


def test_a_transparent_image_option_is_laid_over_white(model: Model) -> None:
    light = Image.new("RGBA", (8, 6), (255, 0, 0, 51))  # a fifth of red
    tint = torch.tensor([1.0, 0.8, 0.8])[None, :, None, None]
    torch.testing.assert_close(model.stylize(CONTENT, light=light), CONTENT * tint)


def test_a_layer_keeps_its_transparency(tmp_path: Path) -> None:
    model, layer = Model(Overlaid(), "overlaid"), Image.new("RGBA", (8, 6), (255, 0, 0, 51))
    layer.save(tmp_path / "layer.png")
    wanted = 0.8 * CONTENT + 0.2 * torch.tensor([1.0, 0, 0])[None, :, None, None]
    tensor = torch.tensor([1.0, 0, 0, 0.2])[None, :, None, None].expand(1, 4, 6, 8)
    for over in (layer, tmp_path / "layer.png", str(tmp_path / "layer.png"), np.asarray(layer), tensor.double()):
        torch.testing.assert_close(model.stylize(CONTENT, over=over), wanted)
    assert torch.equal(model.stylize(CONTENT), CONTENT)


def test_a_layer_without_transparency_is_refused() -> None:
    model = Model(Overlaid(), "overlaid")
    for over in (Image.new("RGB", (8, 6)), np.zeros((6, 8, 3), np.uint8)):
        with raises(StylekitError, "'over'", "transparency", "alpha channel"):
            model.stylize(CONTENT, over=over)
    with raises(StylekitError, "'over'", "(1, 4, H, W)", "(1, 3, 6, 8)"):
        model.stylize(CONTENT, over=CONTENT)


def test_an_image_option_keeps_its_own_size(model: Model) -> None:
    model.stylize(CONTENT, light=torch.full((1, 3, 1, 1), 0.5))
    assert model.method.given[2].shape == (1, 3, 1, 1)


@pytest.mark.parametrize(
    "image",
    [torch.rand(3, 6, 8), torch.rand(1, 1, 6, 8), torch.rand(2, 3, 6, 8), torch.ones(1, 3, 6, 8, dtype=torch.uint8)],
    ids=lambda image: f"{tuple(image.shape)}-{image.dtype}",
)
def test_an_image_option_of_another_shape_or_type_is_refused(model: Model, image: Tensor) -> None:
    with raises(StylekitError, "'light'", "(1, 3, H, W)", image.dtype, tuple(image.shape)):
        model.stylize(CONTENT, light=image)


def test_an_image_option_that_cannot_be_read_is_refused(model: Model, tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere.png"):
        model.stylize(CONTENT, light=tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("text")
    with raises(StylekitError, tmp_path / "text.png"):
        model.stylize(CONTENT, light=str(tmp_path / "text.png"))


def test_an_image_option_of_nan_is_refused(model: Model) -> None:
    with raises(StylekitError, "'light'", "NaN"):
        model.stylize(CONTENT, mode="dark", light=torch.full((1, 3, 6, 8), float("nan")))


def test_the_error_for_a_required_option_does_not_show_a_default() -> None:
    with pytest.raises(StylekitError) as caught:
        Model(Depth(), "depth").stylize(CONTENT, torch.ones(1, 3, 4, 4), depth=CONTENT, power="x")
    assert "inspect" not in str(caught.value)


def test_resolve_options_returns_what_the_method_gets(model: Model) -> None:
    resolved = model.resolve_options({"gain": "2", "light": images.to_pil(CONTENT)})
    assert resolved.keys() == {"gain", "light"}
    assert resolved["gain"] == 2.0
    assert resolved["light"].shape == (1, 3, 6, 8)


def test_the_memory_of_a_method_that_needs_options_is_unknown() -> None:
    assert Model(Depth(), "depth").needed_memory(100, 100) == 0
    assert Model(Grade(), "grade").needed_memory(100, 100) > 0
