"""The method ``tulips``: one small network changes every colour until the palette is the style's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.layers import require_options
from stylekit.method import Batch, Capabilities, Terms

STYLEKIT_API = 1


class Tulips(Method):
    """Recolours pixel by pixel, so that no shape can change.

    Args:
        width: channels of the network
        palette: loss that compares the palettes
        keep: weight of the mean absolute difference from the content
    """

    inference_modules = ("recolour",)
    presets: ClassVar = {"faithful": {"keep": 1.0}}
    capabilities = Capabilities(thread_safe=True)

    def __init__(self, width: int = 32, palette: Part = "tulip-palette", keep: float = 0.1) -> None:
        super().__init__()
        require_options(width=width)
        self.recolour = nn.Sequential(
            nn.Conv2d(3, width, 1), nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, 3, 1)
        )
        self.palette, self.keep = make("loss", palette), keep

    def players(self) -> dict[str, Player]:
        return {"gardener": Player(self.recolour, lr=3e-3)}

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("gardener")
    def plant(self, batch: Batch, made: Tensor) -> Terms:
        far = (made - batch["content"]).abs().mean()
        return {"palette": self.palette(made, batch["style"]), "keep": self.keep * far}

    def stylize(
        self, content: Tensor, style: Tensor | None = None, *, season: Literal["spring", "winter"] = "spring"
    ) -> Tensor:
        """Recolours ``(N, 3, H, W)`` in [0, 1].

        Args:
            content: the images
            style: not used
            season: spring for the learned colours, winter for their grey
        """
        blooming = torch.sigmoid(self.recolour(content * 2 - 1) + 4 * content - 2)
        return blooming if season == "spring" else blooming.mean(1, keepdim=True).expand_as(content)


@hookimpl
def stylekit_methods() -> dict[str, type[Tulips]]:
    return {"tulips": Tulips}


@hookimpl
def stylekit_presets() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """One for this package's method, and one for another."""
    networks = {
        "generator": {"name": "resnet", "blocks": 1, "width": 8},
        "discriminator": {"name": "patch", "layers": 1, "width": 8},
    }
    return {"tulips": {"small": {"width": 8}}, "cyclegan": {"tulips": networks}}
