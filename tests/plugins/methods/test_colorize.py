"""colorize: keeps the lightness, chooses colours by their distribution, and follows the user's hints."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

import stylekit
from stylekit import StylekitError, images, make, testing
from stylekit.images.color import from_lab, to_lab
from stylekit.inference.model import Model
from stylekit.training.rehearsal import rehearse
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.methods.colors.colorize import Colorize, hinted, reveal
from stylekit_plugins.methods.colors.palette import Palette, averaged, color_bins, enlarged, rarity, soft_bins
from tests.facts import raises
from tests.training.signals import stopper

TINY: dict[str, Any] = {"width": 4, "side": 32}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def grey_level(image: Tensor) -> npt.NDArray[np.float64]:
    """The grey of sRGB that has the luminance of each pixel, by IEC 61966-2-1 in NumPy."""
    rgb = image.double().numpy()
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = 0.2126 * linear[:, 0] + 0.7152 * linear[:, 1] + 0.0722 * linear[:, 2]
    return np.where(y <= 0.0031308, 12.92 * y, 1.055 * y.clip(1e-9) ** (1 / 2.4) - 0.055)


def vivid(**options: Any) -> Model:
    """An untrained model whose colours are far from grey, and change within the picture."""
    torch.manual_seed(0)
    method = Colorize(**{**TINY, **options})
    with torch.no_grad():
        method.generator.last[-1].weight.mul_(20)
    return Model(method, "colorize")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    scenes = make("dataset", "scenes", size=48)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        images.write(tmp_path / f"photos/{number}.png", scenes[number]["content"])
    return tmp_path / "photos"


def settings(photos: Path, steps: int) -> dict[str, Any]:
    own = {"plugin": "colorize", "preset": "tiny", "content": photos, "steps": steps}
    return {**own, "size": 32, "batch_size": 2, "workers": 0, "sample_every": 20, "device": "cpu", "log": []}


def test_it_trains_from_a_folder_of_coloured_pictures(photos: Path, tmp_path: Path) -> None:
    run = stylekit.train(out=tmp_path / "run", **settings(photos, 5))
    assert len(Run(run).metrics()) == 5
    out = stylekit.load(run, "cpu").stylize(noise(1, 3, 70, 33))
    assert out.shape == (1, 3, 70, 33)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.slow
def test_a_run_resumes_exactly(photos: Path, tmp_path: Path) -> None:
    given = settings(photos, 8)
    whole = stylekit.train(out=tmp_path / "whole", **given)
    parted = stylekit.train(out=tmp_path / "parted", **{**given, "log": [stopper(tmp_path, 3, signal.SIGINT)]})
    assert len(Run(parted).metrics()) < 8
    stylekit.train(out=parted, resume=True, log=[])
    weights = [read_tensors(run / "model.safetensors")[0] for run in (whole, parted)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize("size", [(40, 57), (1, 200), (9, 14), (64, 64)])
@pytest.mark.parametrize("saturation", [1.0, 10.0])
def test_the_lightness_is_kept(size: tuple[int, int], saturation: float) -> None:
    content = noise(1, 3, *size)
    out = vivid().stylize(content, saturation=saturation)
    assert float((out - out.mean(1, keepdim=True)).abs().max()) > 0.05
    assert np.abs(grey_level(out) - grey_level(content)).max() < 0.5 / 255


def test_of_coloured_pictures_only_the_lightness_is_used() -> None:
    content, model = noise(1, 3, 40, 48), vivid()
    grey = torch.from_numpy(grey_level(content)).float()[:, None].expand(-1, 3, -1, -1)
    torch.testing.assert_close(model.stylize(grey), model.stylize(content), rtol=0, atol=2 / 255)
    torch.testing.assert_close(model.stylize(content, saturation=0.0), grey, rtol=0, atol=0.5 / 255)


def test_the_default_network_is_small() -> None:
    assert sum(each.numel() for each in Colorize().generator.parameters()) <= 240_000


# Colours as a distribution


def test_the_bins_are_those_nearest_to_colours_of_srgb() -> None:
    bins = color_bins()
    assert (bins == (bins / 10).round() * 10).all()
    assert [0, 0] in bins.tolist()
    lab = to_lab(noise(1, 3, 60, 60).double())[0, 1:].flatten(1)
    found = {tuple(each) for each in (lab / 10).round().mul(10).long().mT.tolist()}
    assert found <= {tuple(map(int, each)) for each in bins.tolist()}


def test_a_colour_belongs_to_the_nearest_five_bins() -> None:
    bins = color_bins()
    color = (13.0, -4.0)
    distances = sorted((math.dist(color, each), index) for index, each in enumerate(bins.tolist()))[:5]
    shares = {index: math.exp(-(distance**2) / 50) for distance, index in distances}
    found = soft_bins(torch.tensor([color]), bins)[0]
    for index, share in enumerate(found.tolist()):
        assert share == pytest.approx(shares.get(index, 0) / sum(shares.values()), abs=1e-6)


def test_rare_colours_count_more_by_the_formula_of_the_paper() -> None:
    """Zhang et al. 2016, equation 4, computed by loops."""
    bins, frequencies, share = [(0, 0), (10, 0), (60, 40)], [0.7, 0.25, 0.05], 0.5

    def kernel(a: int, b: int) -> float:
        return math.exp(-(math.dist(bins[a], bins[b]) ** 2) / (2 * 5.0**2))

    smoothed = [
        sum(frequencies[b] * kernel(a, b) / sum(kernel(c, b) for c in range(3)) for b in range(3)) for a in range(3)
    ]
    assert sum(smoothed) == pytest.approx(1)
    raw = [1 / ((1 - share) * each + share / 3) for each in smoothed]
    mean = sum(weight * each for weight, each in zip(raw, smoothed, strict=True))
    found = rarity(torch.tensor(frequencies), torch.tensor(bins).float(), share)
    assert found.tolist() == pytest.approx([weight / mean for weight in raw], rel=1e-5)
    assert found[2] > found[1] > found[0]
    torch.testing.assert_close(rarity(torch.tensor(frequencies), torch.tensor(bins).float(), 1.0), torch.ones(3))


def test_the_loss_is_a_weighted_cross_entropy() -> None:
    palette = Palette(0.5)
    count = len(palette.bins)
    scores, ab = noise(1, count, 1, 2) * 3, torch.tensor([[3.0, 41.0], [-8.0, 44.0]]).view(1, 2, 1, 2)
    wanted = soft_bins(ab[0, :, 0].mT, palette.bins).double()
    weights = rarity(wanted.mean(0), palette.bins, 0.5)  # of these two pixels, the first that it sees
    logs = scores.double()[0, :, 0].mT
    logs = logs - logs.exp().sum(1, keepdim=True).log()
    losses = [-weights[int(row.argmax())] * float((row * log).sum()) for row, log in zip(wanted, logs, strict=True)]
    assert float(palette.loss(scores, ab)) == pytest.approx(float(sum(losses)) / 2, rel=1e-5)
    torch.testing.assert_close(palette.frequencies.double(), wanted.mean(0), rtol=0, atol=1e-6)


def test_the_frequencies_are_the_mean_of_the_batches() -> None:
    palette = Palette(0.5)
    scores = torch.zeros(1, len(palette.bins), 1, 1)
    for a in (0.0, 0.0, 0.0, 50.0):
        palette.loss(scores, torch.tensor([a, 0.0]).view(1, 2, 1, 1))
    near = (palette.bins - torch.tensor([50.0, 0.0])).norm(dim=1) < 15
    assert float(palette.frequencies[near].sum()) == pytest.approx(0.25, abs=1e-5)


def test_colours_are_the_annealed_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two bins of which one is twice as probable: 2^(1/0.7) is 2.7. Of a weight of 9, the root is taken back."""
    palette = Palette(0.5)
    scores = torch.full((1, len(palette.bins), 1, 1), -1e4)
    first, second = (palette.bins.tolist().index(each) for each in ([60.0, 40.0], [-40.0, 30.0]))
    scores[0, first], scores[0, second] = math.log(2), 0
    for weight in (1.0, 9.0):
        weights = torch.ones(len(palette.bins))
        weights[first] = weight
        monkeypatch.setattr(palette, "weights", lambda weights=weights: weights)
        odds = (2 / weight**0.5) ** (1 / 0.7)
        share = odds / (1 + odds)
        a, b = palette.choose(scores).flatten().tolist()
        assert (a, b) == pytest.approx((100 * share - 40, 10 * share + 30), abs=1e-3)


