"""Large images in tiles: the tiles share their statistics, so that the image looks as if it was stylised at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stylekit
from stylekit import Method, StylekitError, make
from stylekit.images import resize, write
from stylekit.inference.model import Model
from stylekit.inference.tiles import Box, Core, SharedStatistics, Tiles, Tiling
from stylekit.inference.tiles.pieces import divide, spread
from stylekit.inference.tiles.reach import measure_reach
from stylekit.inference.tiles.reductions import Moments, _normalized, find_reduction
from stylekit.layers import InstanceNorm, SelfAttention
from stylekit.method import Capabilities, Layer, Statistics
from stylekit.ops import adain, channel_stats, gram_matrix, instance_norm
from tests.facts import raises, warns
from tests.tensors import noise

SIZE = (256, 320)


def picture(height: int = SIZE[0], width: int = SIZE[1]) -> Tensor:
    """An image whose parts differ: noise, darker to the right and redder downwards."""
    image = noise(1, 3, height, width) * torch.linspace(1, 0.2, width)
    image[:, 0] += torch.linspace(0, 0.5, height)[:, None]
    return image.clamp(0, 1)


def conv(before: int, after: int, stride: int = 1) -> nn.Module:
    torch.manual_seed(before + after)
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3, stride)).double()


FIRST, DOWN, UP = conv(3, 8), conv(8, 16, 2), conv(16, 3)
EXTRA = noise(1, 8, 5, 5).double()


def network(middle: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Halves and doubles an image, with an operation on its features."""

    def run(image: Tensor) -> Tensor:
        x: Tensor = DOWN(middle(FIRST(image)).relu())
        enlarged: Tensor = UP(F.interpolate(instance_norm(x, activation="relu"), scale_factor=2.0))
        return enlarged

    return run


def per_pixel(values: Tensor) -> Tensor:
    return values[..., None, None]


MIDDLES: dict[str, Callable[[Tensor], Tensor]] = {
    "torch's instance norm": nn.InstanceNorm2d(8),
    "its own instance norm": InstanceNorm("leaky_relu"),
    "group norm": nn.GroupNorm(2, 8).double(),
    "adain": lambda x: adain(x, EXTRA, alpha=0.7),
    "channel_stats": lambda x: x - per_pixel(channel_stats(x)[0]) / per_pixel(channel_stats(x)[1]),
    "mean": lambda x: x - x.mean((2, 3), keepdim=True),
    "mean of all": lambda x: x / x.mean(),
    "mean over channels too": lambda x: x / torch.mean(x, (1, 2, 3), True),
    "sum": lambda x: x / x.abs().sum(dim=(-1, -2), keepdim=True) * 1e4,
    "var": lambda x: x / x.var((2, 3), keepdim=True),
    "biased var": lambda x: x / x.var((1, 2, 3), unbiased=False, keepdim=True),
    "corrected std": lambda x: x / torch.std(x, (2, 3), correction=0, keepdim=True),
    "var_mean": lambda x: x * torch.var_mean(x, (2, 3), keepdim=True)[0] + torch.var_mean(x, (2, 3), keepdim=True)[1],
    "average pooling": lambda x: x * F.adaptive_avg_pool2d(x, 1),
    "extremes": lambda x: (x - x.amin((2, 3), keepdim=True)) / x.amax((2, 3), keepdim=True),
    "gram": lambda x: (gram_matrix(x) @ x.flatten(2)).view_as(x),
    "sums of products": lambda x: (gram_matrix(x, normalize=False) @ x.flatten(2)).view_as(x) * 1e-4,
    "kernels": lambda x: x * FIRST[1].weight.mean((2, 3)).mean(),
}


