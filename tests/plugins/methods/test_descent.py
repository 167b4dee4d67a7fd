"""Descent: the slopes against autograd and by hand, the objective against Gatys', and what the steps bring about."""

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
    """What the last steps lower, of a picture at its own size."""
    with torch.no_grad():
        goal = method._goal(descent.pyramid(content, method.levels), method.describe(style), 1.0)
        return float(method._objective(descent.pyramid(image, method.levels), 0, goal)[0].mean())


def size_of(change: Tensor) -> float:
    return float(change.square().mean().sqrt())


def relative(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).square().sum((1, 2)) / wanted.square().sum((1, 2))


def gram(features: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0].numel()


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt()


def variation(x: Tensor) -> Tensor:
    """Of each picture, by hand; no neighbours, no difference."""
    parts = [(x[:, :, 1:] - x[:, :, :-1]), (x[..., 1:] - x[..., :-1])]
    return torch.stack([part.square().sum((1, 2, 3)) / max(1, part[0].numel()) for part in parts]).sum(0)


# The errors by other formulas, and the functions that also give their slopes.
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
def test_a_slope_is_the_derivative_of_its_error(piece: str, size: tuple[int, int]) -> None:
    channels, found, expected, wanted = PIECES[piece]
    if 1 in size and piece == "variation":
        size = (size[0] + 1, size[1] + 1)  # with one row alone it has no neighbours to compare, and is never asked
    x = (3 * drawn(2, channels, *size) - 1).requires_grad_(True)
    target = wanted(channels, *size)
    arguments = () if target is None else (target,)
    error = expected(x, *arguments)
    (derivative,) = torch.autograd.grad(error.sum(), x)
    with torch.no_grad():
        told = found(x, *arguments)
    torch.testing.assert_close(told.error, error.detach(), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(told.slope, derivative, rtol=1e-9, atol=1e-13)


def test_slopes_by_hand() -> None:
    """A picture of two pixels, 0 and 3: their difference is 3; the second is 2 beyond the range."""
    x = torch.tensor([[[[0.0], [3.0]]]], dtype=torch.float64)
    two = torch.cat([x, x], 3)  # so that there are neighbours across, which are equal
    error, slope = descent.variation_slope(two)
    assert error.tolist() == [9.0]
    assert slope.flatten().tolist() == [-3.0, -3.0, 3.0, 3.0]  # 2 * 3, shared by two columns
    error, slope = descent.range_slope(x)
    assert (error.tolist(), slope.flatten().tolist()) == ([2.0], [0.0, 2.0])
    # The Gram matrix is (0 + 9) / 2, and 3 is wanted: 1.5 away; by x it is x, and the error's slope 2 * 1.5 / 9 * x.
    error, slope = descent.gram_slope(x, torch.full((1, 1, 1), 3.0, dtype=torch.float64))
    torch.testing.assert_close(error, torch.tensor([0.25], dtype=torch.float64))
    torch.testing.assert_close(slope.flatten(), torch.tensor([0.0, 1.0], dtype=torch.float64))
    # With a fourth channel of ones the mean of each colour is in the last row.
    colors = gram(descent.with_one(drawn(1, 3, 4, 5)))
    torch.testing.assert_close(4 * colors[:, 3, :3], drawn(1, 3, 4, 5).mean((2, 3)))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 4), (11, 12)], ids=str)
def test_the_way_back_through_the_filters_is_autograds_at_the_borders_too(size: tuple[int, int]) -> None:
    method = small().double()
    x = drawn(2, 3, *size).requires_grad_(True)
    responses = method._responses(x)
    pull = torch.randn(responses.shape, dtype=torch.float64)
    (derivative,) = torch.autograd.grad((responses * pull).sum(), x)
    with torch.no_grad():
        torch.testing.assert_close(method._back(pull, responses, x), derivative, rtol=1e-10, atol=1e-12)


def test_the_replicated_margin_adds_what_lies_beyond_to_the_border() -> None:
    """A filter that takes the pixel to the left: the first column is seen twice, and the last one never."""
    method = small(encoder={**FEW, "width": 1, "side": 3}).double()
    method.encoder.filters = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    method.encoder.filters[0, 1, 1, 0] = 1.0
    method.encoder.bias = torch.ones(1, dtype=torch.float64)
    image = drawn(1, 3, 2, 4)
    responses = method._responses(image)
    expected = image[:, 1:2, :, [0, 0, 1, 2]] + 0.5  # 1 of the bias, less the half that pictures are moved by
    torch.testing.assert_close(responses, expected)
    back = method._back(torch.ones_like(responses), responses, image)
    assert back[0, 1].tolist() == [[2.0, 1.0, 1.0, 0.0]] * 2
    assert back[0, [0, 2]].count_nonzero() == 0


