"""HDR to SDR, against the published values of the curves."""

from __future__ import annotations

import numpy as np
import pytest

from stylekit.images.video import hdr


def grey(signal: float) -> np.ndarray:
    return np.full((1, 1, 3), signal, np.float32)


@pytest.mark.parametrize(("signal", "light"), [(0.0, 0), (0.5081, 100), (0.5807, 203), (0.7518, 1000), (1.0, 10000)])
def test_pq_has_the_luminance_of_st_2084(signal: float, light: float) -> None:
    assert hdr.pq_to_light(np.array(signal)) == pytest.approx(light, rel=2e-3)
    assert hdr.light_to_pq(np.array(float(light))) == pytest.approx(signal, abs=1e-4)


@pytest.mark.parametrize(("signal", "light"), [(0.75, 203), (1.0, 1000), (0.38, 26.2)])
def test_hlg_has_the_luminance_of_bt_2408(signal: float, light: float) -> None:
    assert hdr.hlg_to_light(grey(signal))[0, 0] == pytest.approx([light] * 3, rel=0.02)


def test_dark_tones_stay_and_highlights_are_compressed_up_to_white() -> None:
    light = np.array([0.1, 10, 90, 203, 600, 1000, 9000])
    mapped = hdr.tone_mapped(light)
    assert mapped[:3] == pytest.approx(light[:3], rel=1e-3)
    assert (np.diff(mapped[:-1]) > 0).all()
    assert mapped[-2:] == pytest.approx([203, 203])


@pytest.mark.parametrize(("transfer", "signal"), [("PQ", 0.5807), ("HLG", 0.75)])
def test_diffuse_white_is_bright_in_both_and_the_peak_is_white(transfer: str, signal: float) -> None:
    assert hdr.to_sdr(grey(signal), transfer)[0, 0] == pytest.approx([229] * 3, abs=1)
    assert (hdr.to_sdr(grey(1), transfer) == 255).all()
    assert (hdr.to_sdr(grey(0), transfer) == 0).all()


def test_half_of_diffuse_white_is_half_the_light_of_srgb() -> None:
    """Below the knee: 50 cd/m^2 of 203 are a linear 0.2463, in sRGB 1.055 * 0.2463^(1/2.4) - 0.055 = 0.5336."""
    signal = float(hdr.light_to_pq(np.array(50.0)))
    assert hdr.to_sdr(grey(signal), "PQ")[0, 0] == pytest.approx([136] * 3, abs=1)


def test_a_colour_of_bt_709_keeps_its_hue() -> None:
    """Linear BT.709 red is (0.6274, 0.0691, 0.0164) in BT.2020 (ITU-R BT.2087)."""
    light = np.array([0.6274, 0.0691, 0.0164]) * 50
    red = hdr.to_sdr(hdr.light_to_pq(light).astype(np.float32)[None, None], "PQ")[0, 0]
    assert red[0] == pytest.approx(136, abs=2)
    assert max(red[1:]) <= 8
