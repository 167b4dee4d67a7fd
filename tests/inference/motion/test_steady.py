"""Optical flow of a known motion, and clips that are steadied along it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest

from stylekit.errors import StylekitError
from stylekit.images.dis import optical_flow
from stylekit.inference.motion.steady import SHARE, steady
from stylekit.inference.motion.warping import agreement, warped
from stylekit.registry import extras
from tests.facts import raises

DOWN, LEFT = 3, -2
"""How a texture moves from frame to frame, in rows and columns."""


def texture(seed: int = 0, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth noise ``(H, W, 3)`` in [0, 1]."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, 3)).astype(np.float32), (0, 0), 1.5)
    return (noise - noise.min()) / (noise.max() - noise.min())


def moving(count: int) -> list[np.ndarray]:
    return [np.roll(texture(), (DOWN * number, LEFT * number), (0, 1)) for number in range(count)]


def interior(image: np.ndarray) -> np.ndarray:
    return image[20:-20, 20:-20]


def change(frames: Sequence[np.ndarray]) -> float:
    """Root mean square difference between each frame and the one before, moved by the true motion."""
    pairs = pairwise(frames[4:])
    differences = [interior(np.roll(one, (DOWN, LEFT), (0, 1)) - other) for one, other in pairs]
    return float(np.sqrt(np.mean(np.square(differences))))


def test_the_flow_of_a_shift_is_that_shift() -> None:
    one, other = moving(2)
    flow = optical_flow(one, other)
    assert flow.dtype == np.float32
    assert flow.shape == (96, 128, 2)
    assert np.abs(interior(flow) - (LEFT, DOWN)).max() < 0.25
    assert (optical_flow(one[:8], other[:8]) == 0).all()  # too small to search


def test_warping_by_whole_pixels_moves_them_exactly() -> None:
    image = texture()
    flow = np.broadcast_to(np.array([LEFT, DOWN], np.float32), (96, 128, 2))
    moved = warped(image, flow)
    assert (moved[:-DOWN, -LEFT:] == image[DOWN:, :LEFT]).all()
    assert (moved[-1, 2:] == image[-1, :-2]).all()  # the last row is repeated


def test_flows_that_lead_back_agree_and_others_do_not() -> None:
    there = np.zeros((40, 50, 2), np.float32) + np.array([LEFT, DOWN], np.float32)
    trust = agreement(there, -there)
    assert (trust[:-DOWN, -LEFT:] == 1).all()
    assert (trust[-DOWN:] == 0).all()  # it leaves the image
    assert (trust[:, : -LEFT - 1] == 0).all()
    assert (agreement(there, there) == 0).all()
    # A way back that is off by e: 1 - e^2 / (0.01 (13 + |back|^2) + 0.5)
    off = -there + np.array([0.3, 0], np.float32)
    assert agreement(there, off)[10, 10] == pytest.approx(1 - 0.09 / (0.01 * (13 + 2.3**2 + 9) + 0.5), rel=1e-4)


def test_a_moving_texture_stays_as_it_is() -> None:
    frames = moving(10)
    for before, after in zip(frames, steady(zip(frames, frames, strict=True)), strict=True):
        assert np.abs(interior(before - after)).max() < 0.05
    assert change(list(steady(zip(frames, frames, strict=True)))) < 0.01


def test_flicker_is_reduced_and_not_blurred() -> None:
    """Independent noise gets a third of its amplitude, and changes less: sqrt((1 - a) / (1 + a)) at most."""
    frames, random = moving(14), np.random.default_rng(1)
    made = [(frame + 0.05 * random.standard_normal(frame.shape)).clip(0, 1).astype(np.float32) for frame in frames]
    out = list(steady(zip(frames, made, strict=True)))
    assert change(made) > 0.06
    assert change(out) < change(made) * (1 - SHARE) * 1.2
    error = np.sqrt(np.mean(np.square(interior(out[-1] - frames[-1]))))
    assert error < 0.05 / 3 * 1.3


def test_a_cut_starts_again() -> None:
    one, other = texture(0), texture(1)
    black, white = np.zeros_like(one), np.ones_like(one)
    first, second = steady([(one, black), (other, white)])
    assert (first == black).all()
    assert (second == white).all()


def test_what_was_hidden_is_not_blended() -> None:
    """A square moves over a texture: where it was, nothing of it is left."""
    back, made = texture(0), []
    for number in range(3):
        frame = back.copy()
        frame[30:60, 20 + 12 * number : 50 + 12 * number] = 1 - 0.2 * texture(3)[:30, :30]
        made.append(frame)
    out = list(steady(zip(made, made, strict=True)))
    assert np.abs(out[2] - made[2])[30:60, 44:74].mean() < 0.03
    assert np.abs(out[2] - made[2])[30:60, 32:44].mean() < 0.06


def test_a_clip_goes_on_where_it_ended() -> None:
    frames = moving(6)
    made = [1 - frame for frame in frames]
    whole = list(steady(zip(frames, made, strict=True)))
    later = list(steady(zip(frames[3:], made[3:], strict=True), before=(frames[2], whole[2])))
    assert all((one == other).all() for one, other in zip(whole[3:], later, strict=True))


def test_an_enlarged_output_moves_as_far() -> None:
    frames = moving(4)
    made = [frame.repeat(2, 0).repeat(2, 1) for frame in frames]
    out = list(steady(zip(frames, made, strict=True)))
    assert out[3].shape == made[3].shape
    assert np.abs(interior(out[3] - made[3])).mean() < 0.03


def test_without_opencv_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with raises(StylekitError, "needs cv2", "pip install 'stylekit-torch[video]'"):
        list(steady([]))
