"""vae-gan: draws images from noise, and reconstructs images from codes (Larsen et al. 2016, "Autoencoding beyond pixels").

A variational autoencoder whose reconstructions are compared by the features of a discriminator instead of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, turn
from stylekit.images import pad_to
from stylekit.layers import Width, require_options, resize_conv
from stylekit.losses import feature_matching
from stylekit.method import Batch, Terms

__all__ = ["VAEGAN"]

STRIDE = 8
"""Side of an image relative to its code."""


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of normal distributions from the standard normal one, averaged over all elements."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


class VAEGAN(Method):
    """An encoder predicts a distribution of codes, a decoder turns codes into images, and a discriminator compares them.

    Args:
        discriminator: network that scores images and returns features
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        width: channels of the first layer
        latent: channels of a code, whose sides are an eighth of the image's
        side: side of the images that are drawn without a content, a multiple of 8
        kl: weight of the divergence of the codes from a standard normal distribution
        matching: weight of the feature matching loss
        lr: learning rate of all players (Adam, beta1 0.5)

    Raises:
        StylekitError: an option is out of range, or the discriminator returns no features.
    """

    batch_keys = ("content",)
    inference_modules = ("encoder", "decoder")
    simultaneous = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 16, "discriminator": {"name": "patch-sn", "layers": 2, "width": 16}}
    }

    def __init__(
        self,
        discriminator: Part = "multiscale-sn",
        adversarial: Part = "hinge",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        width: Width = 32,
        latent: Width = 16,
        side: int = 64,
        kl: float = 1e-3,
        matching: float = 10.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        require_options(width=width, latent=latent)
        if side < STRIDE or side % STRIDE:
            raise StylekitError(f"The option 'side' is {side}, but must be a multiple of {STRIDE}.")
        widths = [width, 2 * width, 4 * width]
        steps = zip((3, *widths), widths, strict=False)
        downs = [layer for pair in steps for layer in (nn.Conv2d(*pair, 4, 2, 1), nn.LeakyReLU(0.2))]
        self.encoder = nn.Sequential(*downs, nn.Conv2d(widths[-1], 2 * latent, 1))
        ups = [layer for after in widths[::-1] for layer in (resize_conv(2 * after, after), nn.LeakyReLU(0.2))]
        self.decoder = nn.Sequential(nn.Conv2d(latent, 2 * widths[-1], 1), *ups, nn.Conv2d(width, 3, 1), nn.Sigmoid())
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment)
        if not callable(getattr(self.adversary.discriminator, "features", None)):
            raise StylekitError(
                f"The discriminator {type(self.adversary.discriminator).__name__} returns no features, by which vae-gan "
                "compares images. Choose another, such as --set discriminator=patch-sn."
            )
        self.latent, self.side, self.kl, self.matching, self.lr = latent, side, kl, matching, lr

    def players(self) -> dict[str, Player]:
        modules = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.adversary}
        return {name: Player(module, lr=self.lr) for name, module in modules.items()}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(batch["content"] * 2 - 1).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return {
            "image": self.decoder(code),
            "drawn": self.decoder(torch.randn_like(code)),
            "divergence": divergence(mean, log_variance),
        }

    def outputs(self, batch: Batch, made: dict[str, Tensor]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"decoder": [(made["image"], batch["content"])]}

    def drawn(self, batch: Batch, made: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        return [(made["drawn"], batch["content"])]

    @turn("encoder")
    def encode(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return {"divergence": self.kl * made["divergence"], "matching": self._match(batch, made)}

    @turn("decoder")
    def decode(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        adversarial = self.adversary.generate(made["drawn"], batch["content"])
        return {"adversarial": adversarial, "matching": self._match(batch, made)}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return self.adversary.discriminate(batch["content"], made["drawn"].detach())

    def _match(self, batch: Batch, made: dict[str, Tensor]) -> Tensor:
        features: nn.Module = self.adversary.discriminator.features  # type: ignore[assignment]
        with torch.no_grad():
            wanted = features(batch["content"])
        return self.matching * feature_matching(features(made["image"]), wanted).mean()

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Reconstructs images ``(N, 3, H, W)`` from the means of their codes."""
        mean, _ = self.encoder(pad_to(content, STRIDE) * 2 - 1).chunk(2, 1)
        image: Tensor = self.decoder(mean)
        return image[..., : content.shape[2], : content.shape[3]]

    def codes(self, count: int) -> Tensor:
        rows = self.side // STRIDE
        return torch.randn(count, self.latent, rows, rows, device=next(self.decoder.parameters()).device)

    def sample_from(self, codes: Tensor) -> Tensor:
        """Draws an image from each code ``(N, latent, rows, columns)``, which is eight times as large."""
        image: Tensor = self.decoder(codes)
        return image


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"vae-gan": VAEGAN}
