"""What a user controls with every method: strength, colours, masks, scales and seeds, compared with computations by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylekit import Method, StylekitError, images, make
from stylekit.inference import controls
from stylekit.inference.clusters import cluster_styles
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.styles import Style, write_style
from stylekit.method import Capabilities, Statistics
from stylekit.registry import lookup
from tests.facts import raises
from tests.tensors import noise

NAN = float("nan")


class Paint(Method):
    """The content blended with the style's mean colour, by the strength, and noise if there is to be some."""

    style_modules = ()

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        painted = style["mean"][..., None, None].expand_as(content) + self.noise * torch.randn_like(content)
        return torch.lerp(content, painted, strength)


@pytest.fixture
def model() -> Model:
    return Model(Paint(), "paint")


@pytest.fixture(scope="module")
def pca() -> Model:
    return load("color-pca", "cpu")


def plain(red: float, green: float, blue: float, height: int = 3, width: int = 4) -> Tensor:
    return (
        torch.tensor([float(red), float(green), float(blue)])[None, :, None, None].expand(1, 3, height, width).clone()
    )


RED, BLUE, CONTENT = plain(1, 0, 0), plain(0, 0, 1), noise(1, 3, 10, 12)


def test_weights_are_normalised_and_average_the_styles_statistics(model: Model) -> None:
    styled = model.stylize(CONTENT, [(RED, 0.7), (BLUE, 0.3)])
    torch.testing.assert_close(styled, plain(0.7, 0, 0.3, 10, 12))
    assert torch.equal(styled, model.stylize(CONTENT, [(RED, 7), (BLUE, 3)]))
    torch.testing.assert_close(model.stylize(CONTENT, [RED, BLUE]), plain(0.5, 0, 0.5, 10, 12))
    assert torch.equal(model.stylize(CONTENT, (RED, 2.0)), plain(1, 0, 0, 10, 12))  # one style with a weight


def test_statistics_are_averaged_and_not_images(pca: Model) -> None:
    one, two, content = noise(1, 3, 20, 20, seed=1) ** 3, 0.3 * noise(1, 3, 20, 20, seed=2), noise(1, 3, 16, 18)
    described = [pca.method.describe(each) for each in (one, two)]
    average = {name: 0.25 * described[0][name] + 0.75 * described[1][name] for name in described[0]}
    by_hand = pca.method.transfer(content, average)
    torch.testing.assert_close(pca.stylize(content, [(one, 1), (two, 3)]), by_hand)


def test_strength_goes_from_the_content_to_the_style(model: Model) -> None:
    assert torch.equal(model.stylize(CONTENT, RED, strength=0), CONTENT)
    full = model.stylize(CONTENT, RED)
    for strength in (0.25, 0.5, 1):
        torch.testing.assert_close(
            model.stylize(CONTENT, RED, strength=strength), CONTENT + strength * (full - CONTENT)
        )


def test_the_result_is_continuous_in_the_strength(pca: Model) -> None:
    styled = [pca.stylize(CONTENT, noise(1, 3, 9, 9, seed=3), strength=step / 50) for step in range(51)]
    jumps = [float((after - before).abs().max()) for before, after in pairwise(styled)]
    assert max(jumps) < 0.05
    assert torch.equal(styled[0], CONTENT)


def test_below_a_strength_of_a_fifth_the_content_is_blended_in() -> None:
    class Black(Paint):
        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return torch.zeros_like(content)

    black = Model(Black(), "black")
    for strength, left in {1e-6: 1.0, 0.05: 0.75, 0.1: 0.5, 0.2: 0.0, 0.3: 0.0}.items():
        styled = black.stylize(CONTENT, RED, strength=strength)
        torch.testing.assert_close(styled, left * CONTENT, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["adain", "wct", "gatys"])
def test_a_tiny_strength_hardly_changes_the_image(method: str) -> None:
    tiny = Model(make("method", method, **lookup.find_part("method", method).presets["tiny"]), method)
    content = noise(1, 3, 40, 40)
    styled = tiny.stylize(content, noise(1, 3, 40, 40, seed=1), strength=1e-4)
    assert float((styled - content).abs().max()) < 1e-3


