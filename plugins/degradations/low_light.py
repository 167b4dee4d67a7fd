"""Pictures that were exposed too little."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stylekit import hookimpl
from stylekit.hookspecs import Degradation
from stylekit.images import Range, drawn, require_range


class LowLight(nn.Module):
    """Halves the light for every stop: linear light of sRGB is multiplied by ``2^-stops``.

    Noise is not added; a list such as ``[low-light, poisson-noise]`` has it, as a sensor counts what light is left.

    Args:
        stops: by how many stops a picture is underexposed, or a range of it

    Raises:
        StylekitError: ``stops`` is negative.
    """

    def __init__(self, stops: Range = (1.0, 4.0)) -> None:
        super().__init__()
        require_range("degradation 'low-light'", stops=stops)
        self.stops = stops

    def forward(self, image: Tensor) -> Tensor:
        """Darkens images ``(N, 3, H, W)`` in [0, 1]."""
        return encoded(linear(image) * 2 ** -drawn(self.stops, image))


def linear(image: Tensor) -> Tensor:
    """Linear light of sRGB values (IEC 61966-2-1)."""
    return (image / 12.92).where(image <= 0.04045, ((image + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """The sRGB values of linear light."""
    return (light * 12.92).where(light <= 0.0031308, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


@hookimpl
def stylekit_degradations() -> dict[str, Callable[..., Degradation]]:
    return {"low-light": LowLight}
