"""The loss ``tulip-palette``: how much the colours of two images differ, wherever they are."""

from __future__ import annotations

from torch import Tensor, nn

from stylekit import hookimpl

STYLEKIT_API = 1


class Palette(nn.Module):
    """The Wasserstein distance of each colour channel: sorted pixels are compared in order."""

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of one size: a scalar, zero for equal palettes."""
        mine, wanted = (image.flatten(2).sort().values for image in (output, reference))
        return (mine - wanted).abs().mean()


@hookimpl
def stylekit_losses() -> dict[str, type[Palette]]:
    return {"tulip-palette": Palette}