def tiled(run: Callable[[Tensor], Tensor], image: Tensor, side: int, halo: int) -> Tensor:
    """An image in tiles, with exact statistics."""
    example = SharedStatistics.of_example(lambda: run(picture(512, 512).double()), 512)
    height, width = image.shape[2:]
    pieces, shared = divide(height, width, side, halo), SharedStatistics(example.layouts)

    def part(box: Box) -> Callable[[], Tensor]:
        return lambda: run(image[..., box.rows, box.columns])

    while shared.measure_next((part(piece.box), piece.core) for piece in pieces):
        pass
    out = torch.zeros_like(image)
    for piece in pieces:
        inner = piece.inner.within(piece.box)
        whole = shared.compute(part(piece.box), piece.core)
        out[..., piece.inner.rows, piece.inner.columns] = whole[..., inner.rows, inner.columns]
    return out


@pytest.mark.parametrize("name", MIDDLES)
def test_any_operation_on_whole_maps_sees_the_whole_image(name: str) -> None:
    run, image = network(MIDDLES[name]), picture().double()
    with torch.no_grad():
        expected = run(image)
        assert torch.allclose(tiled(run, image, 128, 32), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


def test_padding_at_the_end_of_the_image_counts_as_it_does_without_tiles() -> None:
    def run(image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        padded = F.pad(image, (0, -width % 8, 0, -height % 8), mode="reflect")
        return network(nn.InstanceNorm2d(8))(padded)[..., :height, :width]

    image = picture(235, 301).double()
    with torch.no_grad():
        assert torch.allclose(tiled(run, image, 128, 32), run(image), rtol=0, atol=1e-10)


def test_margins_that_a_network_adds_and_removes_count_as_they_do_without_tiles() -> None:
    """As in Johnson's network, which pads by 40 pixels and whose convolutions do not pad."""

    def run(image: Tensor) -> Tensor:
        wide = nn.InstanceNorm2d(3)(F.pad(image, (4, 4, 4, 4), mode="reflect"))
        return F.conv2d(F.conv2d(wide, kernel), kernel)

    kernel = noise(3, 3, 5, 5).double() - 0.5
    image = picture().double()
    assert torch.allclose(tiled(run, image, 128, 32), run(image), rtol=0, atol=1e-10)


def test_the_cores_of_tiles_are_the_image() -> None:
    for height, width in ((100, 70), (513, 1000), (64, 2000), (1, 1)):
        covered = torch.zeros(height, width)
        for piece in divide(height, width, 128, 64):
            covered[piece.inner.rows, piece.inner.columns] += 1
            assert piece.box.top % 32 == piece.box.left % 32 == 0
            assert max(piece.core.size) <= 128 + 2 * 64
        assert torch.equal(covered, torch.ones(height, width))


def test_samples_have_one_size_and_are_spread_over_the_image() -> None:
    pieces = spread(1000, 3000, 128, 16, 60)
    assert 40 <= len(pieces) <= 60
    assert {piece.core for piece in pieces} == {Core((128, 128), (16, 112), (16, 112))}
    assert min(piece.box.top for piece in pieces) == min(piece.box.left for piece in pieces) == 0
    assert max(piece.box.bottom for piece in pieces) > 1000 - 32
    assert max(piece.box.right for piece in pieces) > 3000 - 32


# How far a network sees


def test_the_reach_is_that_of_the_convolutions() -> None:
    def chain(image: Tensor, count: int) -> Tensor:
        for _ in range(count):
            image = F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), torch.full((3, 3, 5, 5), 1 / 75))
        return image

    def reach(run: Callable[[Tensor], Tensor]) -> tuple[int, int]:
        with torch.no_grad():
            found, statistics = measure_reach(run, 1, "method")
            return found, len(statistics)

    assert reach(lambda image: chain(image, 8)) == (32, 0)  # 16 pixels, but the last hardly count
    assert reach(lambda image: image.flip(1)) == (0, 0)
    assert reach(lambda image: network(nn.InstanceNorm2d(8))(image.double())) == (32, 2)


def test_methods_that_see_the_whole_image_at_once_are_refused() -> None:
    attention = SelfAttention(3)
    nn.init.ones_(attention.share)
    small = lambda image: resize(attention(resize(image, (32, 32))), tuple(image.shape[2:]))  # noqa: E731
    with torch.no_grad(), raises(StylekitError, "attentive", "tiles"):
        measure_reach(small, 1, "method attentive")


