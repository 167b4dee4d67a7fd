"""VAE-GAN (Larsen et al. 2016) with feature matching. Shows players that share a graph, and a discriminator's features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from stylekit import Method, Part, Player, hookimpl, make, turn
from stylekit.images import pad_to
from stylekit.layers import resize_conv
from stylekit.losses import feature_matching
from stylekit.method import Batch, Terms


class VAEGAN(Method):
    """An encoder predicts a distribution of codes, a decoder turns codes into images, and a discriminator provides features.

    Args:
        discriminator: network that scores images and returns features
        adversarial: adversarial loss
        width: channels of the first layer
        latent: channels of a code, whose sides are an eighth of the image's
        side: side of the images that are drawn without a content
        kl: weight of the KL divergence of the codes from a standard normal distribution
        matching: weight of the feature matching loss
        lr: learning rate
    """

    batch_keys = ("content",)
    inference_modules = ("encoder", "decoder")
    simultaneous = True
    presets: ClassVar = {"tiny": {"width": 16, "discriminator": {"name": "patch", "layers": 2, "width": 16}}}

    def __init__(
        self,
        discriminator: Part = "multiscale-sn",
        adversarial: Part = "hinge",
        width: int = 32,
        latent: int = 16,
        side: int = 64,
        kl: float = 1e-3,
        matching: float = 10.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        steps = zip((3, *widths), widths, strict=False)
        downs = [layer for pair in steps for layer in (nn.Conv2d(*pair, 4, 2, 1), nn.LeakyReLU(0.2))]
        self.encoder = nn.Sequential(*downs, nn.Conv2d(widths[-1], 2 * latent, 1))
        ups = [layer for after in widths[::-1] for layer in (resize_conv(2 * after, after), nn.LeakyReLU(0.2))]
        self.decoder = nn.Sequential(nn.Conv2d(latent, 2 * widths[-1], 1), *ups, nn.Conv2d(width, 3, 1), nn.Sigmoid())
        self.discriminator, self.adversarial = make("discriminator", discriminator), make("adversarial", adversarial)
        self.latent, self.side, self.kl, self.matching, self.lr = latent, side, kl, matching, lr

    def players(self) -> dict[str, Player]:
        modules = {"encoder": self.encoder, "decoder": self.decoder, "discriminator": self.discriminator}
        return {name: Player(module, lr=self.lr) for name, module in modules.items()}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        mean, log_variance = self.encoder(batch["content"] * 2 - 1).chunk(2, 1)
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        return {"made": self.decoder(code), "drawn": self.decoder(torch.randn_like(code)), "divergence": divergence}

    @turn("encoder")
    def encode(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        return {"divergence": self.kl * made["divergence"], "matching": self.match(batch, made)}

    @turn("decoder")
    def decode(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        scores = self.discriminator(made["drawn"]), self.discriminator(batch["content"])
        return {"adversarial": self.adversarial.generator(*scores), "matching": self.match(batch, made)}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        scores = self.discriminator(batch["content"]), self.discriminator(made["drawn"].detach())
        return {"adversarial": self.adversarial.discriminator(*scores)}

    def match(self, batch: Batch, made: dict[str, Tensor]) -> Tensor:
        features: nn.Module = self.discriminator.features  # type: ignore[assignment]
        return self.matching * feature_matching(features(made["made"]), features(batch["content"])).mean()

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Reconstructs images from the means of their codes."""
        mean, _ = self.encoder(pad_to(content, 8) * 2 - 1).chunk(2, 1)
        image: Tensor = self.decoder(mean)
        return image[..., : content.shape[2], : content.shape[3]]

    def sample(self, count: int) -> Tensor:
        device = next(self.decoder.parameters()).device
        images: Tensor = self.decoder(torch.randn(count, self.latent, self.side // 8, self.side // 8, device=device))
        return images


@hookimpl
def stylekit_methods() -> dict[str, type[Method]]:
    return {"vae-gan": VAEGAN}
