"""Reduces HDR colours to what an ordinary display shows: ITU-R BT.2100 in, BT.709 primaries and the curve of sRGB out."""

from __future__ import annotations

import numpy as np

from stylekit.images.pixels import Array

TRANSFERS = {16: "PQ", 18: "HLG"}
"""The curves of ITU-R BT.2100, by their numbers in ITU-T H.273."""
PEAK, PAPER = 1000.0, 203.0
"""Luminance in cd/m^2 of the brightest highlight that keeps detail, and of diffuse white (ITU-R BT.2408)."""
TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""Linear colours of BT.2020 to those of BT.709 (ITU-R BT.2407)."""
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
"""Constants of PQ (SMPTE ST 2084)."""
A, B, C = 0.17883277, 0.28466892, 0.55991073
"""Constants of HLG (ITU-R BT.2100)."""


def to_sdr(colors: Array, transfer: str) -> Array:
    """Converts colours for an HDR display.

    Args:
        colors: RGB ``(..., 3)`` of BT.2020, float32 in [0, 1], as the file stores them
        transfer: PQ or HLG

    Returns:
        sRGB, uint8
    """
    light = pq_to_light(colors) if transfer == "PQ" else hlg_to_light(colors)
    brightest = light.max(-1, keepdims=True).clip(1e-4)
    linear = (light * (tone_mapped(brightest) / brightest) / PAPER) @ TO_BT709.T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(encoded * 255 + 0.5, np.uint8)


def pq_to_light(signal: Array) -> Array:
    """The luminance in cd/m^2 that a PQ signal in [0, 1] stands for."""
    power = signal.clip(0, 1) ** (1 / M2)
    light: Array = 10000 * ((power - C1).clip(0) / (C2 - C3 * power)) ** (1 / M1)
    return light


def light_to_pq(light: Array) -> Array:
    """The PQ signal of a luminance in cd/m^2."""
    power = (light.clip(0) / 10000) ** M1
    signal: Array = ((C1 + C2 * power) / (1 + C3 * power)) ** M2
    return signal


def hlg_to_light(signal: Array) -> Array:
    """The luminance in cd/m^2 on a display of 1000 cd/m^2 of HLG colours ``(..., 3)`` in [0, 1]."""
    signal = signal.clip(0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12)
    luminance = (scene @ LUMA)[..., None].clip(1e-6)
    light: Array = PEAK * scene * luminance**0.2
    return light


def tone_mapped(light: Array) -> Array:
    """The luminance on a display whose white is diffuse white: the same below a knee, and highlights compressed above (ITU-R
    BT.2390, section 5.4)."""
    peak, paper = light_to_pq(np.array(PEAK)), light_to_pq(np.array(PAPER))
    signal, highest = (light_to_pq(light) / peak).clip(0, 1), paper / peak
    knee = 1.5 * highest - 0.5
    t = ((signal - knee) / (1 - knee)).clip(0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * highest
    return pq_to_light(np.where(signal < knee, signal, spline) * peak)
