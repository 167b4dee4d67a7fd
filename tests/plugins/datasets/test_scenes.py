"""The drawn scenes: reproducible bits, the same scene in every manner and size, and a mapping that can be learned."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from stylekit import StylekitError
from stylekit_plugins.datasets.scenes import KINDS, MANNERS, Scenes, render, stylekit_datasets
from stylekit_plugins.datasets.scenes.canvas import Canvas
from tests.facts import raises

PAINTINGS = sorted(set(MANNERS) - {"photo"})


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


def polynomial(image: Tensor) -> Tensor:
    """(pixels, 20): the products of up to three of a pixel's colours."""
    red, green, blue = image.flatten(1)
    powers = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
    return torch.stack([red**i * green**j * blue**k for i, j, k in powers], 1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread draws small images faster than several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_scenes_do_not_depend_on_the_global_random_state() -> None:
    first = [Scenes(seed=3)[index] for index in range(4)]
    torch.manual_seed(77)
    random.seed(77)
    scenes = Scenes(seed=3)
    again = [scenes[index] for index in (3, 2, 1, 0)][::-1]
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in Scenes.item_keys)


def test_drawing_does_not_change_the_global_random_state() -> None:
    torch.manual_seed(5)
    before, plain = torch.get_rng_state(), random.getstate()
    for manner in MANNERS:
        render(1, manner)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == plain


def test_workers_draw_the_same_bits() -> None:
    scenes = Scenes(size=64, length=8)
    expected = torch.stack([scenes[index]["style"] for index in range(8)])
    loader = DataLoader(scenes, batch_size=4, num_workers=2)
    assert torch.equal(torch.cat([batch["style"] for batch in loader]), expected)


def test_the_number_of_threads_does_not_change_the_bits() -> None:
    single = render(1, "strokes", 128)
    torch.set_num_threads(2)
    assert torch.equal(render(1, "strokes", 128), single)


def test_other_seeds_streams_and_indices_give_other_scenes() -> None:
    shown = [render(0), render(0, seed=1), render(0, stream="content"), render(0, stream="style"), render(1)]
    assert all(psnr(one, other) < 25 for n, one in enumerate(shown) for other in shown[:n])


def test_pairs_match_only_in_the_test_split() -> None:
    def mean(split: str) -> float:
        items = [Scenes(split=split, length=24)[index] for index in range(24)]
        return sum(psnr(item["content"], item["style"]) for item in items) / 24

    assert mean("test") > mean("train") + 3


def test_the_test_split_equals_render() -> None:
    item = Scenes(size=48, seed=2, split="test", style="dots")[5]
    assert torch.equal(item["content"], render(5, "photo", 48, 2))
    assert torch.equal(item["style"], render(5, "dots", 48, 2))


def test_paired_training_items_show_the_same_scene_in_both_manners() -> None:
    """The style is the truth for the content, and the scenes are those of unpaired training."""
    paired, unpaired = (Scenes(size=48, seed=2, style="dots", length=8, paired=paired) for paired in (True, False))
    for index in range(8):
        item = paired[index]
        assert torch.equal(item["content"], render(index, "photo", 48, 2, stream="content"))
        assert torch.equal(item["style"], render(index, "dots", 48, 2, stream="content"))
        assert torch.equal(item["content"], unpaired[index]["content"])
        assert not torch.equal(item["style"], unpaired[index]["style"])


def test_pairs_are_not_those_of_the_test_split() -> None:
    train, test = (Scenes(split=split, paired=True, length=4) for split in ("train", "test"))
    unpaired = Scenes(split="test", length=4)
    for index in range(4):
        for key in Scenes.item_keys:
            assert torch.equal(test[index][key], unpaired[index][key])
            assert all(psnr(train[index][key], test[other][key]) < 25 for other in range(4))


def test_every_kind_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def recording(kind: str, draw: Callable[[Canvas], None]) -> Callable[[Canvas], None]:
        def recorded(canvas: Canvas) -> None:
            seen.append(kind)
            draw(canvas)

        return recorded

    for kind, draw in KINDS.items():
        monkeypatch.setitem(KINDS, kind, recording(kind, draw))
    for index in range(60):
        render(index, size=32)
    assert len(seen) == 60
    assert set(seen) == set(KINDS)
    assert len(KINDS) >= 6


@pytest.mark.parametrize("size", [32, 65, 256])
def test_shape_type_and_range(size: int) -> None:
    for index, manner in enumerate(MANNERS):
        image = render(index, manner, size)
        assert image.shape == (3, size, size)
        assert image.dtype == torch.float32
        assert 0 <= image.min() < 0.35
        assert 0.65 < image.max() <= 1
        assert not image.is_inference()


@pytest.mark.parametrize("manner", MANNERS)
def test_the_same_scene_at_every_size(manner: str) -> None:
    for index in range(6):
        small, large = render(index, manner, 64), F.avg_pool2d(render(index, manner, 256), 4)
        others = max(psnr(render(other, manner, 64), large) for other in range(6) if other != index)
        assert psnr(small, large) > max(16, others + 3)


@pytest.mark.parametrize("manner", PAINTINGS)
def test_every_painting_differs_from_the_photo(manner: str) -> None:
    figures = [psnr(render(index, "photo"), render(index, manner)) for index in range(8)]
    assert 11 < sum(figures) / 8 < 18


def test_the_default_manner_can_be_learned() -> None:
    items = [Scenes(split="test", length=32)[index] for index in range(32)]
    inputs = torch.cat([polynomial(item["content"]) for item in items[:16]]).double()
    outputs = torch.cat([item["style"].flatten(1).T for item in items[:16]]).double()
    weights = torch.linalg.lstsq(inputs, outputs).solution.float()
    untouched = mapped = 0.0
    for item in items[16:]:
        guess = (polynomial(item["content"]) @ weights).T.view(3, 64, 64).clamp(0, 1)
        untouched += psnr(item["content"], item["style"]) / 16
        mapped += psnr(guess, item["style"]) / 16
    assert 13 < untouched < 17
    assert mapped > max(21, untouched + 4)


def test_wrong_arguments_are_refused_with_the_possible_values() -> None:
    with raises(StylekitError, "'stroke'", "did you mean 'strokes'", "watercolour"):
        Scenes(style="stroke")
    with raises(StylekitError, "'foto'", "did you mean 'photo'"):
        render(0, "foto")
    with raises(StylekitError, "'valid'", "test, train"):
        Scenes(split="valid")
    for size in (31, 1025):
        with raises(StylekitError, size, 32, 1024):
            Scenes(size=size)


def test_length_and_name() -> None:
    scenes = stylekit_datasets()["scenes"](size=32, length=3)
    assert len(scenes) == 3
    assert torch.equal(scenes[-1]["content"], scenes[2]["content"])
    with pytest.raises(IndexError):
        scenes[3]


@pytest.mark.slow
def test_every_size_can_be_drawn() -> None:
    """Water starts at a row of pixels whose position may round to another number."""
    for size in range(32, 160):
        for kind in ("lake", "seaside", "harbour"):
            canvas = Canvas(size, random.Random(0))
            KINDS[kind](canvas)
            assert bool(torch.isfinite(canvas.rgb).all())
