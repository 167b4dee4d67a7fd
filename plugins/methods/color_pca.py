"""Colour transfer: the content is given the mean and the covariance of the style's colours.

This is the linear transfer of Pitié and Kokaram 2007 on pixels, without a network, weights or training. It preserves every
detail of the content, so it is a baseline for methods that should do more than recolour.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from stylekit import Method, hookimpl
from stylekit.images.color import color_stats, match_color
from stylekit.method import Capabilities, Statistics


class ColorPCA(Method):
    """Gives the content the style's mean and covariance of colours, by the linear map that changes colours least."""

    batch_keys = ()
    capabilities = Capabilities(thread_safe=True)
    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        """Computes the mean ``(N, 3)`` of the style's colours, and the symmetric root ``(N, 3, 3)`` of their covariance."""
        mean, root = color_stats(style)
        return {"mean": mean, "root": root}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return match_color(content, style["mean"], style["root"], strength)


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"color-pca": ColorPCA}
