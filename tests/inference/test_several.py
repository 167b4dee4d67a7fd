"""Several models as one: one after the other, or blended. What they make is computed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import stylekit
from stylekit import Method, StylekitError, images
from stylekit.inference.model import Model
from stylekit.inference.styles import write_style
from stylekit.inference.tiles import Tiles
from stylekit.method import Capabilities, OptimizingMethod, Statistics
from tests.facts import raises
from tests.tensors import noise


class Gain(Method):
    """Multiplies colours."""

    capabilities = Capabilities(thread_safe=True)

    def stylize(self, content: Tensor, style: Tensor | None = None, *, gain: float = 0.5) -> Tensor:
        """Stylises.

        Args:
            gain: the factor
        """
        return (gain * content).clamp(0, 1)


class Tint(Method):
    """The content blended with the style's mean colour."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0, *, share: float = 0.5) -> Tensor:
        """Stylises.

        Args:
            share: of the colour
        """
        return torch.lerp(content, style["mean"][..., None, None].expand_as(content), share * strength)


class Learned(Method):
    """Has learned two shades."""

    def __init__(self) -> None:
        super().__init__()
        self.shades = nn.Parameter(torch.tensor([0.25, 0.75]))

    def styles(self) -> dict[str, Statistics]:
        return {name: {"shade": self.shades[number].view(1, 1)} for number, name in enumerate(("dark", "light"))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return torch.lerp(content, style["shade"][..., None, None].expand_as(content), 0.5 * strength)


class Twice(Method):
    scale = 2

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Even(Method):
    """Depends on the mean and the deviation of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(3)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return (0.5 + 0.1 * self.norm(content)).clamp(0, 1)


class Trail(Method):
    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content

    def frames(self, contents: Iterable[Tensor], style: Statistics | None = None, **options: Any) -> Iterator[Tensor]:
        yield from contents


def model(method: type[Method]) -> Model:
    return Model(method(), method.__name__.lower())


def several(*methods: type[Method]) -> Model:
    return stylekit.load([model(each) for each in methods], "cpu")


CONTENT = noise(1, 3, 12, 16)
RED = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 4, 4)


def test_each_stylises_what_the_one_before_it_made() -> None:
    made = several(Gain, Tint).stylize(CONTENT, RED)
    torch.testing.assert_close(made, 0.5 * (0.5 * CONTENT) + 0.5 * RED[..., :1, :1])
    other = several(Tint, Gain).stylize(CONTENT, RED)
    torch.testing.assert_close(other, 0.5 * (0.5 * CONTENT + 0.5 * RED[..., :1, :1]))


def test_weights_blend_what_they_make() -> None:
    blend = stylekit.load([(model(Gain), 1), (model(Tint), 3)], "cpu")
    expected = 0.25 * 0.5 * CONTENT + 0.75 * (0.5 * CONTENT + 0.5 * RED[..., :1, :1])
    torch.testing.assert_close(blend.stylize(CONTENT, RED), expected)
    assert blend.name == "gain+tint"


def test_options_are_for_those_that_know_them() -> None:
    pipeline = several(Gain, Tint)
    made = pipeline.stylize(CONTENT, RED, gain="0.25", share=1.0)
    torch.testing.assert_close(made, RED[..., :1, :1].expand_as(CONTENT))
    torch.testing.assert_close(pipeline.stylize(CONTENT, RED, gain=0.25, share=0.0), 0.25 * CONTENT)
    with raises(StylekitError, "gain+tint", "'gian'", "did you mean 'gain'"):
        pipeline.stylize(CONTENT, RED, gian=1)


def test_the_strength_is_that_of_the_styles() -> None:
    pipeline = several(Gain, Tint)
    torch.testing.assert_close(
        pipeline.stylize(CONTENT, RED, strength=0.5), 0.75 * 0.5 * CONTENT + 0.25 * RED[..., :1, :1]
    )
    assert torch.equal(pipeline.stylize(CONTENT, RED, strength=0), CONTENT)
    torch.testing.assert_close(several(Gain, Gain).stylize(CONTENT, strength=0.5), 0.625 * CONTENT)


def test_masks_and_transparency_are_those_of_one_model() -> None:
    mask = torch.zeros(1, 1, 12, 16)
    mask[..., :8] = 1
    made = several(Gain, Tint).stylize(CONTENT, RED, mask=mask)
    assert torch.equal(made[..., 8:], CONTENT[..., 8:])
    assert not torch.equal(made[..., :8], CONTENT[..., :8])
    picture = Image.new("RGBA", (4, 4), (200, 100, 50, 77))
    assert several(Gain, Gain).stylize(picture).getpixel((0, 0)) == (50, 25, 13, 77)


def test_a_learned_style_is_for_those_that_have_learned_it() -> None:
    pipeline = several(Gain, Learned)
    assert pipeline.learned_styles() == ["dark", "light"]
    torch.testing.assert_close(pipeline.stylize(CONTENT, "light"), 0.25 * CONTENT + 0.375)
    torch.testing.assert_close(pipeline.stylize(CONTENT), 0.25 * CONTENT + 0.125)
    mixed = several(Tint, Learned)  # the image is for the one, and the other applies its first
    assert mixed.learned_styles() == []
    torch.testing.assert_close(mixed.stylize(CONTENT, RED), 0.5 * (0.5 * CONTENT + 0.5 * RED[..., :1, :1]) + 0.125)
    with raises(StylekitError, "tint+learned", "needs a style"):
        mixed.stylize(CONTENT)


def test_a_style_file_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "red.style"
    write_style(path, model(Tint).style(RED))
    pipeline = several(Gain, Tint)
    assert torch.equal(pipeline.stylize(CONTENT, path), pipeline.stylize(CONTENT, RED))
    with raises(StylekitError, path, "another model"):
        several(Tint, Tint).stylize(CONTENT, path)


def test_sides_are_multiplied_one_after_the_other() -> None:
    assert several(Twice, Gain, Twice).stylize(CONTENT).shape == (1, 3, 48, 64)
    with raises(StylekitError, "sizes", 1, 2):
        stylekit.load([(model(Gain), 1), (model(Twice), 1)])


@pytest.mark.parametrize("weights", [None, (1, 2)])
def test_tiles_are_the_same_as_at_once(weights: tuple[int, int] | None) -> None:
    models = [model(Even), stylekit.load("color-pca", "cpu")]
    made = stylekit.load(models if weights is None else list(zip(models, weights, strict=True)), "cpu")
    content, style = images.resize(noise(1, 3, 30, 40), (300, 400)), noise(1, 3, 20, 20, seed=3)
    tiled = made.stylize(content, style, tiles=Tiles(128, "exact"))
    torch.testing.assert_close(tiled, made.stylize(content, style), rtol=0, atol=1e-4)


def test_the_frames_of_a_clip() -> None:
    clip = [noise(1, 3, 6, 8, seed=number) for number in range(3)]
    for content, frame in zip(clip, several(Gain, Tint).frames(clip, RED), strict=True):
        torch.testing.assert_close(frame, 0.25 * content + 0.5 * RED[..., :1, :1])


def test_what_they_can_is_what_all_can() -> None:
    assert several(Gain, Gain).method.capabilities.thread_safe
    assert not several(Gain, Tint).method.capabilities.thread_safe
    gatys = stylekit.load("gatys", "cpu", encoder={"name": "random", "scales": 2, "width": 8}, steps=2, levels=1)
    assert isinstance(gatys.method, OptimizingMethod)
    pipeline = stylekit.load([model(Gain), gatys], "cpu")
    seen: list[int] = []
    pipeline.on_step = lambda step, steps, image: seen.append(step)
    made = pipeline.stylize(noise(1, 3, 32, 32), noise(1, 3, 32, 32, seed=1))
    torch.testing.assert_close(made, gatys.stylize(0.5 * noise(1, 3, 32, 32), noise(1, 3, 32, 32, seed=1)))
    assert seen[:2] == [1, 2]
    with raises(StylekitError, "tiles", "whole image"):
        pipeline.require_tiles()


def test_names_and_files_are_loaded() -> None:
    made = stylekit.load(["color-pca", "stylekit-any"], "cpu")
    style = noise(1, 3, 20, 20, seed=3)
    one, other = (stylekit.load(name, "cpu") for name in ("color-pca", "stylekit-any"))
    assert torch.equal(made.stylize(CONTENT, style), other.stylize(one.stylize(CONTENT, style), style))


WRONG: dict[Literal["mixed", "empty", "state", "weights", "options"], tuple[Any, dict[str, Any], list[object]]] = {
    "mixed": ([("color-pca", 1), "color-pca"], {}, ["weight"]),
    "empty": ([], {}, ["list", "empty"]),
    "state": ([Model(Trail(), "trail"), "color-pca"], {}, ["'trail'", "state"]),
    "weights": ([("color-pca", -1), ("color-pca", 1)], {}, ["weight", "model", -1.0]),
    "options": (["color-pca", "gatys"], {"steps": 3}, ["options", "one model"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_one_sentence(name: Literal["mixed"]) -> None:
    given, options, facts = WRONG[name]
    with raises(StylekitError, *facts):
        stylekit.load(given, "cpu", **options)


def test_they_are_not_saved_as_one(tmp_path: Path) -> None:
    with raises(StylekitError, "each by itself"):
        stylekit.save_pretrained(several(Gain, Gain), tmp_path / "both")
