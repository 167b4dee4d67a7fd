"""CycleGAN: unpaired translation between two domains, in both directions (Zhu et al. 2017).

``a`` is the content's domain and ``b`` the style's. Images are in [0, 1] here. The paper's code uses [-1, 1], where absolute
differences are twice as large, so these terms are doubled to match the paper's weights and loss values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import ImagePool, Method, Part, Player, hookimpl, make, turn
from stylekit.method import Batch, Terms, linear_decay
from stylekit.weights import read_generators


def l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, scaled as for images in [-1, 1]."""
    return 2 * F.l1_loss(image, target)


def together(network: nn.Module, *images: Tensor) -> list[Any]:
    """Runs a network on several images: as one batch, which is faster, if the outputs of a batch are independent."""
    if not getattr(network, "sample_independent", False) or len({image.shape[1:] for image in images}) > 1:
        return [network(image) for image in images]
    out, sizes = network(torch.cat(images)), [len(image) for image in images]
    if isinstance(out, Tensor):
        return list(out.split(sizes))
    return list(zip(*(scale.split(sizes) for scale in out), strict=True))


class CycleGAN(Method):
    """Two generators translate between the domains, with a discriminator for each domain and a cycle-consistency loss.

    Args:
        generator: network that translates images
        discriminator: network that scores images
        adversarial: adversarial loss
        cycle: weight of the cycle-consistency loss
        identity: weight of the identity loss, relative to ``cycle``; it preserves colours; 0 disables it
        pool: number of earlier generated images that are kept for each discriminator and mixed with new ones
        lr: learning rate of all four networks (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the generators' exponential moving average, used for samples and the finished model; not in the paper
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"generator": {"name": "resnet", "blocks": 9, "width": 64, "upsample": "transpose"}},
        "tiny": {  # minutes on a CPU, for images of 64 x 64 pixels
            "generator": {"name": "unet", "downs": 5, "width": 16, "upsample": "resize"},
            "discriminator": {"name": "patch", "layers": 2, "width": 16},
            "lr": 1e-3,
            "ema": 0.995,
        },
    }
    inference_modules = ("generator_ab", "generator_ba")

    def __init__(
        self,
        generator: Part = "resnet",
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
        lr: float = 2e-4,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.generator_ab = make("generator", generator)
        self.generator_ba = make("generator", generator)
        self.discriminator_a = make("discriminator", discriminator)
        self.discriminator_b = make("discriminator", discriminator)
        self.adversarial = make("adversarial", adversarial)
        self.pool_a, self.pool_b = ImagePool(pool), ImagePool(pool)
        self.cycle, self.identity, self.lr, self.ema = cycle, identity, lr, ema

    def players(self) -> dict[str, Player]:
        generators = [self.generator_ab, self.generator_ba]
        discriminators = [self.discriminator_a, self.discriminator_b]
        return {
            "generator": Player(generators, lr=self.lr, schedule=linear_decay, ema=self.ema),
            "discriminator": Player(discriminators, lr=self.lr, schedule=linear_decay),
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        a, b = batch["content"], batch["style"]
        if self.identity:
            fake_b, same_b = together(self.generator_ab, a, b)
            fake_a, same_a = together(self.generator_ba, b, a)
        else:
            fake_b, fake_a, same_a, same_b = self.generator_ab(a), self.generator_ba(b), a, b
        back_a, back_b = self.generator_ba(fake_b), self.generator_ab(fake_a)
        return {
            "fake_a": fake_a,
            "fake_b": fake_b,
            "same_a": same_a,
            "same_b": same_b,
            "back_a": back_a,
            "back_b": back_b,
        }

    @turn("generator")
    def translate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        a, b = batch["content"], batch["style"]
        terms = {
            "adversarial_b": self._adversarial_term(self.discriminator_b, made["fake_b"], b),
            "adversarial_a": self._adversarial_term(self.discriminator_a, made["fake_a"], a),
            "cycle_a": self.cycle * l1(made["back_a"], a),
            "cycle_b": self.cycle * l1(made["back_b"], b),
        }
        if self.identity:
            terms["identity_a"] = self.identity * self.cycle * l1(made["same_a"], a)
            terms["identity_b"] = self.identity * self.cycle * l1(made["same_b"], b)
        return terms

    def _adversarial_term(self, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
        real_scores = discriminator(real) if self.adversarial.relativistic else None
        return self.adversarial.generator(discriminator(fake), real_scores)

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        real_a, real_b = batch["content"], batch["style"]
        b = together(self.discriminator_b, real_b, self.pool_b(made["fake_b"]))
        a = together(self.discriminator_a, real_a, self.pool_a(made["fake_a"]))
        # Halved, to slow the discriminator down relative to the generator (appendix 7.1).
        return {"b": 0.5 * self.adversarial.discriminator(*b), "a": 0.5 * self.adversarial.discriminator(*a)}

    def stylize(
        self, content: Tensor, style: Tensor | None = None, *, direction: Literal["a-to-b", "b-to-a"] = "a-to-b"
    ) -> Tensor:
        """Translates images ``(N, 3, H, W)`` in [0, 1], of any size.

        Args:
            content: images of the source domain
            style: not used
            direction: direction of the translation
        """
        return (self.generator_ab if direction == "a-to-b" else self.generator_ba)(content)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        a, b = batch["content"], batch["style"]
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        back_a, back_b = self.generator_ba(fake_b), self.generator_ab(fake_a)
        return {"content": a, "a to b": fake_b, "back": back_a, "style": b, "b to a": fake_a, "back ": back_b}

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads ``*_net_G_A.pth`` (a to b), ``*_net_G_B.pth`` (b to a), or both, of the paper's PyTorch code."""
        generator, states = read_generators(files, {"G_A": "generator_ab", "G_B": "generator_ba"})
        return {"generator": generator}, states


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"cyclegan": CycleGAN}