@pytest.mark.parametrize("half", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5)], ids=repr)
def test_numbers_of_any_library_are_accepted(model: Model, half: Any) -> None:
    assert torch.equal(model.stylize(CONTENT, RED, strength=half), model.stylize(CONTENT, RED, strength=0.5))
    wanted = plain(0.5, 0, 0.5, 10, 12)
    for styles in ([(RED, half), (BLUE, half)], ([RED, half], [BLUE, half]), [[RED, half], (BLUE, 0.5)]):
        torch.testing.assert_close(model.stylize(CONTENT, styles), wanted)
    assert torch.equal(model.stylize(CONTENT, [RED, half]), plain(1, 0, 0, 10, 12))  # one with a weight
    assert torch.equal(
        model.style(CONTENT, scale=half).statistics["mean"], model.style(CONTENT, scale=0.5).statistics["mean"]
    )


@pytest.mark.parametrize(
    "style",
    [{"a.png": 0.5}, zip([RED], [0.5], strict=True), {"a.png": 0.5}.items(), 3,
     [(RED, 1.0, 2.0)], [(RED, "0.5")], b"a.png"],
    ids=lambda style: type(style).__name__,
)  # fmt: skip
def test_a_style_of_another_type_is_refused(model: Model, style: Any) -> None:
    with raises(StylekitError, "style", "tensor", "(1, 3, H, W)", "(style, weight)"):
        model.stylize(CONTENT, style)


def test_arguments_of_another_type_are_refused(model: Model) -> None:
    with raises(StylekitError, "(N, 3, H, W)", "PIL image", "array", "path", "bytes"):
        model.stylize(b"photo.jpg", RED)  # type: ignore[call-overload]
    with raises(StylekitError, "mask", "array", "(10, 12, 2)"):
        model.stylize(CONTENT, RED, mask=np.ones((10, 12, 2)))
    with raises(StylekitError, "style", "torch.float32", "(3, 4, 4)"):
        model.stylize(CONTENT, torch.ones(3, 4, 4))
    with raises(StylekitError, "no style ''", "image"):
        model.stylize(CONTENT, "")
    with raises(StylekitError, "strength", "'0.5'"):
        model.stylize(CONTENT, RED, strength="0.5")
    with raises(StylekitError, "scale", "'2'"):
        model.stylize(CONTENT, RED, style_scale="2")


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_nan_and_infinity_are_refused(model: Model, value: float) -> None:
    bad = CONTENT.clone()
    bad[0, 1, 2, 3] = value
    with raises(StylekitError, "image to stylise", "NaN or infinity"):
        model.stylize(bad, RED)
    with raises(StylekitError, "style", "NaN or infinity"):
        model.stylize(CONTENT, bad)
    with raises(StylekitError, "mask", "NaN or infinity"):
        model.stylize(CONTENT, RED, mask=bad[:, 1:2])

    class Broken(Paint):
        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return bad

    with raises(StylekitError, "method 'broken'", "NaN or infinity"):
        Model(Broken(), "broken").stylize(CONTENT, RED)


def test_unchanged_pixels_keep_their_float64_values(model: Model) -> None:
    content = CONTENT.double() / 3
    assert not torch.equal(content.float().double(), content)
    assert torch.equal(model.stylize(content, RED, strength=0), content)
    assert torch.equal(model.stylize(content, RED, mask=torch.zeros(1, 1, 10, 12)), content)
    assert torch.equal(model.stylize(content, RED, mask=left())[..., 5:], content[..., 5:])


@pytest.mark.parametrize("strength", [-0.1, 1.1, NAN, float("inf")])
def test_a_strength_outside_of_0_to_1_is_refused(model: Model, strength: float) -> None:
    with raises(StylekitError, "strength", 0, 1, strength):
        model.stylize(CONTENT, RED, strength=strength)


