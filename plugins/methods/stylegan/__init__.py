"""stylegan: draws images from styles at every scale (Karras et al. 2019 and 2020, StyleGAN and StyleGAN2).

A network maps random codes to styles, which scale the channels of a second network. Styles of two codes are mixed in
training, and a penalty makes steps in the space of styles change images evenly. Samples near the average style are plainer and
have fewer faults (truncation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, turn
from stylekit.images import resize
from stylekit.layers import Count, Width, require_options
from stylekit.losses import PathLength
from stylekit.method import Batch, Terms, constant
from stylekit_plugins.methods.stylegan.networks import CodeMapping, Synthesis

__all__ = ["StyleGAN"]

DECAY = 0.01
"""Share of new styles in their running average."""


class StyleGAN(Method):
    """A mapping network, a synthesis network and a discriminator.

    Args:
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        side: side of the drawn images, a power of two from 8 on
        width: channels at the finest scale
        latent: size of codes and styles
        mapping: layers of the mapping network
        mixing: share of the images with the styles of two codes
        path_length: weight of the penalty on path lengths, which is computed at every fourth update
        lr: learning rate of both players (Adam)
        ema: decay of the exponential moving average of the generator, used for samples and the finished model

    Raises:
        StylekitError: an option is out of range.
    """

    batch_keys = ("content",)
    inference_modules = ("mapping", "synthesis", "average")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"side": 32, "width": 8, "latent": 32, "discriminator": {"name": "r3", "layers": 3, "width": 8}},
    }

    def __init__(
        self,
        discriminator: Part = {"name": "r3", "layers": 4, "width": 32},  # noqa: B006
        adversarial: Part = "nonsaturating",
        regularizers: tuple[Part, ...] = ({"name": "r1", "gamma": 0.1, "interval": 16},),
        augment: tuple[Part, ...] = (),
        side: int = 64,
        width: Width = 32,
        latent: Width = 128,
        mapping: Count = 4,
        mixing: float = 0.9,
        path_length: float = 2.0,
        lr: float = 2e-3,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        require_options(width=width, latent=latent, mapping=mapping)
        if not 0 <= mixing <= 1:
            raise StylekitError(f"The option 'mixing' is {mixing}, but must be from 0 to 1.")
        self.side, self.latent, self.mixing, self.path_length = side, latent, mixing, path_length
        self.lr, self.ema = lr, ema
        self.mapping, self.synthesis = CodeMapping(latent, mapping), Synthesis(latent, side, width)
        self.scales = len(self.synthesis.blocks)
        self.average, self.length = nn.Buffer(torch.zeros(latent)), PathLength()
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment)

    def players(self) -> dict[str, Player]:
        def adam(parameters: Any, lr: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, lr, (0.0, 0.99))

        return {
            "discriminator": Player(self.adversary, self.lr, adam, constant),
            "generator": Player([self.mapping, self.synthesis], self.lr, adam, constant, ema=self.ema),
        }

    def forward(self, batch: Batch) -> dict[str, Any]:
        real = batch["content"]
        real = real if real.shape[-1] == self.side else resize(real, (self.side, self.side))
        styles = self.mapping(self.codes(len(real)))
        with torch.no_grad():
            self.average.lerp_(styles.mean(0), DECAY)
        return {"real": real, "fake": self.synthesis(self.mixed(styles))}

    def drawn(self, batch: Batch, made: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
        return [(made["fake"], made["real"])]

    def mixed(self, styles: Tensor) -> Tensor:
        """Styles ``(N, scales, latent)`` for every scale: some images get those of another code from a random scale on."""
        every = styles[:, None].expand(-1, self.scales, -1)
        others = self.mapping(self.codes(len(styles)))[:, None]
        crossover = torch.randint(1, self.scales, styles.shape[:1], device=styles.device)
        unmixed = torch.rand(styles.shape[:1], device=styles.device) >= self.mixing
        first = torch.where(unmixed, self.scales, crossover)[:, None, None]
        return torch.where(torch.arange(self.scales, device=styles.device)[:, None] < first, every, others)

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        return self.adversary.discriminate(made["real"], made["fake"].detach())

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        return {"adversarial": self.adversary.generate(made["fake"], made["real"])}

    @turn("generator", interval=4)
    def straighten(self, batch: Batch, made: dict[str, Any]) -> Terms:
        """The penalty on path lengths, for half of a batch."""
        styles = self.mixed(self.mapping(self.codes(max(1, len(made["real"]) // 2))))
        return {"path_length": self.path_length * self.length(self.synthesis(styles), styles).mean()}

    def codes(self, count: int) -> Tensor:
        return torch.randn(count, self.latent, device=self.average.device)

    def sample_from(self, codes: Tensor, *, truncation: float = 0.7) -> Tensor:
        """Draws an image from each code ``(N, latent)``.

        Args:
            codes: from :meth:`codes`
            truncation: 1 for the full variety, 0 for the average image
        """
        styles = self.average.lerp(self.mapping(codes), truncation)
        image: Tensor = self.synthesis(styles[:, None].expand(-1, self.scales, -1))
        return image.clamp(0, 1)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        codes = self.codes(len(batch["content"]))
        return {f"truncation {share:g}": self.sample_from(codes, truncation=share) for share in (0.5, 0.7, 1.0)}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"stylegan": StyleGAN}