def test_methods_that_depend_on_the_position_are_refused() -> None:
    with raises(StylekitError, "sloping", "where"):
        measure_reach(lambda image: image * torch.linspace(0, 1, image.shape[3]), 1, "method sloping")


# Models


class Normal(Method):
    """Any method of someone else: a normalised network that knows nothing of tiles, and a style."""

    style_modules = ()
    capabilities = Capabilities()

    def __init__(self, scale: int = 1, norms: int = 1) -> None:
        super().__init__()
        self.scale = scale
        torch.manual_seed(0)
        layers = [[nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), nn.InstanceNorm2d(3, affine=True)] for _ in range(norms)]
        self.network = nn.Sequential(*itertools.chain(*layers), nn.Upsample(scale_factor=scale))

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        y: Tensor = 0.5 + 0.1 * self.network(content)
        return torch.lerp(y, per_pixel(style["mean"]).expand_as(y), 0.3 * strength)


CONTENT = picture(512, 600)
STYLE = picture(64, 64)
MASK = torch.linspace(0, 1, 300).expand(1, 1, 256, 300)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    "controls",
    [{}, {"strength": 0.1}, {"keep_color": "histogram"}, {"keep_color": "luminance"}, {"mask": MASK}],
    ids=["plain", "weak", "histogram", "luminance", "mask"],
)
def test_exact_statistics_give_the_same_image(scale: int, controls: dict[str, Any]) -> None:
    model = Model(Normal(scale), "normal")
    expected = model.stylize(CONTENT, STYLE, **controls)
    made = model.stylize(CONTENT, STYLE, tiles=Tiles(256, "exact"), **controls)
    assert made.shape == (1, 3, 512 * scale, 600 * scale)
    assert float((made - expected).abs().max()) < 1 / 255 / 10


