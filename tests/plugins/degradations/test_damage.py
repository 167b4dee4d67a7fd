"""Holes, scratches, lost colours and lost light: what changes, and that the rest stays."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError, images, make, testing
from stylekit_plugins.degradations.grey import Grey
from stylekit_plugins.degradations.low_light import LowLight
from stylekit_plugins.degradations.mask import Mask
from stylekit_plugins.degradations.scratches import Scratches
from tests.facts import raises


def dim(count: int = 16, height: int = 64, width: int = 96) -> Tensor:
    """Images without white or black."""
    torch.manual_seed(0)
    return 0.25 + 0.5 * torch.rand(count, 3, height, width)


@pytest.mark.parametrize("kind", ["strokes", "boxes"])
def test_holes_are_white_and_the_rest_stays(kind: str) -> None:
    image = dim()
    out = make("degradation", "mask", kinds=[kind])(image)
    holes = (out == 1).all(1)
    assert torch.equal(out.masked_select(~holes[:, None]), image.masked_select(~holes[:, None]))
    shares = holes.float().mean((1, 2))
    assert float(shares.min()) > 0
    assert float(shares.max()) < 0.5
    assert len({float(share) for share in shares}) > 8


def test_one_box_is_a_rectangle_of_an_eighth_to_a_third_of_the_shorter_side() -> None:
    holes = (make("degradation", "mask", kinds=["boxes"], holes=1)(dim(40)) == 1).all(1)
    for hole in holes:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns)
        assert 8 <= int(rows.sum()) <= 21
        assert 8 <= int(columns.sum()) <= 21


def test_a_stroke_is_connected_and_has_its_width() -> None:
    hole = (make("degradation", "mask", kinds=["strokes"], holes=1)(dim(1, 128, 128)) == 1).all(1)
    grown = torch.zeros_like(hole).flatten(1)
    grown[0, hole.flatten().nonzero()[0]] = True
    grown = grown.view_as(hole)
    for _ in range(1000):
        wider = torch.nn.functional.max_pool2d(grown.float(), 3, 1, 1).bool() & hole
        if torch.equal(wider, grown):
            break
        grown = wider
    assert torch.equal(grown, hole)
    assert int(hole.sum()) > 128 * 0.03 * 128 * 0.1


def test_grey_is_the_conversion_of_pillow() -> None:
    image = dim(1).mul(255).round().div(255)
    out = make("degradation", "grey")(image)
    expected = images.to_tensor(images.to_pil(image).convert("L"))
    torch.testing.assert_close(out, expected.expand_as(out), rtol=0, atol=0.51 / 255)


def test_scratches_are_few_light_or_dark_and_none_change_nothing() -> None:
    image = dim()
    out = make("degradation", "scratches")(image)
    changed = (out != image).any(1).float().mean((1, 2))
    assert float(changed.max()) < 0.3
    assert float(changed.mean()) > 0.005
    assert bool((out > 0.76).any())
    assert bool((out < 0.24).any())
    assert torch.equal(make("degradation", "scratches", lines=0, dust=0)(image), image)


def test_a_line_is_long_and_thin() -> None:
    torch.manual_seed(1)
    black = torch.full((32, 3, 64, 64), 0.5)
    changed = (make("degradation", "scratches", lines=1, dust=0)(black) != black).any(1)
    marked = [each for each in changed if each.any()]
    assert 8 <= len(marked) <= 24  # none or one
    for each in marked:
        assert int(each.sum(1).max()) <= 3
    assert max(int(each.any(1).sum()) for each in marked) > 40


def test_a_stop_halves_the_linear_light() -> None:
    """By IEC 61966-2-1: 0.5 is 0.21404 of the light of white, half of which is 0.10702, which is 0.36078; 0.05 is 0.0039359,
    half of which is below the limit of the straight part: 12.92 * 0.0019680."""
    image = torch.tensor([0.0, 0.05, 0.5]).view(1, 1, 1, 3).expand(1, 3, 1, 3).double()
    out = make("degradation", "low-light", stops=1)(image)[0, 0, 0]
    assert out.tolist() == pytest.approx([0, 0.025427, 0.36078], abs=2e-5)
    same = dim(2)
    torch.testing.assert_close(make("degradation", "low-light", stops=0)(same), same, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "options", "facts"), [
    ("mask", {"kinds": []}, ("mask", "kind")),
    ("scratches", {"lines": -1}, ("scratches", "from 0 to 1000", "-1")),
    ("low-light", {"stops": -1}, ("stops", "low-light", "-1")),
])  # fmt: skip
def test_wrong_options_are_named(name: str, options: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(StylekitError, *facts):
        make("degradation", name, **options)


@pytest.mark.parametrize("part", [Mask, Grey, Scratches, LowLight, partial(Mask, ["boxes"])])
def test_conformance(part: Any) -> None:
    testing.check("degradation", part)
