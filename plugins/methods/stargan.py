"""stargan: one generator translates between any number of domains (Choi et al. 2018, "StarGAN").

The domains are folders of images. The generator gets, as further channels, the image times the share of each wanted domain:
planes of the shares, as in the paper, do nothing before an instance norm. A discriminator tells real from generated images, and
a classifier tells the domains apart. Between two domains lie their blends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.layers import Width, modulated, require_options
from stylekit.method import Batch, Capabilities, Statistics, Terms, linear_decay

__all__ = ["StarGAN"]


class StarGAN(Method):
    """A generator with the domain as an input, a discriminator, and a classifier of domains.

    Args:
        classes: names of the domains, in the order of the data's classes; each is a style of the model
        generator: network that translates images
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        width: channels of the classifier's first layer
        cycle: weight of the cycle-consistency loss
        classify: weight of the classifier's loss for generated images
        lr: learning rate of both players (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the generator, used for samples and the finished model

    Raises:
        StylekitError: there are fewer than two domains, or two of one name.
    """

    batch_keys = ("image", "label")
    reads = "labelled"
    inference_modules = ("generator",)
    style_modules = ("generator",)  # a domain means nothing to another network
    capabilities = Capabilities(thread_safe=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {  # minutes on a CPU, for images of 64 x 64 pixels
            "generator": {"name": "unet", "downs": 5, "width": 16, "upsample": "resize"},
            "discriminator": {"name": "patch-sn", "layers": 2, "width": 16},
            "width": 16,
            "lr": 1e-3,
        }
    }

    def __init__(
        self,
        classes: tuple[str, ...] = ("first", "second"),
        generator: Part = {"name": "resnet", "blocks": 6, "width": 32, "upsample": "resize"},  # noqa: B006
        discriminator: Part = "patch-sn",
        adversarial: Part = "hinge",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        width: Width = 32,
        cycle: float = 10.0,
        classify: float = 1.0,
        lr: float = 2e-4,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        require_options(width=width)
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise StylekitError(
                f"The option 'classes' is {list(classes)}, but must be the different names of two or more domains."
            )
        self.classes = tuple(classes)
        self.generator = make("generator", generator, channels=3 * (1 + len(classes)))
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment)
        steps = [
            layer for before in (3, width, width) for layer in (nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(0.2))
        ]
        self.classifier = nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len(classes)))
        self.cycle, self.classify, self.lr, self.ema = cycle, classify, lr, ema

    def players(self) -> dict[str, Player]:
        judges = [self.adversary, self.classifier]
        return {
            "discriminator": Player(judges, self.lr, schedule=linear_decay),
            "generator": Player(self.generator, self.lr, schedule=linear_decay, ema=self.ema),
        }

    def translate(self, image: Tensor, domain: Tensor) -> Tensor:
        """Translates images ``(N, 3, H, W)`` to domains, given by their shares ``(N, domains)``."""
        translated: Tensor = self.generator(modulated(image, domain))[:, :3]
        return translated

    def one_hot(self, label: Tensor) -> Tensor:
        return F.one_hot(label, len(self.classes)).float()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        target = torch.randint(len(self.classes), batch["label"].shape, device=batch["label"].device)
        return {"target": target, "fake": self.translate(batch["image"], self.one_hot(target))}

    def outputs(self, batch: Batch, made: dict[str, Tensor]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"generator": [(made["fake"], batch["image"])]}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        classified = F.cross_entropy(self.classifier(batch["image"] * 2 - 1), batch["label"])
        return {**self.adversary.discriminate(batch["image"], made["fake"].detach()), "classify": classified}

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        """Equation 6 of the paper."""
        image, fake = batch["image"], made["fake"]
        back = self.translate(fake, self.one_hot(batch["label"]))
        return {
            "adversarial": self.adversary.generate(fake, image),
            "classify": self.classify * F.cross_entropy(self.classifier(fake * 2 - 1), made["target"]),
            "cycle": self.cycle * F.l1_loss(back, image),
        }

    def styles(self) -> dict[str, Statistics]:
        shares = torch.eye(len(self.classes), device=next(self.generator.parameters()).device)
        return {name: {"domain": row[None]} for name, row in zip(self.classes, shares, strict=True)}

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0) -> Tensor:
        return content.lerp(self.translate(content, style["domain"].expand(content.shape[0], -1)), strength)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Translates to the first domain; ``transfer`` accepts any of ``styles``, and blends of them."""
        return self.transfer(content, next(iter(self.styles().values())))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"]
        return {"image": image, **{name: self.transfer(image, style) for name, style in self.styles().items()}}

    def example(self, count: int, size: int) -> Batch:
        return {"image": torch.rand(count, 3, size, size), "label": torch.arange(count) % len(self.classes)}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"stargan": StarGAN}
