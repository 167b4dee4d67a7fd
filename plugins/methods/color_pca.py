"""Colours alone: a picture takes on the mean and the covariance of another's, along their principal axes.

The linear transfer of Pitié and Kokaram 2007, in pixels: no network, no weights, nothing to train. It keeps every
detail of the content, and is what to hold a method against that claims to do more than recolour.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from stylekit import Method, hookimpl
from stylekit.color import color_stats, match_color
from stylekit.method import Capabilities, Statistics


class ColorPCA(Method):
    """Gives the content the mean colour and the colour covariance of the style, by the map that moves colours least."""

    batch_keys = ()
    capabilities = Capabilities(thread_safe=True)
    style_modules = ()

    def describe(self, style: Tensor) -> Statistics:
        """The mean ``(N, 3)`` of the style's colours, and the symmetric root ``(N, 3, 3)`` of their covariance."""
        mean, root = color_stats(style)
        return {"mean": mean, "root": root}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return match_color(content, style["mean"], style["root"], strength)


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"color-pca": ColorPCA}
