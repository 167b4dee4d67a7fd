"""Optical flow: warping and visibility by hand, and the estimate of a shift that is known."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from stylekit import StylekitError
from stylekit.images.flow import dis_flow, visible, warp
from tests.facts import raises


def constant(x: float, y: float, height: int = 6, width: int = 8) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, height, width).contiguous()


def test_a_pixel_comes_from_where_the_flow_leads() -> None:
    image = torch.rand(1, 3, 6, 8, dtype=torch.float64)
    shifted = warp(image, constant(2, 1).double())
    torch.testing.assert_close(shifted[..., :-1, :-2], image[..., 1:, 2:])
    torch.testing.assert_close(shifted[..., -1, -1], image[..., -1, -1])  # the border


def test_between_pixels() -> None:
    image = torch.tensor([0.0, 1.0, 4.0, 9.0]).view(1, 1, 1, 4)
    flow = constant(0.25, 0, 1, 4)
    torch.testing.assert_close(warp(image, flow).flatten(), torch.tensor([0.25, 1.75, 5.25, 9.0]))
    torch.testing.assert_close(warp(image, flow, "nearest"), image)


def test_the_flow_has_a_gradient_for_the_image() -> None:
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    warp(image, constant(1, 0, 4, 4))[..., 0, 0].sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad[0, 0, 0, 1], torch.tensor(1.0))


def test_consistent_flow_is_visible() -> None:
    assert visible(constant(3, -2), constant(-3, 2)).all()
    assert visible(constant(0, 0), constant(0, 0)).shape == (1, 1, 6, 8)


def test_occlusion_by_hand() -> None:
    """Forward (3, 0), back (-2, 0): 1 against 0.01 (9 + 4) + 0.5 = 0.63. Back (-2.4, 0): 0.36 against 0.6476."""
    assert not visible(constant(3, 0), constant(-2, 0)).any()
    assert visible(constant(3, 0), constant(-2.4, 0)).all()


def test_the_flow_back_is_fetched_from_the_target() -> None:
    back = constant(0, 0)
    back[..., 4:] = constant(-2, 0)[..., 4:]
    seen = visible(constant(2, 0), back)[0, 0, 0]
    assert seen.tolist() == [False, False, True, True, True, True, True, True]


def test_a_boundary_of_the_motion_by_hand() -> None:
    """At the step from (0, 0) to (1, 0), the gradient is 1 against 0.002, left of it; 0.1 of a step is 0.01 against 0.0121."""
    for high, expected in ((1.0, False), (0.04, True)):
        forward = constant(0, 0)
        forward[..., 4:] = constant(high, 0)[..., 4:]
        assert visible(forward, -forward)[0, 0, 2].tolist() == [True] * 3 + [expected] + [True] * 4


def test_dis_finds_a_shift() -> None:
    pytest.importorskip("cv2")
    coarse = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic", align_corners=False).clamp(0, 1)
    found = dis_flow(image[..., 4:-4, 4:-4], image[..., 3:-5, 6:-2])[0, :, 12:-12, 12:-12]
    torch.testing.assert_close(found.mean((1, 2)), torch.tensor([-2.0, 1.0]), atol=0.1, rtol=0)


def test_small_images_are_refused() -> None:
    pytest.importorskip("cv2")
    with raises(StylekitError, "16 x 16", "20 x 15"):
        dis_flow(torch.rand(1, 3, 15, 20), torch.rand(1, 3, 15, 20))


def test_opencv_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with raises(StylekitError, "Optical flow", "cv2", "pip install 'stylekit-torch[video]'"):
        dis_flow(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
