"""Metrics against a truth: by hand, and torchmetrics' own averages."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from stylekit import StylekitError, make
from tests.facts import raises


def images(count: int = 3, side: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    output = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return output, (output + 0.1 * noise * torch.arange(1, count + 1).view(-1, 1, 1, 1)).clamp(0, 1)


def test_psnr_by_hand() -> None:
    zero, tenth = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1)
    tenth[1, :, :4] = 0
    found = make("metric", "psnr")(zero, tenth)
    assert found.tolist() == pytest.approx([20.0, 20.0 + 10 * math.log10(2)], abs=1e-4)
    assert make("metric", "psnr")(zero, zero).tolist() == [100.0, 100.0]


def test_psnr_of_each_image_is_that_of_torchmetrics() -> None:
    output, truth = images()
    found = make("metric", "psnr")(output, truth)
    for number in range(len(output)):
        expected = peak_signal_noise_ratio(output[number], truth[number], data_range=1.0)
        assert float(found[number]) == pytest.approx(float(expected), abs=1e-5)


def test_y_is_that_of_itu_r_bt_601() -> None:
    """White is 235, black 16, and a green of 1 is 128.553 above black, of 255."""
    metric = make("metric", "psnr", channels="y")
    black, white, green = (
        torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 4, 4) for c in ([0.0] * 3, [1.0] * 3, [0.0, 1, 0])
    )
    assert metric(black, white).item() == pytest.approx(-20 * math.log10(219 / 255), abs=1e-4)
    assert metric(black, green).item() == pytest.approx(-20 * math.log10(128.553 / 255), abs=1e-4)


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_a_border_is_left_out(name: str) -> None:
    output, truth = images(1)
    spoiled = truth.clone()
    spoiled[..., :3, :], spoiled[..., -1:] = 1 - truth[..., :3, :], 0.5
    metric = make("metric", name, border=3)
    torch.testing.assert_close(metric(output, spoiled), metric(output, truth))
    assert not torch.equal(make("metric", name)(output, spoiled), make("metric", name)(output, truth))


@pytest.mark.parametrize(("channels", "planes"), [("rgb", 3), ("y", 1)])
def test_ssim_of_each_image_is_that_of_torchmetrics(channels: str, planes: int) -> None:
    output, truth = images()
    metric: Any = make("metric", "ssim", channels=channels)
    found = metric(output, truth)
    assert metric.inner(output).shape[1] == planes
    for number in range(len(output)):
        ours, theirs = (metric.inner(each[number : number + 1]) for each in (output, truth))
        expected = structural_similarity_index_measure(ours, theirs, data_range=1.0)
        assert isinstance(expected, torch.Tensor)
        assert float(found[number]) == pytest.approx(float(expected), abs=1e-6)
    assert bool((found.diff() < 0).all())  # with more noise, it is lower


def test_multiscale_ssim_of_equal_images_is_one() -> None:
    output, truth = images()
    metric = make("metric", "ms-ssim")
    torch.testing.assert_close(metric(output, output), torch.ones(3))
    assert bool((metric(output, truth).diff() < 0).all())


def test_wrong_options_and_sizes_are_refused() -> None:
    with raises(StylekitError, "'border'", -1):
        make("metric", "psnr", border=-1)
    with raises(StylekitError, "'scales'", 6):
        make("metric", "ms-ssim", scales=6)
    with raises(StylekitError, "border of 4", "8 x 8"):
        make("metric", "psnr", border=4)(*images(1, 8))


@pytest.mark.parametrize("name", ["ssim", "ms-ssim"])
def test_without_torchmetrics_one_line_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    with raises(StylekitError, f"metric {name!r}", "torchmetrics", "pip install 'stylekit-torch[metrics]'"):
        make("metric", name)
