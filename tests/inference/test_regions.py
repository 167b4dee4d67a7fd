"""Optimising a large image region by region: each region is optimised as if the whole image was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import StylekitError, images, make
from stylekit.images import Canvas, resize
from stylekit.inference.memory import PeakBytes, probe_image
from stylekit.inference.model import Model
from stylekit.inference.tiles import Box, Regions, SharedStatistics, Tiles
from stylekit.inference.tiles.pieces import divide
from stylekit.inference.tiles.reductions import Moments, Products
from stylekit.inference.tiles.regions import HALO, enlarged_part, fading, seen
from stylekit.losses import gram_loss, total_variation
from stylekit.method import Batch, OptimizingMethod, Stage, Statistics
from stylekit.ops import gram_matrix
from stylekit_plugins.datasets.scenes import render
from tests.facts import raises, warns
from tests.tensors import noise

NETWORK = nn.Sequential(
    nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
).double()
"""A network that sees five pixels around each."""
TARGET = gram_matrix(noise(1, 8, 9, 9).double())


def loss(image: Tensor) -> Tensor:
    return gram_loss(gram_matrix(NETWORK(image)), TARGET) + total_variation(image)


def plain_gram(features: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0].numel()


def plain_loss(image: Tensor) -> Tensor:
    """The same, by its formula."""
    error = (plain_gram(NETWORK(image)) - TARGET).square().sum() / TARGET.square().sum()
    return error + sum(image.diff(dim=dim).square().mean() for dim in (2, 3))


def picture(height: int = 256, width: int = 320) -> Tensor:
    image = noise(1, 3, height, width) * torch.linspace(1, 0.2, width)
    return image.clamp(0, 1).double()


def measured(image: Tensor) -> SharedStatistics:
    """The statistics of the loss over regions of 128 pixels."""
    probe = probe_image(256).double()
    shared = SharedStatistics(SharedStatistics.of_example(lambda: loss(probe), 256).layouts)
    pieces = divide(image.shape[2], image.shape[3], 128, HALO)

    def part(box: Box) -> Callable[[], Tensor]:
        return lambda: loss(image[..., box.rows, box.columns])

    while shared.measure_next((part(piece.box), piece.core) for piece in pieces):
        pass
    return shared


def test_the_gram_matrix_over_regions_is_that_of_the_whole_image() -> None:
    image = picture()
    with torch.no_grad():
        shared = measured(image)
        products = [known for known in shared._known if isinstance(known, Products)]
        expected = plain_gram(NETWORK(image))
    assert len(products) == 1
    assert products[0].count == 128 * 160
    torch.testing.assert_close(products[0].mean[None] / 8, expected, rtol=1e-5, atol=0)


def test_the_gradient_of_a_region_is_that_of_the_whole_image() -> None:
    image = picture()
    for piece in (divide(256, 320, 128, HALO)[number] for number in (0, 4)):
        box, core = piece.box, seen(piece)
        with torch.no_grad():
            start = image[..., box.rows, box.columns].clone()
            rest = measured(image).without(lambda start=start: loss(start), core)  # type: ignore[misc]
        free = start.requires_grad_(True)
        value = rest.compute_joined(partial(loss, free), core)
        (gradient,) = torch.autograd.grad(value.sum(), free)
        whole = image.clone().requires_grad_(True)
        expected_value = plain_loss(whole)
        (expected,) = torch.autograd.grad(expected_value, whole)
        inner = piece.inner.within(box)
        torch.testing.assert_close(value, expected_value[None], rtol=1e-5, atol=0)
        torch.testing.assert_close(
            gradient[..., inner.rows, inner.columns],
            expected[..., piece.inner.rows, piece.inner.columns],
            rtol=1e-5,
            atol=1e-12,
        )


def test_after_a_region_has_changed_the_statistics_are_those_of_the_new_image() -> None:
    image, piece = picture(), divide(256, 320, 128, HALO)[1]
    box, inner = piece.box, piece.inner
    with torch.no_grad():
        rest = measured(image).without(lambda: loss(image[..., box.rows, box.columns]), seen(piece))
        image[..., inner.rows, inner.columns] *= 0.5
        joined = rest.joined(lambda: loss(image[..., box.rows, box.columns]), seen(piece))
        for one, other in zip(joined._known, measured(image)._known, strict=True):
            if one is not None and other is not None:
                assert not isinstance(one, Moments) or not isinstance(other, Moments) or one.count == other.count
                torch.testing.assert_close(one.mean, other.mean, rtol=1e-9, atol=1e-12)  # type: ignore[union-attr]


def test_moments_without_a_part_are_those_of_the_rest() -> None:
    values = noise(1, 4, 30, 7).double() * torch.tensor([1.0, 1e-3, 30, 2]).view(1, 4, 1, 1) + 5
    whole, part, rest = Moments.of(values), Moments.of(values[:, :, :12]), values[:, :, 12:]
    found = whole.without(part)
    torch.testing.assert_close(found.mean, rest.mean((0, 2, 3)), rtol=1e-9, atol=0)
    torch.testing.assert_close(found.variance, rest.var((0, 2, 3), correction=0), rtol=1e-6, atol=0)
    assert found.count == 18 * 7
    again = whole.without(whole).merged(part)
    torch.testing.assert_close(again.variance, part.variance, rtol=1e-12, atol=0)


def test_changes_fade_out_beyond_the_core() -> None:
    piece = divide(256, 512, 128, HALO)[1]
    weight = fading(piece)
    assert weight.shape == (192, 256)  # no halo above
    assert torch.equal(weight[:128, 64:192], torch.ones(128, 128))
    assert torch.allclose(weight[5, 32:65], torch.arange(33) / 32)
    assert float(weight[:, :32].max()) == float(weight[160:].max()) == 0
    assert seen(piece).rows == (0, 160)
    assert seen(piece).columns == (32, 224)


def test_an_image_is_enlarged_part_by_part_as_if_at_once() -> None:
    small = noise(1, 3, 31, 40)
    expected = F.interpolate(small, (63, 81), mode="bicubic", align_corners=False).clamp(0, 1)
    for box in (Box(0, 0, 20, 81), Box(20, 11, 63, 50)):
        made = enlarged_part(small, (63, 81), box)
        torch.testing.assert_close(made, expected[..., box.rows, box.columns], rtol=0, atol=1e-4)


# Methods


class Contrast(OptimizingMethod):
    """Someone else's method, which knows nothing of regions: a content whose whole has the style's means and variances."""

    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3)), "variance": style.var((2, 3), correction=0)}

    def stages(self, height: int, width: int) -> Sequence[Stage]:
        return [Stage(1, 4), Stage(0, 12)]

    def objective(
        self, content: Tensor, style: Statistics, strength: float = 1.0, level: int = 0
    ) -> Callable[[Tensor], Tensor]:
        def value(image: Tensor) -> Tensor:
            mean = (image.mean((2, 3)) - style["mean"]).square().sum(1)
            return mean + (image.var((2, 3), correction=0) - style["variance"]).square().sum(1)

        return value

    def descend(
        self,
        image: Tensor,
        objective: Callable[[Tensor], Tensor],
        steps: int,
        on_step: Callable[[int, Tensor], None] = lambda step, image: None,
    ) -> Tensor:
        image = image.detach().requires_grad_(True)
        optimizer = torch.optim.SGD([image], lr=0.1 * image[0].numel())
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            objective(image).sum().backward()
            optimizer.step()
            on_step(step, image.detach())
        return image.detach().clamp(0, 1)

    def forward(self, batch: Batch) -> Any:
        return None


def test_regions_keep_the_statistics_of_the_whole_image_and_not_their_own() -> None:
    """A dark and a light half stay dark and light: only the whole gets the mean of the style."""
    content = torch.cat([torch.full((1, 3, 256, 256), 0.25), torch.full((1, 3, 256, 256), 0.55)], 3)
    content = content + 0.02 * (noise(1, 3, 256, 512) - 0.5)
    style = (0.5 + 0.5 * (noise(1, 3, 64, 64) - 0.5)).clamp(0, 1)
    made = Model(Contrast(), "contrast").stylize(content, style, tiles=Tiles(256))
    torch.testing.assert_close(made.mean((2, 3)), style.mean((2, 3)), rtol=0, atol=0.01)
    assert float(made[..., 256:].mean() - made[..., :256].mean()) > 0.25


SMALL: dict[str, Any] = {"encoder": {"name": "random", "scales": 2, "width": 8}, "steps": 16, "levels": 2}


@pytest.fixture(scope="module")
def gatys() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model(make("method", {"name": "gatys", **SMALL}), "gatys")


CONTENT = resize(render(1, "photo", 128)[None], (256, 256))
STYLE = render(100, "strokes", 96)[None]


def border_step(image: Tensor) -> float:
    """How much steeper an image is across the border of regions of 128 pixels than elsewhere."""
    ratios = []
    for each in (image, image.transpose(2, 3)):
        steps = (each[..., 1:] - each[..., :-1]).abs().mean((0, 1, 2))
        ratios.append(steps[127] / torch.cat([steps[:127], steps[128:]]).mean())
    return float(torch.stack(ratios).mean())


def test_a_picture_by_regions_is_as_good_as_at_once_and_has_no_borders(gatys: Model) -> None:
    assert isinstance(gatys.method, OptimizingMethod)
    whole, made = gatys.stylize(CONTENT, STYLE), gatys.stylize(CONTENT, STYLE, tiles=Tiles(128))
    objective = gatys.method.objective(CONTENT, gatys.method.describe(STYLE))
    with torch.no_grad():
        before, at_once, by_regions = (float(objective(image)) for image in (CONTENT, whole, made))
    assert by_regions < 1.1 * at_once < 0.5 * before
    assert border_step(made) < 1.1 * border_step(whole)


def test_the_memory_of_a_region_does_not_grow_with_the_picture(gatys: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks: list[int] = []
    region: Callable[..., Any] = Regions._optimize_region

    def counted(*given: Any) -> Any:
        with PeakBytes() as count:
            result = region(*given)
        peaks.append(count.peak)
        return result

    monkeypatch.setattr(Regions, "_optimize_region", counted)
    monkeypatch.setattr(gatys.method, "steps", 1)
    monkeypatch.setattr(gatys.method, "levels", 1)
    sizes = []
    for width in (384, 640):
        peaks.clear()
        gatys.stylize(noise(1, 3, 128, width), STYLE, tiles=Tiles(128))
        assert len(peaks) == width // 128
        sizes.append(max(peaks))
    assert sizes[0] == sizes[1]


def test_masks_colours_and_a_strength_of_0_work(gatys: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatys.method, "steps", 4)
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 128:] = 1
    made = gatys.stylize(CONTENT, STYLE, mask=mask, keep_color="luminance", tiles=Tiles(128))
    assert torch.equal(made[..., :128], CONTENT[..., :128])
    assert float((made - CONTENT)[..., 128:].abs().mean()) > 0.001
    assert torch.equal(gatys.stylize(CONTENT, STYLE, strength=0, tiles=Tiles(128)), CONTENT)


def test_a_picture_that_does_not_fit_is_optimised_by_regions(gatys: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatys.method, "steps", 1)
    monkeypatch.setattr(gatys.method, "levels", 1)
    monkeypatch.setattr("stylekit.inference.model.LARGE", 2**14)
    needed = gatys.needed_memory(128, 448)
    assert needed > 4 * 8 * 128 * 448 * 4  # the first maps, and their gradients
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: int(2 * gatys.needed_memory(256, 256)))
    with warns(UserWarning, "1152x128", "tiles"):
        made = gatys.stylize(noise(1, 3, 128, 1152), STYLE)
    assert made.shape == (1, 3, 128, 1152)
    with raises(StylekitError, "128", "memory"):
        gatys.stylize(CONTENT, STYLE, tiles=Tiles(memory=1))


def test_an_interrupted_picture_goes_on_with_the_region_that_was_not_finished(
    gatys: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatys.method, "steps", 4)
    images.write(tmp_path / "photo.png", CONTENT[0])
    picture = images.decode(tmp_path / "photo.png")

    def stylize(name: str, resume: bool, stop: int = 100) -> None:
        def interrupt(done: int, total: int) -> None:
            if done == stop:
                raise KeyboardInterrupt

        canvas = Canvas(tmp_path / name, picture.size, images.read(tmp_path / "photo.png"), resume=resume)
        try:
            gatys.stylize_large(picture, canvas, STYLE, tiles=Tiles(128), on_progress=interrupt)
        except KeyboardInterrupt:
            assert canvas.begun
            canvas.close()
        else:
            canvas.save()

    made: list[Any] = []
    region: Callable[..., Any] = Regions._optimize_region

    def noted(*given: Any) -> Any:
        made.append(given[2])
        return region(*given)

    monkeypatch.setattr(Regions, "_optimize_region", noted)
    stylize("whole.png", resume=False)
    at_once = [*made]
    stylize("again.png", resume=False, stop=3)  # one region at half size, and two of four
    stylize("again.png", resume=True)
    assert made[len(at_once) :] == at_once
    whole, again = (images.read(tmp_path / name).image for name in ("whole.png", "again.png"))
    torch.testing.assert_close(again, whole, rtol=0, atol=2 / 255)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "photo.png", "whole.png"]
    stylize("again.png", resume=True)
    assert len(made) == 3 * len(at_once)  # nothing was left of the picture before