SMALL: dict[str, Any] = {"name": "resnet", "width": 4, "blocks": 1}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adain", {"encoder": {"name": "random", "width": 16, "scales": 2}}),
        ("wct", {"encoder": {"name": "random", "width": 8, "scales": 2}}),
        ("color-pca", {}),
        ("microast", {}),
        ("cyclegan", {"generator": SMALL}),
        ("cyclegan", {"generator": {**SMALL, "upsample": "resize"}}),
        ("perceptual", {"styles": ("style.png",), "width": 4, "encoder": {"name": "random", "width": 8, "scales": 2}}),
        ("any-style", {"width": 8, "deep": 1, "blocks": 1, "encoder": {"name": "random", "width": 8, "scales": 2}}),
    ],
)
@pytest.mark.slow
def test_built_in_methods_give_the_same_image(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "style.png", STYLE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(make("method", {"name": name, **options}), name)
    style = STYLE if model.method.takes_styles() else None
    expected = model.stylize(CONTENT, style)
    made = model.stylize(CONTENT, style, tiles=Tiles(256, "exact"))
    assert float((made - expected).abs().max()) < 1 / 255


def test_several_images_and_other_types_are_stylised_in_tiles() -> None:
    model, both = Model(Normal(), "normal"), torch.cat([CONTENT, CONTENT.flip(3)])
    made = model.stylize(both.double(), STYLE, tiles=Tiles(256))
    assert made.dtype == torch.float64
    assert float((made - model.stylize(both, STYLE)).abs().max()) < 1 / 255 / 10


def border_steps(image: Tensor, columns: list[int]) -> float:
    """How much more the image changes at these columns than elsewhere."""
    steps = (image[..., 1:] - image[..., :-1]).abs().mean((0, 1, 2))
    others = torch.ones_like(steps, dtype=torch.bool)
    at = [column - 1 for column in columns]
    others[at] = False
    return float(steps[at].mean() / steps[others].mean())


def test_sampled_statistics_leave_no_borders_and_local_ones_do() -> None:
    model = Model(Normal(norms=8), "normal")
    content = torch.linspace(0.2, 0.8, 1024).expand(1, 3, 512, 1024) + 0.1 * noise(1, 3, 512, 1024)
    whole, borders = model.stylize(content, STYLE), [256, 512, 768]
    sampled, local = (model.stylize(content, STYLE, tiles=Tiles(256, how)) for how in ("auto", "local"))
    assert border_steps(sampled, borders) < 1.02 * border_steps(whole, borders)
    assert border_steps(local, borders) > 1.2
    assert float((sampled - whole).abs().mean()) < 2 / 255 < float((local - whole).abs().mean())


def test_a_thumbnail_gives_the_statistics_too() -> None:
    model, smooth = Model(Normal(), "normal"), resize(picture(32, 38), (512, 600)).clamp(0, 1)
    made = model.stylize(smooth, STYLE, tiles=Tiles(256, "thumbnail"))
    assert float((made - model.stylize(smooth, STYLE)).abs().mean()) < 2 / 255


def test_the_memory_decides_about_the_sides_of_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylekit.inference.tiles.tiling.process_memory", lambda: 10**8)
    monkeypatch.setattr("stylekit.inference.tiles.tiling.FRAGMENTED", 1.0)

    def sides(memory: int | None, side: int | None = None, free: int = 10**9) -> tuple[int, int]:
        tiling = Tiling(
            lambda images, boxes: images,
            lambda box: CONTENT,
            (4000, 4000),
            Tiles(side, memory=memory),
            1000,
            free,
            1,
            "it",
        )
        return max(max(piece.core.size) for piece in tiling.pieces), len(tiling.pieces)

    assert sides(None) == (800, 25)  # 1000 x 1000 pixels fit, and five of 800 are 4000
    assert sides(280_000_000) == (352, 144)  # 80% less 10^8 bytes are left, of which 353 x 353 pixels need nearly all
    assert sides(None, side=512) == (512, 64)
    with raises(StylekitError, "128", "memory"):
        sides(120_000_000)


def test_an_image_that_does_not_fit_is_stylised_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(Normal(), "normal")
    expected = model.stylize(CONTENT, STYLE)
    monkeypatch.setattr("stylekit.inference.model.LARGE", 2**16)
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: model.needed_memory(400, 400))
    with warns(UserWarning, "600x512", "tiles"):
        made = model.stylize(CONTENT, STYLE)
    assert float((made - expected).abs().max()) < 1 / 255 / 10


@pytest.mark.parametrize("wrong", [{"side": 100}, {"statistics": "exactly"}])
def test_invalid_settings_are_refused(wrong: dict[str, Any]) -> None:
    with raises(StylekitError, *wrong.values()):
        Tiles(**wrong)


def test_an_optimisation_is_not_made_in_tiles() -> None:
    model = Model(Normal(), "normal")
    type(model.method).capabilities = Capabilities(optimizes=True)
    try:
        with raises(StylekitError, "tiles", "optimises"):
            model.stylize(CONTENT, STYLE, tiles=Tiles(256))
    finally:
        type(model.method).capabilities = Capabilities()


# Clips


def test_frames_that_share_their_statistics_do_not_change_when_something_enters() -> None:
    model, still = Model(Normal(), "normal"), picture(128, 128)
    entered = still.clone()
    entered[..., 64:, 64:] = 1
    own = list(model.frames([still, entered], STYLE))
    shared = model.clip_statistics([still, entered], STYLE)
    steady = list(model.frames([still, entered], STYLE, shared=shared))
    elsewhere = (slice(None), slice(None), slice(60), slice(60))
    assert float((own[0] - own[1])[elsewhere].abs().mean()) > 3 / 255
    assert torch.equal(steady[0][elsewhere], steady[1][elsewhere])


