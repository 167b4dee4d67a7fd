"""gan: draws images from noise, of a class if there are labels. Its presets are DCGAN, WGAN-GP, SNGAN and R3GAN.

The presets name the networks, losses and penalties of the papers, in sizes for images of 32 to 64 pixels on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, turn
from stylekit.images import resize
from stylekit.layers import Count, Width, require_options
from stylekit.method import Batch, Terms, constant
from stylekit_plugins.methods.gan.networks import GENERATORS, Network

__all__ = ["GAN"]

R3 = ({"name": "r1", "gamma": 1.0, "final": 0.1}, {"name": "r2", "gamma": 1.0, "final": 0.1})


class GAN(Method):
    """A generator draws images from random codes; a discriminator tells them from real ones.

    Args:
        network: network of the generator
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        classes: number of classes; then the data set must have labels, and the discriminator needs as many classes
        side: side of the drawn images, a power of two from 8 on
        width: channels of the generator's last features
        attention: let all positions of the generator's features of side 16 attend to each other (Zhang et al. 2019)
        latent: size of the codes
        critics: updates of the discriminator per update of the generator
        lr: learning rate of both players (Adam)
        betas: Adam's decay rates
        ema: decay of the exponential moving average of the generator, used for samples and the finished model

    Raises:
        StylekitError: an option is out of range.
    """

    batch_keys = ("content",)
    inference_modules = ("generator", "table")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dcgan": {
            "network": "dc",
            "discriminator": {"name": "dc", "layers": 3, "width": 32},
            "adversarial": "nonsaturating",
            "regularizers": (),
            "lr": 2e-4,
            "betas": (0.5, 0.999),
        },
        "wgan-gp": {
            "network": "resnet",
            "discriminator": {"name": "dc", "layers": 3, "width": 32, "norm": "none"},
            "adversarial": "wasserstein",
            "regularizers": ("gradient-penalty",),
            "critics": 5,
            "lr": 2e-4,
            "betas": (0.0, 0.9),
        },
        "sngan": {
            "network": "resnet",
            "discriminator": {"name": "resnet-sn", "blocks": 3, "width": 32},
            "adversarial": "hinge",
            "regularizers": (),
            "lr": 2e-4,
            "betas": (0.0, 0.9),
        },
        "r3gan": {},
        "tiny": {"side": 32, "width": 8, "latent": 16, "discriminator": {"name": "r3", "layers": 3, "width": 8}},
    }

    def __init__(
        self,
        network: Network = "r3",
        discriminator: Part = {"name": "r3", "layers": 3, "width": 32},  # noqa: B006
        adversarial: Part = "relativistic",
        regularizers: tuple[Part, ...] = R3,
        augment: tuple[Part, ...] = (),
        classes: int = 0,
        side: int = 32,
        width: Width = 32,
        attention: bool = False,
        latent: Width = 64,
        critics: Count = 1,
        lr: float = 5e-4,
        betas: tuple[float, float] = (0.0, 0.99),
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        require_options(width=width, latent=latent, critics=critics)
        if classes < 0:
            raise StylekitError(f"The option 'classes' is {classes}, but must be at least 0.")
        if attention and side < 16:
            raise StylekitError(f"The option 'attention' needs features of side 16, but the images have side {side}.")
        self.side, self.latent, self.classes, self.critics = side, latent, classes, critics
        self.lr, self.betas, self.ema = lr, betas, ema
        if classes:
            self.batch_keys = ("image", "label")  # type: ignore[assignment,misc]
        self.table = nn.Embedding(classes, latent) if classes else nn.Identity()
        self.generator = GENERATORS[network](latent * (1 + bool(classes)), side, width, attention)
        options = {"classes": classes} if classes else {}
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment, **options)

    def players(self) -> dict[str, Player]:
        def adam(parameters: Any, lr: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, lr, self.betas)

        drawing = [self.generator, self.table]
        return {
            "discriminator": Player(self.adversary, self.lr, adam, constant),
            "generator": Player(drawing, self.lr, adam, constant, ema=self.ema, update_every=self.critics),
        }

    def draw(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Draws images ``(N, 3, side, side)`` from codes ``(N, latent)``, of classes ``(N,)`` if there are any."""
        given = codes if labels is None else torch.cat([codes, self.table(labels)], 1)
        image: Tensor = self.generator(given)
        return image

    def labels(self, batch: Batch) -> Tensor | None:
        """The labels of a batch; those of a data set that has some are not used by a model without classes."""
        return batch["label"] if self.classes else None

    def forward(self, batch: Batch) -> dict[str, Any]:
        real = batch[self.batch_keys[0]]
        real = real if real.shape[-1] == self.side else resize(real, (self.side, self.side))
        return {"real": real, "fake": self.draw(self.codes(len(real)), self.labels(batch))}

    def drawn(self, batch: Batch, made: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
        return [(made["fake"], made["real"])]

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        return self.adversary.discriminate(made["real"], made["fake"].detach(), self.labels(batch))

    @turn("generator")
    def generate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        return {"adversarial": self.adversary.generate(made["fake"], made["real"], self.labels(batch))}

    def codes(self, count: int) -> Tensor:
        return torch.randn(count, self.latent, device=next(self.generator.parameters()).device)

    def sample_from(self, codes: Tensor, *, label: int | None = None) -> Tensor:
        """Draws an image from each code ``(N, latent)``.

        Args:
            codes: from :meth:`codes`
            label: number of the class, counted from 0; by default, one at random for each image

        Raises:
            StylekitError: the model has no such class, or none at all.
        """
        if label is not None and not self.classes:
            raise StylekitError("This model has no classes, so it accepts no label.")
        if label is not None and not 0 <= label < self.classes:
            raise StylekitError(f"There is no label {label}. Use 0 to {self.classes - 1}.")
        if not self.classes:
            return self.draw(codes, None)
        labels = torch.randint(self.classes, codes.shape[:1], device=codes.device)
        return self.draw(codes, labels if label is None else torch.full_like(labels, label))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Real and drawn images, of the same classes."""
        real = batch[self.batch_keys[0]]
        return {"real": real, "drawn": self.draw(self.codes(len(real)), self.labels(batch))}

    def example(self, count: int, size: int) -> Batch | None:
        image = torch.rand(count, 3, size, size)
        return {"image": image, "label": torch.arange(count) % self.classes} if self.classes else {"content": image}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"gan": GAN}
