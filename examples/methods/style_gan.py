"""A small StyleGAN (Karras et al. 2019, 2020). Shows training progress, lazy regularisation, and truncation."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Player, hookimpl, make, turn
from stylekit.method import Batch, Terms
from stylekit.ops import instance_norm


class Block(nn.Module):
    """Upsampling, a convolution, noise, and an instance norm whose scale and shift depend on the style."""

    def __init__(self, before: int, after: int, latent: int) -> None:
        super().__init__()
        self.conv, self.style = nn.Conv2d(before, after, 3, padding=1), nn.Linear(latent, 2 * after)
        self.noise, self.to_rgb = nn.Parameter(torch.full((1, after, 1, 1), 0.1)), nn.Conv2d(after, 3, 1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        scale, shift = self.style(style).chunk(2, 1)
        return instance_norm(x + self.noise * torch.randn_like(x[:, :1]), 1 + scale, shift, activation="leaky_relu")


class StyleGAN(Method):
    """A mapping network turns random vectors into styles; blocks turn a learned constant and a style into an image.

    Args:
        side: side of the generated images, a power of two
        width: channels of the finest block, and of the discriminator's first
        r1: weight of the gradient penalty on real images
        lr: learning rate
    """

    batch_keys = ("content",)
    inference_modules = ("mapping", "blocks", "constant", "average")

    def __init__(self, side: int = 64, width: int = 16, r1: float = 1.0, lr: float = 1e-3) -> None:
        super().__init__()
        self.side, self.r1, self.lr, self.latent = side, r1, lr, 8 * width
        self.mapping = nn.Sequential(*(nn.Sequential(nn.Linear(self.latent, self.latent), nn.ELU()) for _ in range(4)))
        widths = [width * min(2**step, 8) for step in range(side.bit_length() - 3, -1, -1)]  # from 4 x 4 pixels
        self.constant, self.average = nn.Parameter(torch.randn(1, widths[0], 4, 4)), nn.Buffer(torch.zeros(self.latent))
        self.blocks = nn.ModuleList(Block(*pair, self.latent) for pair in pairwise(widths))
        self.discriminator = make("discriminator", {"name": "resnet-sn", "width": width})
        self.adversarial = make("adversarial", "nonsaturating")

    def players(self) -> dict[str, Player]:
        generator = Player([self.mapping, self.blocks, self.constant], lr=self.lr, ema=0.99)
        return {"generator": generator, "discriminator": Player(self.discriminator, lr=self.lr)}

    def synthesize(self, style: Tensor, progress: float) -> Tensor:
        x, image = self.constant.expand(len(style), -1, -1, -1), style.new_zeros(len(style), 3, 4, 4)
        for number, block in enumerate(self.blocks):
            x = block(x, style)
            share = min(max(2 * progress * len(self.blocks) - number + 1, 0), 1)  # faded in by half of the training
            image = F.interpolate(image, scale_factor=2.0) + share * block.to_rgb(x)  # type: ignore[operator]
        return torch.sigmoid(image)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        real = F.interpolate(batch["content"], (self.side, self.side), mode="area")
        style = self.mapping(torch.randn(len(real), self.latent, device=real.device))
        self.average.lerp_(style.detach().mean(0), 0.01)
        return {"real": real, "fake": self.synthesize(style, self.progress)}

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return {"adversarial": self.adversarial.generator(self.discriminator(made["fake"]))}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        scores = self.discriminator(made["real"]), self.discriminator(made["fake"].detach())
        return {"adversarial": self.adversarial.discriminator(*scores)}

    @turn("discriminator", interval=16)
    def penalize(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        real = made["real"].detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.discriminator(real).sum(), real, create_graph=True)  # type: ignore[union-attr]
        return {"r1": self.r1 / 2 * gradient.square().sum((1, 2, 3)).mean()}

    def sample(self, count: int, *, truncation: float = 0.7) -> Tensor:
        """Draws images.

        Args:
            count: number of images
            truncation: 1 for the full variety; smaller values give more average images
        """
        style = self.mapping(torch.randn(count, self.latent, device=self.average.device))
        return self.synthesize(self.average.lerp(style, truncation), progress=1.0)


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"style-gan": StyleGAN}