def test_statistics_of_a_clip_are_those_of_all_its_samples_together() -> None:
    model, frames = Model(Normal(), "normal"), [picture(128, 128), 1 - picture(128, 128)]
    shared = model.clip_statistics(frames, STYLE, strength=0.5)
    together = torch.cat(frames, 3)  # one image with the pixels of both
    expected = model.stylize(together, STYLE, strength=0.5)
    again = model.clip_statistics(
        frames, STYLE, strength=0.5, like=model.clip_statistics(frames[:1], STYLE, strength=0.5)
    )
    made = list(model.frames(frames, STYLE, strength=0.5, shared=shared))
    for one, other in zip(made, model.frames(frames, STYLE, strength=0.5, shared=again), strict=True):
        assert torch.equal(one, other)
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    assert float((made[0] - expected[..., :128])[inner].abs().max()) < 2 / 255
    assert float((made[1] - expected[..., 128:])[inner].abs().max()) < 2 / 255


class Covered(Method):
    """Normalises the image where a layer of its size is opaque."""

    def stylize(self, content: Tensor, style: Tensor | None = None, *, layer: Layer | None = None) -> Tensor:
        assert layer is not None
        if layer.shape[2:] != content.shape[2:]:
            raise StylekitError("The layer has another size than the image.")
        even = 0.5 + 0.1 * instance_norm(content)
        return torch.where(layer[:, 3:] > 0.5, even, content).clamp(0, 1)


def test_an_option_of_a_clip_may_be_an_image_of_its_size() -> None:
    """Also while a small image is stylised to find out how feature maps are related to the frames."""
    model, frames = Model(Covered(), "covered"), [picture(48, 64), 1 - picture(48, 64)]
    layer = torch.zeros(1, 4, 48, 64)
    layer[:, 3:, :, :30] = 1
    shared = model.clip_statistics(frames, layer=layer)
    made = torch.cat(list(model.frames(frames, shared=shared, layer=layer)))
    both = torch.cat(frames)
    mean, std = both.mean((0, 2, 3), keepdim=True), both.std((0, 2, 3), keepdim=True)
    torch.testing.assert_close(
        made[..., :30], (0.5 + 0.1 * (both - mean) / std).clamp(0, 1)[..., :30], rtol=0, atol=1e-3
    )
    assert torch.equal(made[..., 30:], both[..., 30:])
    with raises(StylekitError, "another size"):
        model.clip_statistics(frames, layer=layer[..., :32])


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_images_and_clips_of_one_colour_are_those_of_stylize(value: float) -> None:
    """A clip may begin with black frames: what differs from the mean are rounding errors, which no norm may amplify further."""
    model, flat = stylekit.load("stylekit-any", "cpu"), torch.full((1, 3, 320, 320), value)
    expected = model.stylize(flat, STYLE)
    made = model.stylize(flat, STYLE, tiles=Tiles(256, "thumbnail"))
    assert float((made - expected).abs().max()) < 1 / 255
    frames = [flat[..., :64, :64]] * 3
    for frame in model.frames(frames, STYLE, shared=model.clip_statistics(frames, STYLE)):
        assert float((frame - expected[..., :64, :64]).abs().max()) < 1 / 255


def test_no_value_is_farther_from_the_mean_than_any_can_be() -> None:
    """Of four values with the mean 2 and the standard deviation 1, none is farther from it than 2."""
    x = torch.tensor([-90.0, 1, 3, 90]).view(1, 1, 2, 2)
    reduction = find_reduction(torch.nn.functional.instance_norm, (x,), {"eps": 0.0})
    assert reduction is not None
    known = Moments(4, torch.tensor([2.0]).double(), torch.tensor([1.0]).double())
    torch.testing.assert_close(reduction.result(known).flatten(), torch.tensor([-2.0, -1, 1, 2]))


def test_only_what_a_norm_adds_is_limited() -> None:
    """A quarter of the norm, and three quarters of the values themselves."""
    x, one = torch.tensor([-90.0, 1, 3, 90]).view(1, 1, 2, 2), torch.ones(1, dtype=torch.float64)
    normalized = _normalized(x, Moments(4, 2 * one, one), torch.tensor([10.0]), torch.tensor([8.0]), 0.0, 0.25)
    by_hand = 0.25 * (torch.tensor([-20.0, -10, 10, 20]) + 8) + 0.75 * x.flatten()
    torch.testing.assert_close(normalized.flatten(), by_hand)
