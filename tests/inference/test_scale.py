"""Methods that enlarge: everything around the result follows its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylekit import Method, StylekitError, images
from stylekit.images import Metadata, Picture
from stylekit.images.color import color_stats
from stylekit.inference.memory import MARGIN
from stylekit.inference.model import Model
from stylekit.method import Statistics
from tests.facts import raises
from tests.tensors import noise

FLOAT = 4


class Enlarge(Method):
    """Enlarges the content, and blends it with the style's mean colour."""

    style_modules = ()

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        large = content.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
        return torch.lerp(large, style["mean"][..., None, None].expand_as(large), strength)


class Repeat(Method):
    """Enlarges by two, without a style, a strength or anything in between."""

    scale = 2

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.fixture
def model() -> Model:
    return Model(Enlarge(), "enlarge")


def plain(*colour: float) -> Tensor:
    return torch.tensor(colour)[None, :, None, None].expand(1, 3, 4, 4)


CONTENT, RED, BLUE = noise(1, 3, 6, 8), plain(1.0, 0.0, 0.0), plain(0.0, 0.0, 1.0)
LARGE = images.resize(CONTENT, (12, 16))


def left() -> Tensor:
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., :4] = 1
    return mask


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_sides_are_multiplied(scale: int) -> None:
    styled = Model(Enlarge(scale), "enlarge").stylize(noise(2, 3, 5, 7), RED)
    assert styled.shape == (2, 3, 5 * scale, 7 * scale)


def test_an_output_of_another_size_is_refused() -> None:
    class Keep(Repeat):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return content

    with raises(StylekitError, "method 'keep'", "(1, 3, 6, 8)", "(1, 3, 12, 16)"):
        Model(Keep(), "keep").stylize(CONTENT)


def test_a_strength_of_0_gives_the_enlarged_content(model: Model) -> None:
    assert torch.equal(model.stylize(CONTENT, RED, strength=0), LARGE)
    assert torch.equal(Model(Repeat(), "repeat").stylize(CONTENT, strength=0), LARGE)


def test_the_enlarged_content_is_blended_in_by_the_strength(model: Model) -> None:
    repeated = Repeat().stylize(CONTENT)
    torch.testing.assert_close(Model(Repeat(), "repeat").stylize(CONTENT, strength=0.5), (repeated + LARGE) / 2)
    half = torch.lerp(repeated, RED[..., :1, :1].expand_as(repeated), 0.5)
    torch.testing.assert_close(model.stylize(CONTENT, RED, strength=0.5), half)  # by the method itself
    little = torch.lerp(repeated, RED[..., :1, :1].expand_as(repeated), 0.1)
    torch.testing.assert_close(model.stylize(CONTENT, RED, strength=0.1), (little + LARGE) / 2)


@pytest.mark.parametrize("keep_color", ["luminance", "histogram"])
def test_colours_are_those_of_the_enlarged_content(keep_color: Any) -> None:
    class Twist(Repeat):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return super().stylize(content.roll(1, 1).square())

    content = 0.4 + 0.2 * CONTENT * torch.tensor([1.0, 0.6, 0.3])[None, :, None, None]
    kept = Model(Twist(), "twist").stylize(content, keep_color=keep_color)
    large = images.resize(content, (12, 16))
    assert kept.shape == large.shape
    if keep_color == "histogram":
        for one, two in zip(color_stats(kept), color_stats(large), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    else:
        chroma = torch.tensor([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
        one, two = (torch.einsum("ij,njhw->nihw", chroma, each) for each in (kept, large))
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


def test_masks_are_scaled_to_the_content_and_apply_to_the_enlarged_image(model: Model) -> None:
    styled = model.stylize(CONTENT, RED, mask=left())
    assert torch.equal(styled[..., 12:], LARGE[..., 12:])
    torch.testing.assert_close(styled[..., :4], RED[..., :1, :1].expand(1, 3, 12, 4))
    both = model.stylize(CONTENT, [RED, BLUE], mask=[left()])
    torch.testing.assert_close(both[..., :4], RED[..., :1, :1].expand(1, 3, 12, 4), rtol=0, atol=1e-6)
    torch.testing.assert_close(both[..., 12:], BLUE[..., :1, :1].expand(1, 3, 12, 4), rtol=0, atol=1e-6)
    torch.testing.assert_close(both.sum(1), torch.ones(1, 12, 16), rtol=0, atol=1e-2)  # they share the border
    assert torch.equal(model.stylize(CONTENT, RED, mask=left(), strength=0), LARGE)
    larger = torch.ones(1, 1, 12, 16)  # scaled to the content
    torch.testing.assert_close(model.stylize(CONTENT, RED, mask=larger), model.stylize(CONTENT, RED), rtol=0, atol=1e-6)


def test_pil_images_and_their_alpha_are_enlarged(model: Model) -> None:
    picture = images.to_pil(CONTENT)
    assert model.stylize(picture, RED).size == (16, 12)
    alpha = np.zeros((6, 8), np.uint8)
    alpha[:, 4:] = 255
    picture.putalpha(Image.fromarray(alpha))
    styled = model.stylize(picture, RED)
    assert (styled.size, styled.mode) == ((16, 12), "RGBA")
    shown = np.asarray(styled.getchannel("A"))
    assert (shown[:, :6].max(), shown[:, 10:].min()) == (0, 255)


def test_pictures_keep_profile_and_exif(model: Model) -> None:
    picture = Picture(CONTENT, left(), metadata=Metadata(b"profile", b"exif"))
    for styled in (model.stylize_picture(picture, RED), next(model.clip([picture], RED))):
        assert styled.image.shape == (1, 3, 12, 16)
        assert styled.alpha is not None
        assert styled.alpha.shape == (1, 1, 12, 16)
        assert 0 <= float(styled.alpha.min()) <= float(styled.alpha.max()) <= 1
        assert styled.metadata == picture.metadata


def test_values_of_a_finer_type_are_enlarged_too(model: Model) -> None:
    styled = model.stylize(CONTENT.double(), RED, strength=0)
    assert styled.dtype == torch.float64
    torch.testing.assert_close(styled, LARGE.double())


@pytest.mark.parametrize(
    "controls", [{}, {"strength": 0}, {"strength": 0.1}, {"mask": left(), "strength": 0.5}], ids=str
)
def test_frames_are_enlarged(model: Model, controls: dict[str, Any]) -> None:
    (frame,) = model.frames([CONTENT], RED, **controls)
    assert torch.equal(frame, model.stylize(CONTENT, RED, **controls))


def test_the_memory_of_the_enlarged_image_is_counted() -> None:
    memory = {scale: Model(Enlarge(scale), "enlarge").needed_memory(1000, 500) for scale in (1, 2, 4)}
    pixel = MARGIN * FLOAT * 3 * 1000 * 500
    for scale in (2, 4):
        assert memory[scale] >= pixel * (1 + 2 * scale**2)  # the content, the result and one more at once
    assert 2.5 < memory[4] / memory[2] < 4.5
    assert memory[1] < memory[2]