@pytest.mark.parametrize("rebalance", [1.0, 0.3])
def test_samples_are_draws_from_the_distribution_of_true_colours(rebalance: float) -> None:
    """One of two colours is three times as probable, but in training, the other counted as much as its weight says."""
    palette = Palette(rebalance)
    scores = torch.full((1, len(palette.bins), 1, 2), -1e4)
    first, second = (palette.bins.tolist().index(each) for each in ([60.0, 40.0], [-40.0, 30.0]))
    palette.frequencies.fill_(0.1 / len(palette.bins))[first] = 0.9
    weights = rarity(palette.frequencies, palette.bins, rebalance)
    assert (float(weights[second] / weights[first]) > 5) == (rebalance < 1)
    scores[0, first], scores[0, second] = (3 * weights[first]).log(), weights[second].log()
    drawn = torch.stack([palette.choose(scores, sample)[0, 0, 0] for sample in range(1, 401)])
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert float((drawn[:, 0] > 10).float().mean()) == pytest.approx(0.75, abs=0.08)


def test_each_sample_has_its_own_colours() -> None:
    model, content = vivid(), noise(2, 3, 40, 40)
    made = [model.stylize(content, sample=number, seed=seed) for number, seed in ((1, 0), (1, 5), (2, 0), (0, 0))]
    assert torch.equal(made[0], made[1])
    assert all(not torch.equal(one, other) for one, other in ((made[0], made[2]), (made[0], made[3])))


