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

from stylekit import Adversary, Method, Part, Player, hookimpl, make, turn
from stylekit.images import Intensities
from stylekit.layers import Width
from stylekit.method import Batch, Terms, linear_decay
from stylekit.weights import channels_of, read_generators


def l1(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference, scaled as for images in [-1, 1]."""
    return 2 * F.l1_loss(image, target)


def together(network: nn.Module, *images: Tensor) -> list[Tensor]:
    """Runs a network on several images: as one batch, which is faster, if the outputs of a batch are independent."""
    if not getattr(network, "sample_independent", False) or len({image.shape[1:] for image in images}) > 1:
        return [network(image) for image in images]
    return list(network(torch.cat(images)).split([len(image) for image in images]))


class CycleGAN(Method):
    """Two generators translate between the domains, with a discriminator for each domain and a cycle-consistency loss.

    Args:
        generator: network that translates images
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminators
        augment: augmentations of what the discriminators see
        cycle: weight of the cycle-consistency loss
        identity: weight of the identity loss, relative to ``cycle``; it preserves colours; 0 disables it
        pool: number of earlier generated images that are kept for each discriminator and mixed with new ones
        lr: learning rate of all four networks (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the generators' exponential moving average, used for samples and the finished model; not in the paper
        channels: channels of the images: 3 for RGB, others for the data set ``rasters``
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"generator": {"name": "resnet", "blocks": 9, "width": 64, "upsample": "transpose"}},
        # UVCGANv2 (Torbunov et al. 2023), without its transformer. Its head compares one image with features of the last
        # three, which are kept; here, the images of a batch of four. Its generators have first learned to fill holes: give
        # them by --init.
        "uvcgan2": {
            "discriminator": {"name": "patch-sn", "group": 4},
            "regularizers": ({"name": "gradient-penalty", "weight": 1.0, "center": 0.0},),
            "pool": 0,
            "cycle": 5.0,
            "lr": 1e-4,
            "ema": 0.9999,
            "schedule": "constant",
        },
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
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
        lr: float = 2e-4,
        ema: float | None = None,
        channels: Width = 3,
    ) -> None:
        super().__init__()
        self.image_channels = channels
        given = {"channels": channels} if channels != 3 else {}
        self.generator_ab = make("generator", generator, **given)
        self.generator_ba = make("generator", generator, **given)
        self.adversary_a = Adversary(discriminator, adversarial, regularizers, augment, pool, **given)
        self.adversary_b = Adversary(discriminator, adversarial, regularizers, augment, pool, **given)
        self.cycle, self.identity, self.lr, self.ema = cycle, identity, lr, ema

    def players(self) -> dict[str, Player]:
        generators = [self.generator_ab, self.generator_ba]
        return {
            "generator": Player(generators, lr=self.lr, schedule=linear_decay, ema=self.ema),
            "discriminator": Player([self.adversary_a, self.adversary_b], lr=self.lr, schedule=linear_decay),
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

    def outputs(self, batch: Batch, made: dict[str, Tensor]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"generator": [(made["fake_b"], batch["content"]), (made["fake_a"], batch["style"])]}

    @turn("generator")
    def translate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        a, b = batch["content"], batch["style"]
        terms = {
            "adversarial_b": self.adversary_b.generate(made["fake_b"], b),
            "adversarial_a": self.adversary_a.generate(made["fake_a"], a),
            "cycle_a": self.cycle * l1(made["back_a"], a),
            "cycle_b": self.cycle * l1(made["back_b"], b),
        }
        if self.identity:
            terms["identity_a"] = self.identity * self.cycle * l1(made["same_a"], a)
            terms["identity_b"] = self.identity * self.cycle * l1(made["same_b"], b)
        return terms

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Tensor]) -> Terms:
        b = self.adversary_b.discriminate(batch["style"], made["fake_b"])
        a = self.adversary_a.discriminate(batch["content"], made["fake_a"])
        # Halved, to slow the discriminator down relative to the generator (appendix 7.1).
        halved = {"b": 0.5 * b.pop("adversarial"), "a": 0.5 * a.pop("adversarial")}
        return {
            **halved,
            **{f"{name}_b": term for name, term in b.items()},
            **{f"{name}_a": term for name, term in a.items()},
        }

    def stylize(
        self, content: Tensor, style: Tensor | None = None, *, direction: Literal["a-to-b", "b-to-a"] = "a-to-b"
    ) -> Tensor:
        """Translates images ``(N, C, H, W)`` in [0, 1], of any size.

        Args:
            content: images of the source domain
            style: not used
            direction: direction of the translation
        """
        return (self.generator_ab if direction == "a-to-b" else self.generator_ba)(content)

    def mappings(self, options: Mapping[str, Any]) -> tuple[Intensities | None, Intensities | None]:
        """How values are mapped: those of domain b may have another window than those of a."""
        mapped = (self.intensities, self.results)
        backwards = self.results is not None and options.get("direction") == "b-to-a"
        return mapped[::-1] if backwards else mapped

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        a, b = batch["content"], batch["style"]
        fake_b, fake_a = self.generator_ab(a), self.generator_ba(b)
        back_a, back_b = self.generator_ba(fake_b), self.generator_ab(fake_a)
        return {"content": a, "a to b": fake_b, "back": back_a, "style": b, "b to a": fake_a, "back ": back_b}

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads ``*_net_G_A.pth`` (a to b), ``*_net_G_B.pth`` (b to a), or both, of the paper's PyTorch code."""
        generator, states = read_generators(files, {"G_A": "generator_ab", "G_B": "generator_ba"})
        return {"generator": generator, **channels_of(generator)}, states


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"cyclegan": CycleGAN}
