"""CUT: one-sided translation with a contrastive loss (Park et al. 2020). Shows lazy layers, and a generator's features."""

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
    """Each patch of the output should be more similar to the same patch of the content than to any other.

    Args:
        width: channels of the generator's first layer
        discriminator: network that scores images
        adversarial: adversarial loss
        nce: weight of the contrastive loss
        patches: number of patches compared per layer
        temperature: temperature of the contrastive loss
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
        downs = [conv(3, width, 7), conv(width, widths[1], stride=2), conv(widths[1], widths[2], stride=2)]
        self.encoder = nn.ModuleList([*downs, *(conv(widths[2], widths[2]) for _ in range(3))])
        ups = [nn.Sequential(resize_conv(2 * after, after), InstanceNorm("relu")) for after in (widths[1], width)]
        self.decoder = nn.Sequential(*ups, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        init_normal(self)
        self.heads = nn.ModuleList(nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 64)) for _ in self.encoder)
        self.discriminator, self.adversarial = make("discriminator", discriminator), make("adversarial", adversarial)
        self.nce, self.patches, self.temperature, self.lr = nce, patches, temperature, lr

    def players(self) -> dict[str, Player]:
        generator = Player([self.encoder, self.decoder, self.heads], lr=self.lr, schedule=linear_decay)
        return {"discriminator": Player(self.discriminator, lr=self.lr, schedule=linear_decay), "generator": generator}

    def encode(self, image: Tensor) -> list[Tensor]:
        """The features of every layer; the decoder uses the last."""
        features = [pad_to(image, 4, 8) * 2 - 1]
        for layer in self.encoder:
            features.append(layer(features[-1]))
        return features[1:]

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
        """Equation 3: the cross-entropy of finding each output patch among the patches of the content."""
        chosen = torch.randperm(fake.shape[2] * fake.shape[3], device=fake.device)[: self.patches]
        query, key = (F.normalize(head(x.flatten(2)[..., chosen].mT), dim=2) for x in (fake, content))
        logits = (query @ key.detach().mT / self.temperature).flatten(0, 1)
        return F.cross_entropy(logits, torch.arange(len(chosen), device=fake.device).repeat(len(fake)))

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        out: Tensor = (self.decoder(self.encode(content)[-1]) + 1) / 2
        return out[..., : content.shape[2], : content.shape[3]]


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"cut": CUT}
