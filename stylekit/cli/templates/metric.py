"""A metric for stylekit: how much the lightness of an image differs from that of its content."""

from __future__ import annotations

from torch import Tensor, nn

from stylekit import hookimpl

STYLEKIT_API = 1


class MyStyle(nn.Module):
    """The mean absolute difference of the lightness of an output from that of its content, without their means."""

    against = "content"
    higher = False

    def forward(self, output: Tensor, reference: Tensor) -> Tensor:
        """Compares images ``(N, 3, H, W)`` of the same size in [0, 1]: ``(N,)``, zero for equal lightness."""
        ours, theirs = (image.mean(1) for image in (output, reference))
        centred = [each - each.mean((1, 2), keepdim=True) for each in (ours, theirs)]
        return (centred[0] - centred[1]).abs().mean((1, 2))


@hookimpl
def stylekit_metrics() -> dict[str, type[MyStyle]]:
    return {"my-style": MyStyle}
