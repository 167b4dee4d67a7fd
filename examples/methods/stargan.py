"""StarGAN: one generator for many domains (Choi et al. 2018). Shows labelled folders, and a domain chosen for each image."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.method import Batch, Terms, linear_decay


class StarGAN(Method):
    """The generator receives the domain as further channels; a discriminator and a classifier of domains score its images.

    Args:
        classes: number of domains, which are the classes of the data
        generator: network that translates images
        discriminator: network that scores images
        cycle: weight of the cycle-consistency loss; that of the other terms is 1
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
        classes: int = 2,
        generator: Part = "resnet",
        discriminator: Part = "patch",
        cycle: float = 10.0,
        lr: float = 1e-4,
    ) -> None:
        super().__init__()
        self.classes, self.cycle, self.lr = classes, cycle, lr
        self.generator = make("generator", generator, channels=3 + classes)
        self.discriminator, self.adversarial = make("discriminator", discriminator), make("adversarial", "lsgan")
        layers = [layer for c in (3, 32, 32) for layer in (nn.Conv2d(c, 32, 4, 2, 1), nn.LeakyReLU(0.2))]
        self.classifier = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))

    def players(self) -> dict[str, Player]:
        discriminators = Player([self.discriminator, self.classifier], lr=self.lr, schedule=linear_decay)
        return {"discriminator": discriminators, "generator": Player(self.generator, self.lr, schedule=linear_decay)}

    def translate(self, image: Tensor, domain: Tensor) -> Tensor:
        planes = F.one_hot(domain, self.classes).to(image)[..., None, None].expand(-1, -1, *image.shape[2:])
        return self.generator(torch.cat([image, planes], 1))[:, :3]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        target = torch.randint(self.classes, batch["label"].shape, device=batch["label"].device)
        return {"target": target, "fake": self.translate(batch["image"], target)}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        scores = self.discriminator(batch["image"]), self.discriminator(made["fake"].detach())
        classified = F.cross_entropy(self.classifier(batch["image"]), batch["label"])
        return {"adversarial": self.adversarial.discriminator(*scores), "classify": classified}

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return {
            "adversarial": self.adversarial.generator(self.discriminator(made["fake"])),
            "classify": F.cross_entropy(self.classifier(made["fake"]), made["target"]),
            "cycle": self.cycle * F.l1_loss(self.translate(made["fake"], batch["label"]), batch["image"]),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None, *, domain: int = 0) -> Tensor:
        """Translates images to a domain.

        Args:
            content: images of any domain
            style: not used
            domain: number of the domain, counted from 0
        """
        if not 0 <= domain < self.classes:
            raise StylekitError(f"There is no domain {domain}. Use 0 to {self.classes - 1}.")
        return self.translate(content, torch.full((len(content),), domain, device=content.device))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"]
        return {"image": image, **{f"domain {n}": self.stylize(image, domain=n) for n in range(self.classes)}}

    def example(self, count: int, size: int) -> Batch:
        return {"image": torch.rand(count, 3, size, size), "label": torch.arange(count) % self.classes}


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"stargan": StarGAN}
