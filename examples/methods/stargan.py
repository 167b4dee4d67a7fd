"""StarGAN: one generator for many domains (Choi et al. 2018). Shows labelled folders and a domain chosen for each image."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.method import Batch, Terms, linear_decay


class StarGAN(Method):
    """The generator is told a domain by further channels; the discriminator tells real from fake, and a classifier domains.

    Args:
        domains: how many domains there are
        generator: network that translates
        discriminator: network that scores images
        adversarial: adversarial loss
        classify: weight of the classification loss
        cycle: weight of the cycle-consistency loss
        width: channels of the classifier
        lr: learning rate
    """

    batch_keys = ("image", "label")
    reads = "labelled"
    inference_modules = ("generator",)
    presets: ClassVar = {
        "tiny": {
            "generator": {"name": "resnet", "blocks": 2, "width": 8, "upsample": "resize"},
            "discriminator": {"name": "patch", "layers": 2, "width": 16},
        }
    }

    def __init__(
        self,
        domains: int = 2,
        generator: Part = "resnet",
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        classify: float = 1.0,
        cycle: float = 10.0,
        width: int = 32,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        self.domains, self.classify, self.cycle, self.lr = domains, classify, cycle, lr
        self.generator = make("generator", generator, channels=3 + domains)
        self.discriminator = make("discriminator", discriminator)
        self.adversarial = make("adversarial", adversarial)
        steps = [nn.Conv2d(before, width, 4, 2, 1) for before in (3, width, width)]
        layers = [layer for step in steps for layer in (step, nn.LeakyReLU(0.2))]
        self.classifier = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, domains))

    def players(self) -> dict[str, Player]:
        judges = Player([self.discriminator, self.classifier], lr=self.lr, schedule=linear_decay)
        return {"discriminator": judges, "generator": Player(self.generator, lr=self.lr, schedule=linear_decay)}

    def translate(self, image: Tensor, domain: Tensor) -> Tensor:
        planes = F.one_hot(domain, self.domains).to(image)[..., None, None].expand(-1, -1, *image.shape[2:])
        return self.generator(torch.cat([image, planes], 1))[:, :3]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        target = torch.randint(self.domains, batch["label"].shape, device=batch["label"].device)
        return {"target": target, "fake": self.translate(batch["image"], target)}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        scores = self.discriminator(batch["image"]), self.discriminator(made["fake"].detach())
        right = F.cross_entropy(self.classifier(batch["image"]), batch["label"])
        return {"adversarial": self.adversarial.discriminator(*scores), "classify": self.classify * right}

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        image, fake = batch["image"], made["fake"]
        scores = self.discriminator(fake), self.discriminator(image)
        back = self.translate(fake, batch["label"])
        return {
            "adversarial": self.adversarial.generator(*scores),
            "classify": self.classify * F.cross_entropy(self.classifier(fake), made["target"]),
            "cycle": self.cycle * F.l1_loss(back, image),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None, *, domain: int = 0) -> Tensor:
        """Translates to a domain.

        Args:
            content: images of any domain
            style: not used
            domain: number of the domain, counted from 0
        """
        if not 0 <= domain < self.domains:
            raise StylekitError(f"There are the domains 0 to {self.domains - 1}, and no domain {domain}.")
        return self.translate(content, torch.full((len(content),), domain, device=content.device))

    def preview(self, batch: Batch) -> dict[str, Any]:
        image = batch["image"]
        return {"image": image, **{f"domain {n}": self.stylize(image, domain=n) for n in range(self.domains)}}

    def example(self, count: int, size: int) -> Batch:
        return {"image": torch.rand(count, 3, size, size), "label": torch.arange(count) % self.domains}


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"stargan": StarGAN}