def test_enlarged_colours_change_where_the_lightness_does() -> None:
    """The right part is brighter and red; after enlarging, red begins at the edge."""
    light = torch.full((1, 1, 64, 64), 30.0)
    light[..., 30:] = 70
    small = torch.nn.functional.avg_pool2d(light, 4)
    share = (small - 30) / 40
    out = enlarged(torch.cat([60 * share, 20 * share], 1), light, light)
    assert float(out[:, 0, :, :28].max()) < 6
    assert float(out[:, 0, :, 31:].min()) > 54
    plain = torch.nn.functional.interpolate(60 * share, (64, 64), mode="bilinear")
    true = torch.where(light > 50, 60.0, 0.0)
    assert float((out[:, :1] - true).abs().mean()) < 0.5 * float((plain - true).abs().mean())


# Hints


def test_hints_in_training_are_true_colours() -> None:
    torch.manual_seed(0)
    ab = torch.randn(64, 2, 1, 1).expand(-1, -1, 32, 32) * 30
    hints = reveal(ab)
    there = hints[:, 2:] == 1
    torch.testing.assert_close(hints[:, :2], ab * there)
    share = float(there.flatten(1).any(1).float().mean())
    assert 0.3 < share < 0.7
    assert not ((hints[:, 2] != 0) & (hints[:, 2] != 1)).any()


def dots(height: int, width: int, *spots: tuple[int, int, str], side: int = 3) -> Image.Image:
    """A transparent picture with squares of colours."""
    picture = Image.new("RGBA", (width, height), (255, 255, 255, 0))
    for row, column, color in spots:
        picture.paste(Image.new("RGBA", (side, side), color), (column, row))
    return picture


def test_hints_are_averaged_where_they_are() -> None:
    picture = images.from_pil(dots(100, 100, (12, 41, "red"), (85, 3, "blue")))
    assert picture.alpha is not None
    layer = hinted(torch.cat([picture.image, picture.alpha], 1), torch.zeros(2, 1, 100, 100))
    small = averaged(layer, (10, 10))
    assert small[:, 2].sum() == 4  # one pixel for each square, in both pictures
    torch.testing.assert_close(small[0, :2, 1, 4], torch.tensor([80.09, 67.20]), rtol=0, atol=0.02)
    torch.testing.assert_close(small[1, :2, 8, 0], torch.tensor([79.19, -107.86]), rtol=0, atol=0.02)


def test_a_hint_is_evidence_of_a_normal_distribution() -> None:
    """By loops; a hint that is smaller than the pixels of the scores counts fully."""
    palette, hints = Palette(0.5), torch.zeros(1, 3, 8, 8)
    hints[0, :, 1, 6] = torch.tensor([33.0, -21.0, 1.0])
    found = palette.evidence(hints, (2, 2))
    wanted = [-(math.dist((33, -21), each) ** 2) / 50 for each in palette.bins.tolist()]
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor(wanted), rtol=1e-4, atol=1e-3)
    found[..., 0, 1] = 0
    assert not found.any()


@pytest.mark.parametrize("color", ["red", "green", "navy", "orange"])
def test_a_dot_has_its_colour(color: str) -> None:
    """Whatever the network says; away from it, the picture does not get this colour."""
    model, content = vivid(side=64), 0.5 + 0.02 * noise(1, 3, 64, 64)
    dot = images.to_tensor(Image.new("RGB", (1, 1), color))
    wanted = to_lab(dot)[0, 1:, 0, 0]
    told = to_lab(model.stylize(content, hints=dots(64, 64, (20, 20, color), side=24)))[0, 1:]
    plain = to_lab(model.stylize(content))[0, 1:]
    light = to_lab(content)[:, :1, 32:33, 32:33]
    possible = to_lab(from_lab(torch.cat([light, wanted[None, :, None, None]], 1)))[0, 1:, 0, 0]  # at this lightness
    assert float((told[:, 32, 32] - possible).norm()) < 8
    assert float((plain[:, 32, 32] - possible).norm()) > 25
    assert float((told[:, 4, 4] - possible).norm()) > 25


