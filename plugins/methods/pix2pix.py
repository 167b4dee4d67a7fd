"""pix2pix: translation learned from pairs (Isola et al. 2017).

Images are in [0, 1] here. The paper's code uses [-1, 1], where absolute differences are twice as large, so this term is
doubled to match the paper's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from stylekit import Adversary, Method, Part, Player, hookimpl, make, turn
from stylekit.layers import Width
from stylekit.method import Batch, Capabilities, Terms, linear_decay
from stylekit.weights import channels_of, read_generators


class Pix2Pix(Method):
    """A generator translates the content; a discriminator scores pairs of the content and a real or generated image.

    Args:
        generator: network that translates images
        discriminator: network that scores pairs, given as an image and its condition
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees, which must not move images, because conditions are not moved
        l1: weight of the mean absolute difference from the target, for images in [-1, 1]
        lr: learning rate of both players (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the generator, used for samples and the finished model; not in the paper
        channels: channels of the images: 3 for RGB, others for the data set ``raster-pairs``
        outputs: channels of the results, such as the number of classes of label maps; by default, those of the images
    """

    reads = "pairs"
    inference_modules = ("generator",)
    capabilities = Capabilities(thread_safe=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "generator": {"name": "unet", "norm": "batch", "dropout": 0.5},
            "discriminator": {"name": "patch", "norm": "batch"},
        },
        "tiny": {  # minutes on a CPU, for images of 64 x 64 pixels
            "generator": {"name": "unet", "downs": 5, "width": 16, "upsample": "resize"},
            "discriminator": {"name": "patch", "layers": 2, "width": 16},
            "lr": 1e-3,
            "ema": 0.995,
        },
    }

    def __init__(
        self,
        generator: Part = "unet",
        discriminator: Part = "patch",
        adversarial: Part = "nonsaturating",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        l1: float = 100.0,
        lr: float = 2e-4,
        ema: float | None = None,
        channels: Width = 3,
        outputs: Width | None = None,
    ) -> None:
        super().__init__()
        self.image_channels, self.result_channels = channels, None if outputs == channels else outputs
        given = {**({"channels": channels} if channels != 3 else {}), **({"outputs": outputs} if outputs else {})}
        self.generator = make("generator", generator, **given)
        judged = channels + (outputs or channels)
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment, channels=judged)
        self.l1, self.lr, self.ema = l1, lr, ema

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.adversary, self.lr, schedule=linear_decay),
            "generator": Player(self.generator, self.lr, schedule=linear_decay, ema=self.ema),
        }

    def forward(self, batch: Batch) -> Tensor:
        image: Tensor = self.generator(batch["content"])
        return image

    @turn("discriminator")
    def discriminate(self, batch: Batch, fake: Tensor) -> Terms:
        terms = self.adversary.discriminate(batch["style"], fake.detach(), batch["content"])
        return {**terms, "adversarial": 0.5 * terms["adversarial"]}  # slower than the generator, as in the paper's code

    @turn("generator")
    def translate(self, batch: Batch, fake: Tensor) -> Terms:
        return {
            "adversarial": self.adversary.generate(fake, batch["style"], batch["content"]),
            "l1": self.l1 * 2 * F.l1_loss(fake, batch["style"]),
        }

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Translates images ``(N, C, H, W)`` in [0, 1], of any size."""
        image: Tensor = self.generator(content)
        return image

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        return {"content": batch["content"], "output": self.stylize(batch["content"]), "target": batch["style"]}

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads ``*_net_G.pth`` of the paper's PyTorch code."""
        generator, states = read_generators(files, {"G": "generator"})
        return {"generator": generator, **channels_of(generator)}, states


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"pix2pix": Pix2Pix}
