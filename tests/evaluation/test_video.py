"""Warping errors of clips whose errors are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError
from stylekit.evaluation.video import INTERVALS, Motion, estimated_motions, steadiness, strip, warping_error
from stylekit_plugins.datasets.scenes import Clip
from tests.facts import raises

EVERYWHERE = torch.ones(1, 1, 8, 12, dtype=torch.bool)


def motion(x: float, y: float, mask: Tensor = EVERYWHERE) -> Motion:
    return Motion(torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, 8, 12), mask)


def still(*values: float) -> list[Tensor]:
    return [torch.full((1, 3, 8, 12), value) for value in values]


class Brightness:
    against = "style"
    higher = False

    def __call__(self, output: Tensor, reference: Tensor) -> Tensor:
        return (output.mean((1, 2, 3)) - reference.mean((1, 2, 3))).abs()


def test_a_clip_that_does_not_change_has_no_error() -> None:
    frame = torch.rand(1, 3, 8, 12)
    assert warping_error([frame] * 4, [motion(0.0, 0.0)] * 3) < 1e-10


@pytest.mark.parametrize(("x", "y"), [(2, 0), (0, 1), (3, -2)])
def test_a_shift_by_whole_pixels_has_no_error_with_its_flow(x: int, y: int) -> None:
    """Frame k shows the picture from x k and y k on, so what a pixel shows is x to the left one frame later."""
    picture = torch.rand(1, 3, 60, 60)
    frames = [picture[..., 20 + y * k : 28 + y * k, 20 + x * k : 32 + x * k] for k in range(6)]
    mask = torch.zeros_like(EVERYWHERE)
    mask[..., 2:-2, 3:-3] = True
    assert warping_error(frames, [motion(-float(x), -float(y), mask)] * 5) < 1e-10
    assert warping_error(frames, [motion(float(x), float(y), mask)] * 5) > 0.05


def test_flicker_by_hand() -> None:
    """0.5 +- a in turn: (2 a)^2 one frame later, 0 two later; with steps of a: a^2 and (2 a)^2."""
    flicker, rising = still(0.6, 0.4, 0.6, 0.4), still(0.1, 0.2, 0.3, 0.4)
    assert warping_error(flicker, [motion(0.0, 0.0)] * 3) == pytest.approx(0.04)
    assert warping_error(flicker, [motion(0.0, 0.0)] * 2, 2) == pytest.approx(0, abs=1e-12)
    assert warping_error(rising, [motion(0.0, 0.0)] * 3) == pytest.approx(0.01)
    assert warping_error(rising, [motion(0.0, 0.0)] * 2, 2) == pytest.approx(0.04)


def test_only_pixels_of_the_mask_count_and_frames_count_alike() -> None:
    """Half of the pixels of one frame differ by 0.2, and a single pixel of the other by 0.4: (0.04 + 0.16) / 2."""
    frames = still(0.5, 0.5, 0.5)
    frames[1][..., :6] = 0.7
    frames[2][..., 6:] = 0.9
    left, single = torch.zeros_like(EVERYWHERE), torch.zeros_like(EVERYWHERE)
    left[..., :6] = True
    single[..., 0, 11] = True
    assert warping_error(frames, [motion(0.0, 0.0, left), motion(0.0, 0.0, single)]) == pytest.approx(0.1)


def test_frames_without_a_visible_pixel_are_left_out() -> None:
    frames, nowhere = still(0.1, 0.9, 0.8), torch.zeros_like(EVERYWHERE)
    assert warping_error(frames, [motion(0.0, 0.0, nowhere), motion(0.0, 0.0)]) == pytest.approx(0.01)
    with raises(StylekitError, "No pixel", "1 frames later", "cuts"):
        warping_error(frames, [motion(0.0, 0.0, nowhere)] * 2)


def test_what_cannot_be_compared_is_refused() -> None:
    frames = still(0.1, 0.2, math.nan)
    with raises(StylekitError, "Frame 1", "not finite"):
        warping_error(frames, [motion(0.0, 0.0)] * 2)
    with raises(StylekitError, "interval of 1", "3 frames", "1 motions"):
        warping_error(frames, [motion(0.0, 0.0)])
    with raises(StylekitError, "interval of 10", "3 frames"):
        warping_error(frames, [], 10)
    with raises(StylekitError, "Frame 0", "different sizes"):
        warping_error([frame[..., :6] for frame in frames], [motion(0.0, 0.0)] * 2)


def test_a_row_of_the_table_by_hand() -> None:
    """Differences of 0.1 in a clip with 0.05; means of 0.4 and 0.5, from a style of 0.9."""
    outputs, contents = still(0.4, 0.5) * 6, still(0.4, 0.45) * 6
    motions = {name: [motion(0.0, 0.0)] * (12 - interval) for name, interval in INTERVALS.items()}
    row = steadiness(outputs, contents, still(0.9)[0], motions, Brightness())
    expected = {"short": 0.01, "short_ratio": 4, "long": 0, "long_ratio": math.inf, "style_distance": 0.45}
    assert row == pytest.approx(expected, abs=1e-5)
    few = {"short": motions["short"][:2], "long": []}
    short_clip = steadiness(outputs[:3], contents[:3], still(0.9)[0], few, Brightness())
    assert set(short_clip) == {"short", "short_ratio", "style_distance"}


def exact(clip: Clip, count: int, interval: int) -> list[Motion]:
    flows = [clip.flow(number, number + interval) for number in range(count - interval)]
    return [Motion(flow[None], mask[None, None]) for flow, mask in flows]


def test_a_steady_painting_has_hardly_more_error_than_its_photo_and_one_per_frame_has_more() -> None:
    """The clip in the painting's manner is painted once; noise is another one in each frame."""
    photo, painting = Clip(5, size=64), Clip(5, "strokes", size=64)
    motions = exact(photo, 4, 1)
    photos, paintings = ([clip.frame(number)[None] for number in range(4)] for clip in (photo, painting))
    noise = [torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(number)) for number in range(4)]
    unsteady = [(image + 0.05 * each).clamp(0, 1) for image, each in zip(paintings, noise, strict=True)]
    assert warping_error(paintings, motions) < 1.5 * warping_error(photos, motions)
    assert warping_error(unsteady, motions) > 5 * warping_error(photos, motions)


def test_the_estimated_flow_is_close_to_the_exact_one() -> None:
    pytest.importorskip("cv2")
    clip = Clip(5, size=128)
    frames = [clip.frame(number)[None] for number in range(2)]
    (found,) = estimated_motions(frames)["short"]
    (known,) = exact(clip, 2, 1)
    both = found.mask & known.mask
    distance = (found.flow - known.flow).norm(dim=1, keepdim=True)[both]
    assert 0.6 < both.float().mean() < 1
    assert distance.median() < 0.2
    assert estimated_motions(frames)["long"] == []


def test_flicker_is_stripes_in_the_strip() -> None:
    shown = strip(still(0.6, 0.4, 0.6))
    assert shown.shape == (1, 3, 8, 3)
    torch.testing.assert_close(shown[0, 0, 5], torch.tensor([0.6, 0.4, 0.6]))
    ramp = torch.arange(12.0).expand(1, 3, 8, 12)
    assert strip([ramp, ramp]).unique().tolist() == [6]
    assert strip([ramp, ramp], 2).unique().tolist() == [2]
    with raises(StylekitError, "column 12", "12 pixels"):
        strip([ramp], 12)