def goal_of(method: Descent, size: tuple[int, int]) -> tuple[Goal, Callable[[], Tensor]]:
    """A goal for pictures of that size, and a drawn picture beyond the range."""
    content, style = drawn(2, 3, *size), drawn(1, 3, size[1], size[0]).pow(2)
    with torch.no_grad():
        goal = method._goal(descent.pyramid(content, method.levels), method.describe(style), 0.8)
    return goal, lambda: 1.2 * drawn(2, 3, *size).flip(-1) - 0.1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_objectives_slopes_sum_to_its_derivative(level: int) -> None:
    method = small(total_variation=7.0).double()
    goal, picture = goal_of(method, (12, 20))
    image = descent.pyramid(picture(), level + 1)[level].requires_grad_(True)
    copies = descent.pyramid(image, method.levels - level)
    total, _ = method._objective(copies, level, goal)
    (derivative,) = torch.autograd.grad(total.sum(), image)
    with torch.no_grad():
        _, slopes = method._objective([copy.detach() for copy in copies], level, goal)
    # Each picture's coarser copies are means of four, so their slopes come back by a quarter to each.
    summed = slopes[-1]
    for finer in reversed(slopes[:-1]):
        summed = finer + summed.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4
    torch.testing.assert_close(summed, derivative, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("level", "styles", "contents"), [(0, 3, 2), (1, 2, 2), (2, 1, 1)])
def test_the_weights_are_shared_by_the_levels_that_count(level: int, styles: int, contents: int) -> None:
    """Of three levels: the style is compared at this one and each coarser one, the content at those but the finest.

    The copies are pictures of their own here, so that each has a slope of its own."""
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


def test_the_objective_is_that_of_gatys_where_the_two_agree() -> None:
    """One level and no coarser one: then there is no content in ours, and theirs is left out. The variation is divided
    by the number of differences here, and there by that of values; the range is no matter of theirs."""
    size = (6, 10)
    ours = small(widths=(8,), plan=(0,), total_variation=0.0).double()
    theirs = Gatys(FEW, content_weight=0.0, total_variation=0.0, levels=1).double()
    content, style, image = drawn(2, 3, *size), drawn(1, 3, 6, 10).sqrt(), drawn(2, 3, *size).flip(2)
    goal = ours._goal([content], ours.describe(style), 1.0)
    grams = {name.removeprefix("level0."): value for name, value in theirs.describe(style).items()}
    expected = theirs.loss(image, theirs._shown(theirs.encoder(content)), grams)
    torch.testing.assert_close(ours._objective([image], 0, goal)[0], expected, rtol=1e-10, atol=1e-12)


def test_the_content_is_that_of_gatys_a_level_below() -> None:
    """Two levels: content counts at the coarse one alone, which is all of the objective there but style and colours."""
    ours = small(widths=(8, 8), plan=(1, 0), style=0.0, color=0.0, total_variation=0.0, content=2.0).double()
    theirs = Gatys(FEW, style_weight=0.0, color_weight=0.0, total_variation=0.0, content_weight=2.0, levels=1).double()
    content, image = drawn(2, 3, 8, 12), drawn(2, 3, 8, 12).flip(2)
    style = ours.describe(content)
    goal = ours._goal(descent.pyramid(content, 2), style, 1.0)
    half, seen = F.avg_pool2d(content, 2), descent.pyramid(image, 2)
    grams = {name.removeprefix("level0."): value for name, value in theirs.describe(half).items()}
    expected = theirs.loss(seen[1], theirs._shown(theirs.encoder(half)), grams)
    torch.testing.assert_close(ours._objective(seen, 0, goal)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("level", [0, 2])
def test_the_surrogate_has_the_value_and_the_derivative_of_the_mean_logarithm(level: int) -> None:
    method = small().double()
    goal, picture = goal_of(method, (12, 20))
    image = descent.pyramid(picture(), level + 1)[level].requires_grad_(True)
    loss, slopes = method._reached(image, level, goal)
    (found,) = torch.autograd.grad(loss, image)
    total, own = method._objective(descent.pyramid(image, method.levels - level), level, goal)
    logarithm = (total + 1e-6).log().mean()
    (expected,) = torch.autograd.grad(logarithm, image)
    torch.testing.assert_close(loss, logarithm)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(slopes, [slope.detach() for slope in own])


def test_a_slope_of_any_size_is_made_steep_and_rounding_stays_small() -> None:
    slope = torch.randn(2, 3, 8, 8)
    slope[1] *= 1e-3
    assert descent.steep(slope).square().mean((1, 2, 3)).tolist() == pytest.approx([1.0, 1.0], rel=1e-5)
    assert descent.steep(1e-8 * slope).abs().max() < 1e-2
    assert torch.equal(descent.steep(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))


def test_a_picture_moves_less_in_its_own_style_than_in_another() -> None:
    """Yet it moves: steps have a length of their own, however little is left to do."""
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


def test_training_lowers_it_further() -> None:
    method = small(lr=0.01)
    content = torch.cat([texture("leaves", number, 32) for number in range(2)])
    style = torch.cat([texture("strokes", number, 32) for number in range(2)])
    batch = {"content": content, "style": style}
    (player,) = player_states(method)
    alone = Runtime(SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=nullcontext))
    reached = [step(method, [player], batch, 0, 1000, alone)["descend/objective"] for _ in range(30)]
    assert sum(reached[-5:]) / 5 < reached[0] - 0.1  # a tenth, as these are logarithms


