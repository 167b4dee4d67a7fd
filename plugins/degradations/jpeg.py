"""JPEG: what is lost when a picture is stored, computed as libjpeg does it, on any device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Degradation
from stylekit.images import Range, drawn, require_range

LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""The quantisation tables of the standard (ITU-T T.81, annex K.1), which libjpeg scales by its quality."""
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""The colours of JFIF, from 0 to 255 around a middle of 128 for Cb and Cr."""


class JPEG(nn.Module):
    """Compresses and decompresses each image, with colours of half the resolution (4:2:0).

    Args:
        quality: quality of libjpeg and Pillow, from 1 to 100, or a range of it

    Raises:
        StylekitError: ``quality`` is not from 1 to 100.
    """

    channels = (3,)

    def __init__(self, quality: Range = 30) -> None:
        super().__init__()
        require_range("degradation 'jpeg'", 1, 100, quality=quality)
        self.quality = quality

    def forward(self, image: Tensor) -> Tensor:
        """Compresses images ``(N, 3, H, W)`` in [0, 1], rounded to 8 bits. It has no gradient."""
        height, width = image.shape[2:]
        quality = drawn(self.quality, image).float().round()
        percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
        levels = (image.float() * 255).round()  # in float32 for every type, because rounding differs otherwise
        levels = F.pad(levels, (0, -width % 16, 0, -height % 16), mode="replicate")
        luma, colors = mixed(levels, TO_YCBCR).round().split((1, 2), 1)
        luma = requantised(luma - 128, LUMA, percent) + 128
        colors = requantised(F.avg_pool2d(colors, 2).round(), CHROMA, percent)
        colors = F.interpolate(colors.round().clamp(-128, 127), scale_factor=2, mode="bilinear")
        decoded = mixed(torch.cat([luma.round().clamp(0, 255), colors], 1), TO_RGB).round().clamp(0, 255)
        return (decoded[..., :height, :width] / 255).to(image.dtype)


def mixed(image: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """A linear map of the three channels."""
    return torch.einsum("dc,nchw->ndhw", image.new_tensor(rows), image)


def requantised(planes: Tensor, table: tuple[tuple[int, ...], ...], percent: Tensor) -> Tensor:
    """Planes ``(N, C, H, W)`` after rounding their frequencies in blocks of 8 x 8 to multiples of the scaled table."""
    count, channels, height, width = planes.shape
    steps = ((planes.new_tensor(table) * percent + 50) / 100).floor().clamp(1, 255)[:, :, None, :, None, :]
    cosines = dct(planes)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8)
    waves = torch.einsum("uy,ncaybx,vx->ncaubv", cosines, blocks, cosines)
    back = torch.einsum("uy,ncaubv,vx->ncaybx", cosines, (waves / steps).round() * steps, cosines)
    return back.reshape(planes.shape)


def dct(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 values, ``(8, 8)``: frequencies by positions."""
    at = torch.arange(8, device=like.device, dtype=like.dtype)
    cosines = torch.cos(math.pi / 16 * at[:, None] * (2 * at + 1)) / 2
    return torch.where(at[:, None] == 0, math.sqrt(1 / 8), cosines)


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"jpeg": JPEG}
