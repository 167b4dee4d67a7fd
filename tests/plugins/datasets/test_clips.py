"""Clips of drawn scenes: the flow by hand, what it fetches from another frame, and where it holds."""

from __future__ import annotations

import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit import StylekitError
from stylekit.images.flow import warp
from stylekit_plugins.datasets.scenes import KINDS, Camera, Clip, clips, render
from tests.facts import raises

MIDDLES = (torch.arange(60) + 0.5) / 60 - 0.5
"""The pixels of a side of 60, from the middle of the image."""


def moved(camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """The flow from a moved camera's frame to that of the start, for the background and for the front, and the mask."""
    clip = Clip(1, size=60, camera=lambda frame: camera if frame else Camera())
    flow, mask = clip.flow(1, 0)
    front = clip._share(1)
    assert 0.2 < (front == 0).float().mean() < 0.8
    far, near = (torch.where(which & mask, flow, torch.nan) for which in (front < 0.1, front > 0.9))
    return far, near, mask


def assert_flow(flow: Tensor, x: Tensor | float, y: Tensor | float) -> None:
    for found, expected in zip(flow, (x, y), strict=True):
        known = found.isfinite()
        assert known.sum() > 300
        torch.testing.assert_close(found[known], (torch.zeros(60, 60) + expected)[known], atol=1e-4, rtol=0)


def difference(clip: Clip, frame: int, other: int, warped: bool = True) -> Tensor:
    """The difference of a frame from another (3, H, W), which is warped to it, where both show the same."""
    flow, mask = clip.flow(frame, other)
    fetched = warp(clip.frame(other)[None], flow[None] * warped)[0]
    return (fetched - clip.frame(frame))[:, mask]


def test_a_pan_moves_the_front_more() -> None:
    """By 0.03 of the scene: 0.03 / 0.6 of the image, and 0.03 / 0.6 / 0.6 in front."""
    far, near, mask = moved(Camera(x=0.03))
    assert_flow(far, 3, 0)
    assert_flow(near, 5, 0)
    assert not mask[:, -3:].any()  # outside the other frame


def test_a_zoom_scales_about_the_middle() -> None:
    far, near, _ = moved(Camera(z=0.06))
    assert_flow(far, -0.06 * 60 * MIDDLES, -0.06 * 60 * MIDDLES[:, None])
    assert_flow(near, -0.1 * 60 * MIDDLES, -0.1 * 60 * MIDDLES[:, None])


def test_a_roll_turns_both_planes_alike() -> None:
    cos, sin = math.cos(0.05), math.sin(0.05)
    x = 60 * ((cos - 1) * MIDDLES - sin * MIDDLES[:, None])
    y = 60 * (sin * MIDDLES + (cos - 1) * MIDDLES[:, None])
    for flow in moved(Camera(roll=0.05))[:2]:
        assert_flow(flow, x, y)


@pytest.mark.parametrize("manner", ["photo", "strokes"])
@pytest.mark.parametrize("index", [0, 1, 3])
def test_the_flow_fetches_the_frame_from_another(index: int, manner: str) -> None:
    """To the blur of bilinear interpolation: 2 percent."""
    clip = Clip(index, manner, 128)
    for other in (4, 14):
        left, untouched = (difference(clip, 5, other, warped).square().mean().sqrt() for warped in (True, False))
        assert left < 0.02
        assert left < untouched / 2


def test_the_flow_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without detail there is no blur. Where two planes of long waves meet, a pixel may have 1/255 of the other one."""
    phases = iter((0.0, 2.0))

    def waves(rgb: Tensor, ink: Tensor, manner: str, address: str) -> Tensor:
        along = torch.linspace(0, 1, len(ink))
        return (0.5 + 0.4 * torch.sin(5 * along + 4 * along[:, None] + next(phases))).expand(3, -1, -1)

    monkeypatch.setattr(clips, "rendered", waves)
    clip = Clip(1, size=128)
    for other in (4, 14):
        left = difference(clip, 5, other).abs()
        assert left.max() < 1 / 255
        assert left.mean() < 1e-4
        assert difference(clip, 5, other, warped=False).abs().mean() > 0.01


@pytest.mark.parametrize("other", [4, 14])
def test_there_and_back(other: int) -> None:
    """A visible pixel lands on its own plane, from where the flow leads back to it."""
    clip = Clip(1, size=96)
    (there, mask), (back, _) = clip.flow(5, other), clip.flow(other, 5)
    assert 0.5 < mask.float().mean() < 1
    assert (there + warp(back[None], there[None])[0])[:, mask].abs().max() < 1e-3


def test_a_still_camera_shows_the_middle_of_the_scene() -> None:
    shown = Clip(3, size=100, camera=lambda frame: Camera()).frame(0)
    scene = F.avg_pool2d(render(3, size=400)[:, 80:320, 80:320], 2)
    middle = F.interpolate(scene[None], (100, 100), mode="bilinear", antialias=True, align_corners=False)[0]
    assert (shown - middle).square().mean().sqrt() < 0.03


def test_frames_depend_on_the_arguments_only() -> None:
    frames = [Clip(2, size=32, seed=seed).frame(7) for seed in (0, 0, 1)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert torch.equal(Clip(2, size=32).frame(7), frames[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(frames[0], frames[1])
    assert not torch.equal(frames[0], frames[2])
    assert frames[0].shape == (3, 32, 32)
    assert not frames[0].is_inference()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_front(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = KINDS[kind]
    monkeypatch.setattr(clips, "draw", draw)
    shares = [Clip(index, size=32)._near[3].mean() for index in range(6)]
    assert max(shares) > 0.01
    assert max(shares) < 0.8


def test_the_camera_never_leaves_the_scene() -> None:
    corners = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]], dtype=torch.float64)
    for x in (-0.05, 0.05):
        for y in (-0.05, 0.05):
            for z in (-0.06, 0.06):
                for roll in (-0.05, 0.05):
                    for depth in (1.0, clips.DEPTH):
                        seen = (Camera(x, y, z, roll).view(depth) @ corners)[:2]
                        assert 0 <= seen.min() <= seen.max() <= 1
    path = clips.wandering(random.Random(0))
    assert max(abs(path(frame).z) for frame in range(100)) <= 0.06


def test_wrong_arguments_are_refused() -> None:
    with raises(StylekitError, "'foto'", "did you mean 'photo'"):
        Clip(0, "foto")
    with raises(StylekitError, 2000, 32, 1024):
        Clip(0, size=2000)
