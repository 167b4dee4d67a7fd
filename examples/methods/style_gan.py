"""A small StyleGAN (Karras et al. 2019, 2020). Shows progress through training, lazy regularisation, and truncation."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.images import resize
from stylekit.method import Batch, Terms
from stylekit.ops import instance_norm


class Block(nn.Module):
    """Twice as large, a convolution, noise, and an instance norm with the scale and shift of a style."""

    def __init__(self, before: int, after: int, latent: int, up: bool) -> None:
        super().__init__()
        self.up, self.conv = up, nn.Conv2d(before, after, 3, padding=1)
        self.noise, self.style = nn.Parameter(torch.full((1, after, 1, 1), 0.1)), nn.Linear(latent, 2 * after)
        self.to_rgb = nn.Conv2d(after, 3, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(F.interpolate(x, scale_factor=2.0, mode="bilinear") if self.up else x)
        scale, shift = self.style(style).chunk(2, 1)
        x = x + self.noise * torch.randn_like(x[:, :1])
        return instance_norm(x, 1 + scale, shift, activation="leaky_relu")


class StyleGAN(Method):
    """A mapping network makes styles of random vectors; blocks make an image from a learned constant, fine ones faded in.

    Args:
        side: side of the drawn images, a power of two
        discriminator: network that scores images
        adversarial: adversarial loss
        width: channels of the finest block
        latent: length of random vectors and styles
        r1: weight of the gradient penalty on real images, at every 16th update
        lr: learning rate
    """

    batch_keys = ("content",)
    inference_modules = ("mapping", "blocks", "constant", "average")
    presets: ClassVar = {"tiny": {"width": 8, "latent": 32, "discriminator": {"name": "resnet-sn", "width": 8}}}
    average: Tensor

    def __init__(
        self,
        side: int = 64,
        discriminator: Part = "resnet-sn",
        adversarial: Part = "nonsaturating",
        width: int = 32,
        latent: int = 128,
        r1: float = 1.0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        self.side, self.latent, self.r1, self.lr = side, latent, r1, lr
        layers = [(nn.Linear(latent, latent), nn.LeakyReLU(0.2)) for _ in range(4)]
        self.mapping = nn.Sequential(*(layer for pair in layers for layer in pair))
        widths = [width * min(2**step, 8) for step in range(side.bit_length() - 3, -1, -1)]
        pairs = zip((widths[0], *widths), widths, strict=False)
        self.blocks = nn.ModuleList(Block(a, b, latent, up=n > 0) for n, (a, b) in enumerate(pairs))
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.register_buffer("average", torch.zeros(latent))
        self.discriminator, self.adversarial = make("discriminator", discriminator), make("adversarial", adversarial)

    def players(self) -> dict[str, Player]:
        generator = Player([self.mapping, self.blocks, self.constant], lr=self.lr, ema=0.99)
        return {"generator": generator, "discriminator": Player(self.discriminator, lr=self.lr)}

    def synthesize(self, style: Tensor, progress: float) -> Tensor:
        x, image = self.constant.expand(len(style), -1, -1, -1), style.new_zeros(1)
        for number, block in enumerate(self.blocks):
            x = block(x, style)
            share = min(max(2 * progress * len(self.blocks) - number + 1, 0), 1)  # all are there after half of the run
            image = share * block.to_rgb(x) + (F.interpolate(image, scale_factor=2.0) if number else 0)  # type: ignore[operator]
        return torch.sigmoid(image)

    def forward(self, batch: Batch) -> Tensor:
        style = self.mapping(torch.randn(len(batch["content"]), self.latent, device=self.average.device))
        self.average.lerp_(style.detach().mean(0), 0.01)
        return self.synthesize(style, self.progress)

    @turn("generator")
    def generate(self, batch: Batch, fake: Tensor) -> Terms:
        return {"adversarial": self.adversarial.generator(*map(self.discriminator, (fake, self.real(batch))))}

    @turn("discriminator")
    def discriminate(self, batch: Batch, fake: Tensor) -> Terms:
        return {
            "adversarial": self.adversarial.discriminator(*map(self.discriminator, (self.real(batch), fake.detach())))
        }

    @turn("discriminator", interval=16)
    def penalize(self, batch: Batch, fake: Tensor) -> Terms:
        real = self.real(batch).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)  # type: ignore[union-attr]
        return {"r1": self.r1 / 2 * slope.square().sum((1, 2, 3)).mean()}

    def sample(self, count: int, *, truncation: float = 0.7) -> Tensor:
        """Draws images.

        Args:
            count: how many
            truncation: 1 for any style, towards 0 nearer to the average one
        """
        style = self.mapping(torch.randn(count, self.latent, device=self.average.device))
        return self.synthesize(self.average.lerp(style, truncation), 1.0)

    def real(self, batch: Batch) -> Tensor:
        return resize(batch["content"], (self.side, self.side)).detach()


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"style-gan": StyleGAN}
