"""Descent: gradients against autograd and by hand, the objective against Gatys', and the effects of the steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError, images, make
from stylekit.inference.model import load
from stylekit.inference.model_files import save_model
from stylekit.method import Statistics
from stylekit.training.distributed import Runtime
from stylekit.training.engine import step
from stylekit.training.player_state import player_states
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.methods import descent
from stylekit_plugins.methods.descent import Descent, Goal, Slope
from stylekit_plugins.methods.gatys import Gatys
from tests.facts import raises

FEW = {"name": "random", "scales": 1, "width": 16}
SMALL: dict[str, Any] = {"encoder": FEW, "plan": (2, 2, 1, 0), "widths": (8, 8, 8)}
ODD = [(1, 1), (1, 6), (7, 1), (5, 8), (7, 7)]


def texture(kind: str, number: int = 0, size: int = 48) -> Tensor:
    return draw(kind, size, number)[None]


def drawn(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def small(**options: Any) -> Descent:
    torch.manual_seed(0)
    return Descent(**{**SMALL, **options}).eval()


def objective(method: Descent, image: Tensor, content: Tensor, style: Tensor) -> float:
    """The objective of the last steps, of an image at its own size."""
    with torch.no_grad():
        goal = method._goal(descent.pyramid(content, method.levels), method.describe(style), 1.0)
        return float(method._objective(descent.pyramid(image, method.levels), 0, goal)[0].mean())


def size_of(change: Tensor) -> float:
    return float(change.square().mean().sqrt())


def relative(gram: Tensor, target: Tensor) -> Tensor:
    return (gram - target).square().sum((1, 2)) / target.square().sum((1, 2))


def gram(features: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0].numel()


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt()


def shown(method: Gatys, content: Tensor) -> dict[str, Tensor]:
    """What Gatys compares with the content, where its encoder has one layer."""
    return {name: normalised(features) for name, features in method.encoder(content).items()}


def variation(x: Tensor) -> Tensor:
    """The total variation of each image, by hand; a side of one pixel has none."""
    parts = [(x[:, :, 1:] - x[:, :, :-1]), (x[..., 1:] - x[..., :-1])]
    return torch.stack([part.square().sum((1, 2, 3)) / max(1, part[0].numel()) for part in parts]).sum(0)


# The functions that return an error and its gradient, and the same errors by other formulas.
PIECES: dict[str, tuple[int, Callable[..., Slope], Callable[..., Tensor], Callable[[int, int, int], Tensor | None]]] = {
    "gram": (
        4, descent.gram_slope, lambda x, wanted: relative(gram(x), wanted), lambda c, h, w: gram(2 * drawn(2, c, h, w) - 1)
    ),
    "content": (
        4, descent.content_slope, lambda x, wanted: (normalised(x) - wanted).square().mean((1, 2, 3)),
        lambda c, h, w: normalised(drawn(2, c, h, w).flip(1)),
    ),
    "variation": (3, descent.variation_slope, variation, lambda c, h, w: None),
    "range": (
        3, descent.range_slope,
        lambda x: (torch.relu(-x).square() + torch.relu(x - 1).square()).mean((1, 2, 3)), lambda c, h, w: None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("size", ODD, ids=str)
@pytest.mark.parametrize("piece", PIECES)
def test_each_gradient_is_the_derivative_of_its_error(piece: str, size: tuple[int, int]) -> None:
    channels, function, expected, make_target = PIECES[piece]
    if 1 in size and piece == "variation":
        size = (size[0] + 1, size[1] + 1)  # never called for a single row, which has no neighbours
    x = (3 * drawn(2, channels, *size) - 1).requires_grad_(True)
    target = make_target(channels, *size)
    arguments = () if target is None else (target,)
    error = expected(x, *arguments)
    (derivative,) = torch.autograd.grad(error.sum(), x)
    with torch.no_grad():
        result = function(x, *arguments)
    torch.testing.assert_close(result.error, error.detach(), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(result.slope, derivative, rtol=1e-9, atol=1e-13)


def test_gradients_computed_by_hand() -> None:
    """An image of two pixels, 0 and 3: their difference is 3; the second exceeds the range by 2."""
    x = torch.tensor([[[[0.0], [3.0]]]], dtype=torch.float64)
    two = torch.cat([x, x], 3)  # two equal columns, so that there are horizontal neighbours
    error, slope = descent.variation_slope(two)
    assert error.tolist() == [9.0]
    assert slope.flatten().tolist() == [-3.0, -3.0, 3.0, 3.0]  # 2 * 3, divided among two columns
    error, slope = descent.range_slope(x)
    assert (error.tolist(), slope.flatten().tolist()) == ([2.0], [0.0, 2.0])
    # The Gram matrix is (0 + 9) / 2 = 4.5 and the target 3. Its derivative by x is x, that of the error 2 * 1.5 / 9 * x.
    error, slope = descent.gram_slope(x, torch.full((1, 1, 1), 3.0, dtype=torch.float64))
    torch.testing.assert_close(error, torch.tensor([0.25], dtype=torch.float64))
    torch.testing.assert_close(slope.flatten(), torch.tensor([0.0, 1.0], dtype=torch.float64))
    # With a fourth channel of ones, the last row contains the mean of each colour.
    colors = small().double().describe(drawn(1, 3, 8, 12))["colors0"]
    torch.testing.assert_close(4 * colors[:, 3, :3], drawn(1, 3, 8, 12).mean((2, 3)))
    torch.testing.assert_close(4 * colors[:, :3, :3], 3 * gram(drawn(1, 3, 8, 12)))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 4), (11, 12)], ids=str)
def test_the_gradient_through_the_filters_matches_autograd_also_at_the_borders(size: tuple[int, int]) -> None:
    method = small().double()
    x = drawn(2, 3, *size).requires_grad_(True)
    responses = method._responses(x)
    pull = torch.randn(responses.shape, dtype=torch.float64)
    (derivative,) = torch.autograd.grad((responses * pull).sum(), x)
    with torch.no_grad():
        torch.testing.assert_close(method._back(pull, responses, x), derivative, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_replicated_margin_is_added_to_the_border() -> None:
    """A filter that reads the pixel to the left: it reads the first column twice and never the last."""
    method = small(encoder={**FEW, "width": 1, "side": 3}).double()
    method.encoder.filters = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    method.encoder.filters[0, 1, 1, 0] = 1.0
    method.encoder.bias = torch.ones(1, dtype=torch.float64)
    image = drawn(1, 3, 2, 4)
    responses = method._responses(image)
    expected = image[:, 1:2, :, [0, 0, 1, 2]] + 0.5  # the bias of 1 minus the 0.5 by which images are shifted
    torch.testing.assert_close(responses, expected)
    back = method._back(torch.ones_like(responses), responses, image)
    assert back[0, 1].tolist() == [[2.0, 1.0, 1.0, 0.0]] * 2
    assert back[0, [0, 2]].count_nonzero() == 0


def goal_of(method: Descent, size: tuple[int, int]) -> tuple[Goal, Callable[[], Tensor]]:
    """A goal for images of that size, and a function that draws an image which exceeds the range."""
    content, style = drawn(2, 3, *size), drawn(1, 3, size[1], size[0]).pow(2)
    with torch.no_grad():
        goal = method._goal(descent.pyramid(content, method.levels), method.describe(style), 0.8)
    return goal, lambda: 1.2 * drawn(2, 3, *size).flip(-1) - 0.1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_gradients_of_all_levels_sum_to_the_derivative_of_the_objective(level: int) -> None:
    method = small(total_variation=7.0).double()
    goal, picture = goal_of(method, (12, 20))
    image = descent.pyramid(picture(), level + 1)[level].requires_grad_(True)
    copies = descent.pyramid(image, method.levels - level)
    total, _ = method._objective(copies, level, goal)
    (derivative,) = torch.autograd.grad(total.sum(), image)
    with torch.no_grad():
        _, slopes = method._objective([copy.detach() for copy in copies], level, goal)
    # A pixel of a coarser copy is the mean of four, so each of them gets a quarter of its gradient.
    summed = slopes[-1]
    for finer in reversed(slopes[:-1]):
        summed = finer + summed.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    torch.testing.assert_close(summed, derivative, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("level", "styles", "contents"), [(0, 3, 2), (1, 2, 2), (2, 1, 1)])
def test_the_weights_are_divided_among_the_levels_that_count(level: int, styles: int, contents: int) -> None:
    """The style is compared at this level and all coarser ones, the content at those except the finest.

    The copies are independent images here, so that each has its own gradient."""
    method = small(style=5.0, content=3.0, color=2.0, total_variation=7.0).double()
    filters, bias = method.encoder.filters, method.encoder.bias
    sizes = [(12, 20), (6, 10), (3, 5)]

    def seen(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x - 0.5, [filters.shape[-1] // 2] * 4, mode="replicate"), filters, bias).relu()

    def colors(x: Tensor) -> Tensor:
        return gram(torch.cat([x, torch.ones_like(x[:, :1])], 1))

    style, content = [drawn(1, 3, *size) for size in sizes], [drawn(2, 3, *size).square() for size in sizes]
    goal = Goal([gram(seen(x)) for x in style], [colors(x) for x in style], [normalised(seen(x)) for x in content[1:]])
    copies = [(1.4 * drawn(2, 3, *size).flip(3) - 0.2).requires_grad_(True) for size in sizes[level:]]
    first = copies[0]
    expected = 2.0 * relative(colors(first), goal.colors[level]) + 7.0 * variation(first)
    expected = expected + 10.0 * (first - first.clamp(0, 1)).square().mean((1, 2, 3))
    for at, image in enumerate(copies, level):
        expected = expected + 5.0 / styles * relative(gram(seen(image)), goal.grams[at])
        if at > 0:
            away = normalised(seen(image)) - goal.shown[at - 1]
            expected = expected + 3.0 / contents * away.square().mean((1, 2, 3))
    derivatives = torch.autograd.grad(expected.sum(), copies)
    with torch.no_grad():
        total, slopes = method._objective(copies, level, goal)
    torch.testing.assert_close(total, expected.detach(), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(slopes, list(derivatives), rtol=1e-9, atol=1e-13)


def test_the_objective_matches_gatys_where_both_are_defined() -> None:
    """With a single level ours has no content term, so that of Gatys is left out. So is the total variation, which we
    divide by the number of differences and Gatys by that of values; Gatys has no range term."""
    size = (6, 10)
    ours = small(widths=(8,), plan=(0,), total_variation=0.0).double()
    theirs = Gatys(FEW, content_weight=0.0, style_weight=30.0, total_variation=0.0, levels=1).double()
    content, style, image = drawn(2, 3, *size), drawn(1, 3, 6, 10).sqrt(), drawn(2, 3, *size).flip(2)
    goal = ours._goal([content], ours.describe(style), 1.0)
    grams = {name.removeprefix("level0."): value for name, value in theirs.describe(style).items()}
    expected = theirs.loss(image, shown(theirs, content), grams)
    torch.testing.assert_close(ours._objective([image], 0, goal)[0], expected, rtol=1e-10, atol=1e-12)


def test_the_content_term_matches_gatys_one_level_below() -> None:
    """With two levels the content counts only at the coarse one; style and colours are switched off."""
    ours = small(widths=(8, 8), plan=(1, 0), style=0.0, color=0.0, total_variation=0.0, content=2.0).double()
    theirs = Gatys(FEW, style_weight=0.0, color_weight=0.0, total_variation=0.0, content_weight=2.0, levels=1).double()
    content, image = drawn(2, 3, 8, 12), drawn(2, 3, 8, 12).flip(2)
    style = ours.describe(content)
    goal = ours._goal(descent.pyramid(content, 2), style, 1.0)
    half, seen = F.avg_pool2d(content, 2), descent.pyramid(image, 2)
    grams = {name.removeprefix("level0."): value for name, value in theirs.describe(half).items()}
    expected = theirs.loss(seen[1], shown(theirs, half), grams)
    torch.testing.assert_close(ours._objective(seen, 0, goal)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("level", [0, 2])
def test_the_surrogate_has_the_value_and_the_derivative_of_the_mean_logarithm(level: int) -> None:
    method = small().double()
    goal, picture = goal_of(method, (12, 20))
    image = descent.pyramid(picture(), level + 1)[level].requires_grad_(True)
    loss, slopes = method._reached(image, level, goal)
    (derivative,) = torch.autograd.grad(loss, image)
    total, own = method._objective(descent.pyramid(image, method.levels - level), level, goal)
    logarithm = (total + 1e-6).log().mean()
    (expected,) = torch.autograd.grad(logarithm, image)
    torch.testing.assert_close(loss, logarithm)
    torch.testing.assert_close(derivative, expected, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(slopes, [slope.detach() for slope in own])


def test_gradients_are_normalised_and_rounding_errors_stay_small() -> None:
    slope = torch.randn(2, 3, 8, 8)
    slope[1] *= 1e-3
    assert descent.steep(slope).square().mean((1, 2, 3)).tolist() == pytest.approx([1.0, 1.0], rel=1e-5)
    assert descent.steep(1e-8 * slope).abs().max() < 1e-2
    assert torch.equal(descent.steep(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))


def test_an_image_changes_less_in_its_own_style_than_in_another() -> None:
    """It does change, as steps have a fixed length."""
    method = small()
    content, style = texture("leaves", size=64), texture("strokes", 1, size=64)
    with torch.no_grad():
        own, other = method.stylize(content, content), method.stylize(content, style)
    assert size_of(own - content) < 0.4 * size_of(other - content)
    assert size_of(own - content) < 3 * descent.STRIDE


def test_untrained_steps_lower_the_objective() -> None:
    method = small(plan=(2, 2, 2, 1, 1, 0, 0))
    for content, style in ((texture("leaves"), texture("strokes", 1)), (texture("clouds"), texture("cells", 3))):
        stats = method.describe(style)
        with torch.no_grad():
            out = method.transfer(content, stats)
            matched = method._ready(content, stats)
        assert objective(method, matched, content, style) < objective(method, content, content, style)
        assert objective(method, out, matched, style) < 0.75 * objective(method, matched, matched, style)


def test_training_lowers_the_objective_further() -> None:
    method = small(lr=0.01)
    content = torch.cat([texture("leaves", number, 32) for number in range(2)])
    style = torch.cat([texture("strokes", number, 32) for number in range(2)])
    batch = {"content": content, "style": style}
    (player,) = player_states(method)
    alone = Runtime(SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=nullcontext))
    reached = [step(method, [player], batch, 0, 1000, alone)["descend/objective"] for _ in range(30)]
    assert sum(reached[-5:]) / 5 < reached[0] - 0.1  # about 10 %, as these are logarithms


def test_flat_images_in_a_flat_style_have_a_finite_loss() -> None:
    """The objective is 0 there, whose logarithm is not finite."""
    method = small()
    white = torch.ones(2, 3, 16, 16)
    (loss,) = method.descend({}, method({"content": white / 2, "style": white})).values()
    loss.backward()
    assert bool(loss.isfinite())
    gradients = [p.grad for p in method.updater.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def blended(one: Statistics, other: Statistics) -> Statistics:
    return {name: (one[name] + other[name]) / 2 for name in one}


def test_the_average_of_two_styles_lies_between_them() -> None:
    method = small()
    content, one, other = texture("leaves"), texture("strokes", 1), texture("cells", 3)
    a, b = method.describe(one), method.describe(other)
    with torch.no_grad():
        first, both, last = (method.transfer(content, stats) for stats in (a, blended(a, b), b))
    for end, far in ((first, last), (last, first)):
        assert size_of(both - end) < 0.8 * size_of(far - end)
    mean = (one.mean((2, 3)) + other.mean((2, 3))) / 2
    torch.testing.assert_close(both.mean((2, 3)), mean, atol=0.03, rtol=0)


def test_strength_interpolates_between_content_and_style() -> None:
    method = small()
    content, style = texture("leaves"), texture("strokes", 1)
    stats = method.describe(style)
    strengths = (0.25, 0.5, 0.75, 1.0)
    with torch.no_grad():
        outs = [method.transfer(content, stats, strength) for strength in strengths]
    moved = [size_of(out - content) for out in outs]
    assert moved == sorted(moved)
    assert moved[0] < 0.5 * moved[-1]
    for strength, out in zip(strengths, outs, strict=True):
        mean = content.mean((2, 3)).lerp(style.mean((2, 3)), strength)
        torch.testing.assert_close(out.mean((2, 3)), mean, atol=0.03, rtol=0)


def test_the_border_does_not_stand_out() -> None:
    """With the bundled model, a row at the border differs no more from its neighbour than other rows do."""
    out = load("stylekit-small", device="cpu").stylize(render(6, size=160)[None], draw("strokes", 160, 1)[None])
    for lines in (out, out.mT):
        steps = lines.diff(dim=2).square().mean((0, 1, 3)).sqrt()
        assert max(steps[0], steps[-1]) < 1.3 * steps[1:-1].median()


def test_a_grey_style_leaves_no_tints() -> None:
    method = small()
    content, grey = texture("leaves"), texture("strokes", 1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        out = method.transfer(content, method.describe(grey))
        steps = method._descend(method._ready(content, method.describe(grey)), method.describe(grey))[0]
    assert (steps.amax(1) - steps.amin(1)).max() > 0.02  # after the steps alone there are tints
    assert (out.amax(1) - out.amin(1)).max() < 2 / 255  # in 8-bit levels
    assert out.std() > 0.9 * grey.std()


def test_a_batch_accepts_one_style_per_image_or_one_for_all() -> None:
    method = small()
    content = torch.cat([texture("leaves"), texture("clouds")])
    style = torch.cat([texture("strokes", 1), texture("cells", 3)])
    with torch.no_grad():
        both, shared = method.stylize(content, style), method.stylize(content, style[:1])
        alone = [method.stylize(content[row, None], style[row, None]) for row in range(2)]
        first = method.stylize(content[1:], style[:1])
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-3, rtol=0)  # a quarter of an 8-bit level
    torch.testing.assert_close(shared[:1], both[:1], atol=1e-4, rtol=0)
    torch.testing.assert_close(shared[1:], first, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("content", "style"), [((1, 1), (64, 48)), ((48, 40), (1, 1)), ((17, 200), (90, 33)), ((3, 2), (2, 3))], ids=str
)
def test_any_size_of_content_and_style(content: tuple[int, int], style: tuple[int, int]) -> None:
    torch.manual_seed(0)
    given = torch.rand(1, 3, *content)
    with torch.no_grad():
        out = small().stylize(given, torch.rand(1, 3, *style))
    assert out.shape == given.shape
    assert bool(out.isfinite().all())
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_the_size_of_a_style_does_not_matter() -> None:
    """Statistics are means over pixels: the same image twice, side by side, is the same style except for the seam."""
    method = small()
    content, style = texture("leaves"), texture("cells", 3, 64)
    mirrored = torch.cat([style, style.flip(3)], 3)
    one, twice = method.describe(style), method.describe(mirrored.flip(3))
    for name in ("color.mean", "color.root", "colors0", "colors2"):
        torch.testing.assert_close(one[name], twice[name], atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        outs = [method.transfer(content, stats) for stats in (one, twice)]
        other = method.stylize(content, texture("strokes", 1))
    assert size_of(outs[0] - outs[1]) < 0.3 * size_of(outs[0] - other)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image_gets_the_styles_mean_and_a_flat_style_gives_a_flat_image(value: float) -> None:
    method = small()
    flat, colorful = torch.full((1, 3, 40, 40), value), texture("strokes", 1, 40)
    with torch.no_grad():
        painted, bleached = method.stylize(flat, colorful), method.stylize(colorful, flat)
    # Only nearly, as steps of a fixed length overshoot; by how much depends on rounding.
    assert float((bleached - flat).abs().mean()) < 0.08
    away = float((painted - colorful).mean((2, 3)).abs().max())
    assert away < 0.15


def test_a_model_file_contains_only_the_filters_and_the_updater(tmp_path: Path) -> None:
    method = make("method", {"name": "descent", **SMALL}).eval()
    save_model(method, "descent", tmp_path / "small.safetensors")
    tensors, _ = read_tensors(tmp_path / "small.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"encoder", "updater"}
    assert {name for name in tensors if name.startswith("encoder")} == {"encoder.filters", "encoder.bias"}
    assert set(tensors) == set(method.state_dict())
    content, style = texture("leaves"), texture("cells")
    with torch.no_grad():
        expected = method.stylize(content, style)
    assert torch.equal(load(tmp_path / "small.safetensors", "cpu").stylize(content, style), expected)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"plan": (1, 2, 0)}, ["plan", (1, 2, 0), "'descent'", "coarse"]),
        ({"plan": (3, 0)}, ["plan", (3, 0), 2, "3 widths"]),
        ({"plan": (2, 1)}, ["plan", (2, 1), "end", 0]),
        ({"plan": (0, -1)}, ["plan", (0, -1), "coarse"]),
        ({"plan": ()}, ["'steps'", 0]),
        ({"widths": (), "plan": (0,)}, ["'levels'", 0]),
        ({"widths": (8, 0, 8)}, ["'widths[1]'", 0]),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        small(**options)


def test_photos_get_the_style_of_paintings(pictures: Path) -> None:
    read = partial(images.resize, size=(96, 96))
    content, style = (read(images.read(pictures / name).image) for name in ("content/cornell.jpg", "style/la_muse.jpg"))
    method = small(plan=(2, 2, 2, 1, 1, 0, 0))
    with torch.no_grad():
        out = method.stylize(content, style)
    assert objective(method, out, content, style) < 0.5 * objective(method, content, content, style)
    ours, theirs, photo = (normalised(method._responses(F.avg_pool2d(x, 2))) for x in (out, style, content))
    assert float((ours - photo).square().mean()) < 0.7 * float((theirs - photo).square().mean())
