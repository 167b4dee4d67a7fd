"""CUT: one-sided translation by contrast of patches (Park et al. 2020). Shows lazy layers, and features of a generator."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.images import pad_to
from stylekit.layers import InstanceNorm, init_normal, resize_conv
from stylekit.method import Batch, Terms, linear_decay


def conv(before: int, after: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    padding = nn.ReflectionPad2d(side // 2)
    return nn.Sequential(padding, nn.Conv2d(before, after, side, stride, bias=False), InstanceNorm("relu"))


class CUT(Method):
    """A patch of the output shall be more like the same patch of the content than like any other patch of it.

    Args:
        width: channels of the generator's first layer
        discriminator: network that scores images
        adversarial: adversarial loss
        nce: weight of the contrastive loss
        patches: patches compared per layer
        temperature: of the contrast
        lr: learning rate
    """

    inference_modules = ("encoder", "decoder")
    presets: ClassVar = {"tiny": {"width": 8, "discriminator": {"name": "patch", "layers": 2, "width": 16}}}

    def __init__(
        self,
        width: int = 64,
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        nce: float = 1.0,
        patches: int = 64,
        temperature: float = 0.07,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        blocks = [conv(widths[2], widths[2]) for _ in range(3)]
        downs = [conv(3, width, 7), conv(width, widths[1], stride=2), conv(widths[1], widths[2], stride=2)]
        self.encoder = nn.ModuleList([*downs, *blocks])
        ups = [nn.Sequential(resize_conv(2 * after, after), InstanceNorm("relu")) for after in (widths[1], width)]
        self.decoder = nn.Sequential(*ups, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        init_normal(self)
        self.heads = nn.ModuleList(nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 64)) for _ in self.encoder)
        self.discriminator = make("discriminator", discriminator)
        self.adversarial = make("adversarial", adversarial)
        self.nce, self.patches, self.temperature, self.lr = nce, patches, temperature, lr

    def players(self) -> dict[str, Player]:
        generator = Player([self.encoder, self.decoder, self.heads], lr=self.lr, schedule=linear_decay)
        return {"discriminator": Player(self.discriminator, lr=self.lr, schedule=linear_decay), "generator": generator}

    def encode(self, image: Tensor) -> list[Tensor]:
        found = [pad_to(image, 4, 8) * 2 - 1]
        for layer in self.encoder:
            found.append(layer(found[-1]))
        return found[1:]

    def forward(self, batch: Batch) -> Tensor:
        return self.stylize(batch["content"])

    @turn("discriminator")
    def discriminate(self, batch: Batch, fake: Tensor) -> Terms:
        scores = self.discriminator(batch["style"]), self.discriminator(fake.detach())
        return {"adversarial": 0.5 * self.adversarial.discriminator(*scores)}

    @turn("generator")
    def translate(self, batch: Batch, fake: Tensor) -> Terms:
        scores = self.discriminator(fake), self.discriminator(batch["style"])
        layers = zip(self.heads, self.encode(fake), self.encode(batch["content"]), strict=True)
        contrast = torch.stack([self.contrast(*layer) for layer in layers]).mean()
        return {"adversarial": self.adversarial.generator(*scores), "nce": self.nce * contrast}

    def contrast(self, head: nn.Module, fake: Tensor, content: Tensor) -> Tensor:
        """Equation 3: each patch of the output has to find its own among the patches of the content."""
        where = torch.randperm(fake.shape[2] * fake.shape[3], device=fake.device)[: self.patches]
        query, key = (F.normalize(head(x.flatten(2)[..., where].mT), dim=2) for x in (fake, content))
        logits = (query @ key.detach().mT / self.temperature).flatten(0, 1)
        return F.cross_entropy(logits, torch.arange(len(where), device=fake.device).repeat(len(fake)))

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        out: Tensor = (self.decoder(self.encode(content)[-1]) + 1) / 2
        return out[..., : content.shape[2], : content.shape[3]]


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"cut": CUT}
