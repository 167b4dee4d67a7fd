"""The drawn textures: reproducible bits, every size, and enough variety for a style encoder."""

from __future__ import annotations

import random

import pytest
import torch

from stylekit import StylekitError
from stylekit_plugins.datasets.textures import KINDS, Textures, draw
from tests.facts import raises


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_address_gives_the_same_bits_and_another_one_another_texture(kind: str) -> None:
    torch.manual_seed(5)
    before, plain = torch.get_rng_state(), random.getstate()
    first = draw(kind, 64, 0, "here")
    torch.manual_seed(6)
    assert torch.equal(draw(kind, 64, 0, "here"), first)
    assert not torch.equal(draw(kind, 64, 1, "here"), first)
    torch.manual_seed(5)
    draw(kind, 48, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 33, 57, 100, 131, 256])
def test_every_size_can_be_drawn(kind: str, size: int) -> None:
    for number in range(6):
        image = draw(kind, size, number)
        assert image.shape == (3, size, size)
        assert bool(torch.isfinite(image).all())
        assert 0 <= float(image.min()) < float(image.max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_textures_of_a_kind_have_contrast_and_differ_in_colour_and_in_grain(kind: str) -> None:
    images = torch.stack([draw(kind, 64, number) for number in range(24)])
    contrast = images.std((2, 3)).mean(1)
    assert float(contrast.mean()) > 0.08
    assert float((contrast > 0.02).float().mean()) > 0.9  # a few are calm
    assert float(images.mean((2, 3)).std(0).mean()) > 0.08  # between palettes
    grain = (images[..., 1:] - images[..., :-1]).abs().mean((1, 2, 3)) / contrast.clamp(min=0.01)
    assert float(grain.max() / grain.min()) > 2


def test_splits_keys_and_seeds_share_no_texture() -> None:
    def all_of(**options: object) -> list[torch.Tensor]:
        textures = Textures(size=32, length=8, **options)
        return [textures[index][key] for index in range(8) for key in Textures.item_keys]

    seen = [*all_of(), *all_of(split="test"), *all_of(seed=1)]
    assert len({image.numpy().tobytes() for image in seen}) == len(seen)
    assert all(torch.equal(one, other) for one, other in zip(all_of(), all_of(), strict=True))


def test_kinds_can_be_chosen_and_every_kind_is_drawn_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in KINDS:

        def kind(sheet: object, name: str = name) -> torch.Tensor:
            drawn.append(name)
            return torch.zeros(3, 32, 32)

        monkeypatch.setitem(KINDS, name, kind)
    textures = Textures(size=32, length=60)
    for index in range(60):
        textures[index]
    assert set(drawn) == set(KINDS)
    assert min(drawn.count(name) for name in KINDS) >= 8
    drawn.clear()
    Textures(size=32, kinds=["cells"])[3]
    assert drawn == ["cells", "cells"]


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"size": 31}, ["size", 31, 32, 1024]),
        ({"size": 1025}, ["size", 1025, 32, 1024]),
        ({"split": "val"}, ["split", "'val'"]),
        ({"kinds": ["cell"]}, ["'cell'", "textures", "did you mean 'cells'"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], facts: list[object]) -> None:
    with raises(StylekitError, *facts):
        Textures(**options)


def test_the_dataset_has_the_given_length() -> None:
    textures = Textures(size=32, length=3)
    assert len(textures) == 3
    assert torch.equal(textures[-1]["content"], textures[2]["content"])
    with pytest.raises(IndexError):
        textures[3]