def test_a_method_without_strength_is_blended_with_the_content() -> None:
    class Invert(Method):
        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return 1 - content

    styled = Model(Invert(), "invert").stylize(CONTENT, strength=0.25)
    torch.testing.assert_close(styled, 0.75 * CONTENT + 0.25 * (1 - CONTENT))


def test_luminance_keeps_the_contents_chroma(model: Model) -> None:
    content = 0.3 + 0.4 * CONTENT  # so that nothing is clamped
    kept = model.stylize(content, plain(0.5, 0.5, 0.5), keep_color="luminance")
    yiq = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    before, after = (torch.einsum("ij,njhw->nihw", yiq, each) for each in (content, kept))
    torch.testing.assert_close(after[:, 1:], before[:, 1:], rtol=0, atol=1e-4)
    torch.testing.assert_close(after[:, :1], torch.full_like(after[:, :1], 0.5), rtol=0, atol=1e-4)


def test_histogram_keeps_the_mean_and_the_covariance_of_the_contents_colours() -> None:
    content = 0.4 + 0.2 * noise(1, 3, 30, 30, seed=4) * torch.tensor([1.0, 0.6, 0.3])[None, :, None, None]

    class Twist(Paint):
        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return content.roll(1, 1).square()

    kept = Model(Twist(), "twist").stylize(content, RED, keep_color="histogram")
    for statistic in (lambda x: x.mean((0, 2, 3)), lambda x: torch.cov(x[0].flatten(1).double(), correction=0)):
        torch.testing.assert_close(statistic(kept), statistic(content), rtol=1e-3, atol=1e-6)


def test_an_unknown_way_to_keep_colours_is_refused(model: Model) -> None:
    with raises(StylekitError, "'luminence'", "did you mean 'luminance'"):
        model.stylize(CONTENT, RED, keep_color="luminence")


def left() -> Tensor:
    mask = torch.zeros(1, 1, 10, 12)
    mask[..., :5] = 1
    return mask


@pytest.mark.parametrize("keep_color", [None, "luminance", "histogram"])
def test_outside_a_mask_the_image_is_unchanged_bit_for_bit(model: Model, keep_color: controls.KeepColor | None) -> None:
    styled = model.stylize(CONTENT, RED, mask=left(), keep_color=keep_color)
    assert torch.equal(styled[..., 5:], CONTENT[..., 5:])
    whole = model.stylize(CONTENT, RED, keep_color=keep_color)
    torch.testing.assert_close(styled[..., :5], whole[..., :5], rtol=0, atol=1e-6)
    assert (styled[..., :5] != CONTENT[..., :5]).any()


def test_each_mask_has_its_style_and_an_extra_style_fills_the_rest(model: Model) -> None:
    styled = model.stylize(CONTENT, [RED, BLUE], mask=[left()])
    torch.testing.assert_close(styled[..., :5], plain(1, 0, 0, 10, 5), rtol=0, atol=1e-6)
    torch.testing.assert_close(styled[..., 5:], plain(0, 0, 1, 10, 7), rtol=0, atol=1e-6)
    middle = torch.zeros(1, 1, 10, 12)
    middle[..., 3:8] = 1
    styled = model.stylize(CONTENT, [RED, BLUE], mask=[left(), middle])
    torch.testing.assert_close(styled[..., 3:5], plain(0.5, 0, 0.5, 10, 2), rtol=0, atol=1e-6)  # they share
    assert torch.equal(styled[..., 8:], CONTENT[..., 8:])


def test_a_grey_mask_blends(model: Model) -> None:
    styled = model.stylize(CONTENT, RED, mask=torch.full((1, 1, 10, 12), 0.25))
    torch.testing.assert_close(styled, 0.75 * CONTENT + 0.25 * plain(1, 0, 0, 10, 12))


def test_a_mask_is_a_tensor_a_pil_image_or_a_file(model: Model, tmp_path: Path) -> None:
    picture = Image.fromarray((left()[0, 0].numpy() * 255).astype(np.uint8))
    picture.save(tmp_path / "mask.png")
    wanted = model.stylize(CONTENT, RED, mask=left())
    for mask in (picture, tmp_path / "mask.png", str(tmp_path / "mask.png"), [picture]):
        assert torch.equal(model.stylize(CONTENT, RED, mask=mask), wanted)