@pytest.mark.slow
def test_pixels_around_dots_learn_to_follow_them() -> None:
    """Pictures of one colour each, at a random lightness, so that only hints tell which."""
    torch.manual_seed(0)
    method = Colorize(width=8, side=32).train()
    optimizer = torch.optim.Adam(method.generator.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
    colors = torch.tensor([[55.0, 40.0], [-50.0, 40.0], [10.0, -50.0]])

    def pictures() -> Tensor:
        ab = colors[torch.randint(3, (8,))][..., None, None].expand(-1, -1, 32, 32)
        return from_lab(torch.cat([35 + 30 * torch.rand(8, 1, 32, 32), ab], 1))

    for _ in range(120):
        batch = {"content": pictures()}
        loss = method.choose(batch, method(batch))["colors"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model, held_out = Model(method, "colorize"), pictures()
    there = torch.zeros(1, 1, 32, 32)
    there[..., 4:10, 4:10] = there[..., 20:26, 20:26] = 1
    errors = {}
    for told in (False, True):
        layers = [torch.cat([each[None], there * told], 1) for each in held_out]
        made = torch.cat([model.stylize(each[None], hints=layer) for each, layer in zip(held_out, layers, strict=True)])
        errors[told] = float((to_lab(made) - to_lab(held_out))[:, 1:].norm(dim=1).mean())
    assert errors[True] < 0.85 * errors[False]


def test_hints_may_have_the_size_of_the_picture_before_it_was_enlarged() -> None:
    model, content = vivid(), noise(1, 3, 40, 48)
    large = Image.new("RGBA", (96, 80))
    large.paste((200, 30, 40, 255), (20, 20, 36, 36))
    small = Image.new("RGBA", (48, 40))
    small.paste((200, 30, 40, 255), (10, 10, 18, 18))
    told = model.stylize(content, hints=large)
    torch.testing.assert_close(told, model.stylize(content, hints=small))
    assert not torch.equal(told, model.stylize(content))


def test_hints_are_a_picture_with_transparency(tmp_path: Path) -> None:
    model, content = vivid(), noise(1, 3, 40, 48)
    picture = dots(40, 48, (20, 20, "red"))
    picture.save(tmp_path / "dots.png")
    told = model.stylize(content, hints=tmp_path / "dots.png")
    assert torch.equal(told, model.stylize(content, hints=picture))
    assert torch.equal(told, model.stylize(content, hints=np.asarray(picture)))
    assert not torch.equal(told, model.stylize(content))
    clear = model.stylize(content, hints=dots(40, 48))
    assert torch.equal(clear, model.stylize(content))


@pytest.mark.parametrize(
    ("hints", "facts"),
    [
        (lambda: dots(40, 40, (3, 3, "red")), ("40x40", "48x40", "transparent layer")),
        (lambda: Image.new("RGB", (48, 40)), ("'hints'", "transparency", "alpha", "PNG")),
        (lambda: torch.rand(1, 3, 40, 48), ("'hints'", "(1, 4, H, W)", "(1, 3, 40, 48)")),
    ],
)
def test_other_hints_are_refused(hints: Callable[[], Any], facts: tuple[str, ...]) -> None:
    with raises(StylekitError, *facts):
        vivid().stylize(noise(1, 3, 40, 48), hints=hints())


@pytest.mark.parametrize("options", [{"sample": -1}, {"sample": 1.5}, {"saturation": -1}, {"saturation": float("nan")}])
def test_other_values_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with raises(StylekitError, "'colorize'", repr(name)):
        vivid().stylize(noise(1, 3, 40, 48), **options)


def test_bad_options_are_refused() -> None:
    for options in ({"side": 31}, {"rebalance": 0.0}, {"rebalance": 1.5}, {"width": 0}):
        with raises(StylekitError, *map(str, options.values())):
            Colorize(**options)


def test_the_colours_are_the_only_term() -> None:
    assert {
        turn: set(terms) for turn, terms in rehearse(Colorize(**TINY), {"content": noise(2, 3, 32, 32)}).items()
    } == {"choose": {"colors"}}


@pytest.mark.slow
def test_conformance() -> None:
    testing.check("method", partial(Colorize, **Colorize.presets["tiny"]))
