"""Smaller pictures by the bicubic filter of papers on super-resolution, that of MATLAB's ``imresize``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylekit import StylekitError, hookimpl
from stylekit.hookspecs import Degradation
from stylekit.images import resize


class Downscale(nn.Module):
    """Divides the sides, with an antialiased bicubic filter: Keys' cubic with a = -0.5, stretched by the scale.

    Beyond its borders, a picture is mirrored, and the border pixels are repeated. So the values are those of MATLAB's
    ``imresize(image, 1 / scale)`` before it rounds. Rows and columns that are left over are cut off at the bottom and right.

    Args:
        scale: by how much the sides are divided

    Raises:
        StylekitError: ``scale`` is not from 1 to 16.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        if not 1 <= scale <= 16:
            raise StylekitError(
                f"The option 'scale' of the degradation 'downscale' is {scale}, but must be from 1 to 16."
            )
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        """Reduces images ``(N, 3, H, W)`` in [0, 1] to ``(N, 3, H // scale, W // scale)``, clipped to [0, 1].

        Raises:
            StylekitError: a side is below ``scale``.
        """
        height, width = (side // self.scale for side in image.shape[2:])
        if not height or not width:
            raise StylekitError(
                f"An image of {image.shape[3]}x{image.shape[2]} pixels cannot be divided by {self.scale}."
            )
        # The filter reaches 2 * scale pixels to either side; the two outermost pixels of the result are those of the margin.
        image = mirrored(mirrored(image, 2, height * self.scale, 2 * self.scale), 3, width * self.scale, 2 * self.scale)
        return resize(image, (height + 4, width + 4))[..., 2:-2, 2:-2]


def mirrored(image: Tensor, dim: int, length: int, margin: int) -> Tensor:
    """The first ``length`` rows or columns with a mirrored margin on both sides, of any width."""
    at = torch.arange(-margin, length + margin, device=image.device) % (2 * length)
    return image.index_select(dim, torch.minimum(at, 2 * length - 1 - at))


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"downscale": Downscale}
