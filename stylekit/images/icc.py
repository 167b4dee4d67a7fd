"""ICC profiles of RGB spaces that three curves and a matrix describe, as those of cameras, screens and editors are.

Pillow's ImageCms computes with 8 bits. This is precise enough for any depth.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""From linear sRGB to XYZ, adapted to D50 (Lindbloom, "RGB/XYZ Matrices")."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""From XYZ to cone responses, in which white points are adapted (ICC.1:2022, annex E)."""
SRGB_CURVE = struct.pack(
    ">4s4xH2x5i", b"para", 3, *(round(value * 2**16) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
"""The curve of sRGB, as a tag's content."""
STEPS = 2**16
"""Samples of a curve: one for each value of 16 bits."""


@dataclass(frozen=True, eq=False)
class MatrixProfile:
    """An RGB space.

    Attributes:
        curves: linear light of each stored value, ``(3, 65536)``, increasing
        matrix: from the space's linear light to linear sRGB, ``(3, 3)``
    """

    curves: Array
    matrix: Array

    def to_srgb(self, values: Array) -> Array:
        """The colours ``(H, W, 3)``, uint8 or uint16, in sRGB, float32 in [0, 1]."""
        index = values.astype(np.uint16) * 257 if values.dtype == np.uint8 else values
        linear = np.stack([curve[index[..., channel]] for channel, curve in enumerate(self.curves)], -1)
        return encode(linear @ self.matrix.T.astype(np.float32))

    def from_srgb(self, colors: Array) -> Array:
        """The colours ``(H, W, 3)``, float32 in sRGB, as values of this space, float32 in [0, 1]."""
        linear = decode(colors) @ np.linalg.inv(self.matrix).T.astype(np.float32)
        index = (encode(linear) * (STEPS - 1) + 0.5).astype(np.uint16)
        return np.stack([inverse[index[..., channel]] for channel, inverse in enumerate(self.inverses)], -1)

    @cached_property
    def inverses(self) -> Array:
        """The stored values, float32 in [0, 1], by the sRGB value of the linear light, which has fine steps in the dark."""
        grid = np.linspace(0, 1, STEPS, dtype=np.float32)
        light = decode(grid)
        return np.stack([np.interp(light, curve, grid) for curve in self.curves]).astype(np.float32)


def encode(linear: Array) -> Array:
    """The sRGB values of linear light, clamped to [0, 1] (IEC 61966-2-1)."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def decode(values: Array) -> Array:
    """The linear light of sRGB values."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def tags(profile: bytes) -> dict[bytes, bytes]:
    """The tags of a profile, without those that point outside of it."""
    count = min(struct.unpack_from(">I", profile, 128)[0], 100)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(count)]
    return {name: profile[start : start + length] for name, start, length in entries if start + length <= len(profile)}


def parse(profile: bytes) -> MatrixProfile | None:
    """The RGB space of a profile, or None if the profile has tables instead, or is damaged."""
    try:
        found = tags(profile)
        if profile[16:24] != b"RGB XYZ " or b"A2B0" in found:
            return None
        columns = [np.array(struct.unpack_from(">3i", found[name], 8)) / 2**16 for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        matrix = np.linalg.inv(SRGB) @ np.stack(columns, 1)
        np.linalg.inv(matrix)
        curves = np.stack([curve(found[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    except (KeyError, ValueError, ZeroDivisionError, struct.error, np.linalg.LinAlgError):
        return None
    return MatrixProfile(curves.astype(np.float32), matrix) if np.isfinite(curves).all() else None


def curve(tag: bytes) -> Array:
    """The samples of a curve, for 65536 values from 0 to 1 (ICC.1:2022, 10.6 and 10.18).

    Raises:
        ValueError: it is not a curve
        struct.error: it is incomplete
    """
    x = np.linspace(0, 1, STEPS)
    if tag[:4] == b"para":
        kind = struct.unpack_from(">H", tag, 8)[0]
        counts = (1, 3, 4, 5, 7)
        if kind >= len(counts):
            raise ValueError("unknown function")
        given = [value / 2**16 for value in struct.unpack_from(f">{counts[kind]}i", tag, 12)]
        y = _parametric(kind, x, given)
    elif tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count < 2:
            y = x ** (struct.unpack_from(">H", tag, 12)[0] / 256 if count else 1.0)
        else:
            values = np.frombuffer(tag, ">u2", min(count, STEPS), 12) / 65535
            y = np.interp(x, np.linspace(0, 1, len(values)), values)
    else:
        raise ValueError("not a curve")
    samples: Array = np.maximum.accumulate(y.clip(0, 1))
    return samples


def _parametric(kind: int, x: Array, given: list[float]) -> Array:
    g, a, b, c, d, e, f = {
        0: lambda g: (g, 1, 0, 0, -1, 0, 0),
        1: lambda g, a, b: (g, a, b, 0, -b / a, 0, 0),
        2: lambda g, a, b, c: (g, a, b, 0, -b / a, c, c),
        3: lambda g, a, b, c, d: (g, a, b, c, d, 0, 0),
        4: lambda *all: all,
    }[kind](*given)  # type: ignore[operator]
    with np.errstate(all="ignore"):
        y: Array = np.nan_to_num(np.where(x >= d, (a * x + b).clip(0) ** g + e, c * x + f))
    return y


def build(matrix: Array, curve_tag: bytes) -> bytes:
    """A profile of an RGB space.

    Args:
        matrix: from linear light to XYZ adapted to D50, ``(3, 3)``
        curve_tag: the curve of all three channels, as a tag's content
    """
    text = b"RGB\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    contents = {
        b"desc": _padded(description),
        b"cprt": _padded(b"text" + bytes(4) + b"None\0"),
        b"wtpt": _xyz(D50),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _padded(curve_tag)),
    }
    start = 128 + 4 + 12 * len(contents)
    table, body = struct.pack(">I", len(contents)), b""
    for name, content in contents.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = struct.pack(">I4xI", start + len(body), 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + table + body


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def _xyz(values: Array) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 2**16) for value in values))


def gamma_curve(exponent: float) -> bytes:
    """The content of a tag with the curve ``x ** exponent``."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def primaries_matrix(white: tuple[float, float], *primaries: tuple[float, float]) -> Array:
    """From linear light to XYZ adapted to D50, by the chromaticities (x, y) of white, red, green and blue.

    Raises:
        ValueError: they are not those of an RGB space
    """
    if any(y <= 0 for _, y in (white, *primaries)):
        raise ValueError("a chromaticity is impossible")
    columns = np.stack([[x / y, 1, (1 - x - y) / y] for x, y in primaries], 1)
    light = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    try:
        linear = columns * np.linalg.solve(columns, light)
    except np.linalg.LinAlgError as error:
        raise ValueError("the primaries are on one line") from error
    adapted: Array = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ light)) @ BRADFORD @ linear
    return adapted