def test_a_mask_is_scaled_to_the_image(model: Model) -> None:
    half = torch.zeros(1, 1, 20, 48)
    half[..., :20] = 1
    small = torch.tensor([[[[1.0, 0.0]]]])
    styled, wanted = model.stylize(CONTENT, RED, mask=half), model.stylize(CONTENT, RED, mask=left())
    assert torch.equal(styled[..., :4], wanted[..., :4])  # the edge is soft: antialiased
    assert torch.equal(styled[..., 6:], wanted[..., 6:])
    styled = model.stylize(CONTENT, RED, mask=small)  # bilinear
    assert torch.equal(styled[..., 9:], CONTENT[..., 9:])
    weight = (styled - CONTENT)[0, :, 0] / (plain(1, 0, 0, 10, 12) - CONTENT)[0, :, 0]
    expected = (1 - (torch.arange(12) + 0.5 - 3) / 6).clamp(0, 1)
    torch.testing.assert_close(weight, expected.expand(3, -1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("styles", "masks", "facts"),
    [
        ([RED], [torch.ones(1, 1, 0, 12)], ("mask", "(1, 1, H, W)", "(1, 1, 0, 12)")),
        ([RED], [left(), left()], ("masks", "styles", 2, 1)),
        ([RED, BLUE, RED], [left()], ("masks", "styles", 1, 3)),
        ([(RED, 0.5), (BLUE, 0.5)], [left()], ("masks", "weight")),
        ([RED], [torch.ones(10, 12)], ("mask", "(1, 1, H, W)", "(10, 12)")),
        ([RED], [torch.ones(1, 1, 10, 12, dtype=torch.int64)], ("mask", "(1, 1, H, W)", "torch.int64")),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    model: Model, styles: list[Tensor], masks: list[Tensor], facts: tuple[object, ...]
) -> None:
    with raises(StylekitError, *facts):
        model.stylize(CONTENT, styles, mask=masks)


def test_style_images_are_made_smaller_and_scaled() -> None:
    sizes = {(100, 50): 1.0, (1024, 2048): 1.0, (40, 80): 0.5, (1024, 1024): 2.0}
    fitted = [tuple(controls.fit_style(torch.zeros(1, 3, *size), scale).shape[2:]) for size, scale in sizes.items()]
    assert fitted == [(100, 50), (512, 1024), (20, 40), (1024, 1024)]
    for scale in (0.0, -1.0, NAN, float("inf")):
        with raises(StylekitError, "scale", 0, scale):
            controls.fit_style(torch.zeros(1, 3, 40, 40), scale)


def test_style_images_are_limited_to_8_million_pixels(model: Model, tmp_path: Path) -> None:
    for scale in (73.0, 1e6, 1e308):  # 40 * 73 squared is just above 8 million
        with raises(StylekitError, "40x40", f"scale {scale}", "8,388,608"):
            controls.fit_style(torch.zeros(1, 3, 40, 40), scale)
    assert controls.fit_style(torch.zeros(1, 3, 40, 40), 72.4).shape[2:] == (2896, 2896)
    images.write(tmp_path / "it.png", RED)
    with raises(StylekitError, "it.png", "4x3", "scale 1000.0"):
        model.style(tmp_path / "it.png", 1000.0)
    with raises(StylekitError, f"{2**24}x1", "scale 1.0", "8,388,608"):
        model.style(torch.zeros(1, 3, 1, 2**24))


def test_only_style_images_can_be_scaled(model: Model) -> None:
    with raises(StylekitError, "scale", "image"):
        model.stylize(CONTENT, model.style(RED), style_scale=2)
    with raises(StylekitError, "scale", 0):
        model.stylize(CONTENT, model.style(RED), style_scale=0)


def test_transparent_styles_are_laid_over_white(model: Model) -> None:
    picture = Image.new("RGBA", (6, 5), (255, 0, 0, 51))  # a fifth of red
    torch.testing.assert_close(model.stylize(CONTENT, picture), plain(1, 0.8, 0.8, 10, 12))


def test_a_mask_painted_on_a_transparent_layer_applies_only_where_it_is_painted(model: Model) -> None:
    layer = Image.new("RGBA", (12, 10), (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (0, 0, 12, 5))
    flat = Image.new("L", (12, 10))
    flat.paste(255, (0, 0, 12, 5))
    assert torch.equal(model.stylize(CONTENT, RED, mask=layer), model.stylize(CONTENT, RED, mask=flat))
    assert torch.equal(controls.read_mask(Image.new("LA", (1, 1), (255, 51))), torch.full((1, 1, 1, 1), 0.2))


def test_a_misspelled_argument_is_compared_with_the_controls_too(model: Model) -> None:
    with raises(StylekitError, "'strenght'", "Did you mean 'strength'?"):
        model.stylize(CONTENT, RED, strenght=0.5)
    with raises(StylekitError, "'masks'", "Did you mean 'mask'?"):
        model.stylize(CONTENT, RED, masks=[])


def test_a_seed_repeats_the_result_and_the_generators_are_restored() -> None:
    noisy = Model(Paint(noise=0.1), "paint")
    styled = [noisy.stylize(CONTENT, plain(0.5, 0.5, 0.5), seed=seed) for seed in (0, 1, 0)]
    assert torch.equal(styled[0], styled[2])
    assert not torch.equal(styled[0], styled[1])
    state = torch.get_rng_state()
    noisy.stylize(CONTENT, RED)
    assert torch.equal(state, torch.get_rng_state())


def test_a_style_file_of_one_image_gives_the_same_as_the_image(tmp_path: Path) -> None:
    adain = Model(make("method", "adain", **lookup.find_part("method", "adain").presets["tiny"]), "adain")
    images.write(tmp_path / "style.png", noise(1, 3, 70, 90, seed=5))
    look = adain.style(tmp_path / "style.png")
    write_style(tmp_path / "it.style", Style(*cluster_styles([look.statistics], 3), look.key, look.method))
    by_picture, by_file = (adain.stylize(CONTENT, tmp_path / name) for name in ("style.png", "it.style"))
    assert torch.equal(by_picture, by_file)
    assert torch.equal(by_picture, adain.stylize(CONTENT, str(tmp_path / "it.style#1")))


def test_a_method_with_its_own_result_at_a_strength_of_0_is_called_with_it() -> None:
    class Rebuild(Paint):
        """Something else than the content at a strength of 0, as of an autoencoder."""

        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            return torch.lerp(content / 2, super().transfer(content, style), strength)

    class Own(Rebuild):
        capabilities = Capabilities(zero_strength=True)

    assert torch.equal(Model(Own(), "own").stylize(CONTENT, RED, strength=0), CONTENT / 2)
    assert torch.equal(Model(Rebuild(), "rebuild").stylize(CONTENT, RED, strength=0), CONTENT)
    for strength in (0.05, 0.1, 0.5, 1.0):  # nothing is blended in
        wanted = torch.lerp(CONTENT / 2, plain(1, 0, 0, 10, 12), strength)
        torch.testing.assert_close(Model(Own(), "own").stylize(CONTENT, RED, strength=strength), wanted)
    masked = Model(Own(), "own").stylize(CONTENT, RED, strength=0, mask=left())
    torch.testing.assert_close(masked[..., :5], CONTENT[..., :5] / 2)
    assert torch.equal(masked[..., 5:], CONTENT[..., 5:])


def test_a_method_with_one_style_returns_the_content_at_a_strength_of_0_whatever_it_declares() -> None:
    class Invert(Method):
        capabilities = Capabilities(zero_strength=True)

        def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
            return 1 - content

    torch.testing.assert_close(Model(Invert(), "invert").stylize(CONTENT, strength=0), CONTENT)


def test_at_a_strength_of_0_a_method_is_not_called() -> None:
    class Fail(Paint):
        def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
            raise AssertionError("called")

    assert torch.equal(Model(Fail(), "fail").stylize(CONTENT, RED, strength=0), CONTENT)