def test_flat_pictures_in_a_flat_style_leave_a_finite_loss() -> None:
    """There nothing is to be lowered, and the logarithm of nothing is not finite."""
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


def test_strength_leads_from_the_content_to_the_style() -> None:
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


def test_the_border_is_no_line_of_its_own() -> None:
    """In a picture by the model that ships, a line at the border is no farther from its neighbour than others are."""
    out = load("stylekit-small", device="cpu").stylize(render(6, size=160)[None], draw("strokes", 160, 1)[None])
    for lines in (out, out.mT):
        steps = lines.diff(dim=2).square().mean((0, 1, 3)).sqrt()
        assert max(steps[0], steps[-1]) < 1.3 * steps[1:-1].median()


def test_no_tints_are_left_where_the_style_is_grey() -> None:
    method = small()
    content, grey = texture("leaves"), texture("strokes", 1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    with torch.no_grad():
        out = method.transfer(content, method.describe(grey))
        steps = method._descend(method._ready(content, method.describe(grey)), method.describe(grey))[0]
    assert (steps.amax(1) - steps.amin(1)).max() > 0.02  # what the steps alone leave
    assert (out.amax(1) - out.amin(1)).max() < 2 / 255  # in steps of 8 bits
    assert out.std() > 0.9 * grey.std()


def test_each_picture_of_a_batch_takes_its_own_style_or_the_one_for_all() -> None:
    method = small()
    content = torch.cat([texture("leaves"), texture("clouds")])
    style = torch.cat([texture("strokes", 1), texture("cells", 3)])
    with torch.no_grad():
        both, shared = method.stylize(content, style), method.stylize(content, style[:1])
        alone = [method.stylize(content[row, None], style[row, None]) for row in range(2)]
        first = method.stylize(content[1:], style[:1])
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-3, rtol=0)  # a quarter of a step of 8 bits
    torch.testing.assert_close(shared[:1], both[:1], atol=1e-4, rtol=0)
    torch.testing.assert_close(shared[1:], first, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("content", "style"), [((1, 1), (64, 48)), ((48, 40), (1, 1)), ((17, 200), (90, 33)), ((3, 2), (2, 3))], ids=str
)
def test_every_size_of_content_and_style(content: tuple[int, int], style: tuple[int, int]) -> None:
    torch.manual_seed(0)
    given = torch.rand(1, 3, *content)
    with torch.no_grad():
        out = small().stylize(given, torch.rand(1, 3, *style))
    assert out.shape == given.shape
    assert bool(out.isfinite().all())
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_a_style_of_another_size_is_the_same_style() -> None:
    """Statistics are means over pixels: twice the picture side by side is no other style, but for the seam."""
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
def test_a_flat_picture_takes_the_styles_mean_and_a_flat_style_leaves_it_flat(value: float) -> None:
    method = small()
    flat, colorful = torch.full((1, 3, 40, 40), value), texture("strokes", 1, 40)
    with torch.no_grad():
        painted, bleached = method.stylize(flat, colorful), method.stylize(colorful, flat)
    # Near it, as steps of a fixed length go past it and back; how far hangs on rounding.
    assert float((bleached - flat).abs().mean()) < 0.08
    away = float((painted - colorful).mean((2, 3)).abs().max())
    assert away < 0.15


def test_a_model_file_holds_the_filters_and_the_updater_alone(tmp_path: Path) -> None:
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
    ("options", "told"),
    [
        ({"plan": (1, 2, 0)}, r"The plan \(1, 2, 0\) of 'descent' must go from coarse levels to fine ones"),
        ({"plan": (3, 0)}, r"end at 0, each from 0 to 2, as there are 3 widths"),
        ({"plan": (2, 1)}, "end at 0"),
        ({"plan": (0, -1)}, "must go from coarse"),
        ({"plan": ()}, "'steps' is 0"),
        ({"widths": (), "plan": (0,)}, "'levels' is 0"),
        ({"widths": (8, 0, 8)}, r"'widths\[1\]' is 0"),
    ],
)
def test_what_cannot_be_built(options: dict[str, Any], told: str) -> None:
    with pytest.raises(StylekitError, match=told):
        small(**options)


def test_photographs_take_the_style_of_paintings(pictures: Path) -> None:
    read = partial(images.resize, size=(96, 96))
    content, style = (read(images.read(pictures / name).image) for name in ("content/cornell.jpg", "style/la_muse.jpg"))
    method = small(plan=(2, 2, 2, 1, 1, 0, 0))
    with torch.no_grad():
        out = method.stylize(content, style)
    assert objective(method, out, content, style) < 0.5 * objective(method, content, content, style)
    ours, theirs, photo = (normalised(method._responses(F.avg_pool2d(x, 2))) for x in (out, style, content))
    assert float((ours - photo).square().mean()) < 0.7 * float((theirs - photo).square().mean())
