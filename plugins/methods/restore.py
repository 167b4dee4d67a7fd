"""Restoration: a network learns to undo a degradation, from clean pictures alone.

Every image-to-image network and every list of degradations will do: noise, blur, JPEG, holes, or a smaller picture, in which
case the network enlarges. ``restore-gan`` adds a discriminator, as in SRGAN (Ledig et al. 2017) and Real-ESRGAN (Wang et al.
2021): outputs are sharper, and part of what is sharp is invented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.images import Degradations
from stylekit.method import Batch, Capabilities, Terms, cosine

NAFNET = {"name": "nafnet", "width": 16, "blocks": (1, 1, 2)}
SRVGG = {"name": "srvgg", "width": 32, "convs": 8}
TASKS: dict[str, dict[str, Any]] = {
    "denoise": {"degradation": {"name": "gaussian-noise", "sigma": (0.0, 50.0)}, "generator": NAFNET},
    "x2": {"degradation": {"name": "downscale", "scale": 2}, "generator": SRVGG},
    "x4": {"degradation": {"name": "downscale", "scale": 4}, "generator": SRVGG},
    "jpeg": {"degradation": {"name": "jpeg", "quality": (10, 60)}, "generator": NAFNET},
    "deblur": {"degradation": "blur", "generator": NAFNET},
    "inpaint": {"degradation": "mask", "generator": {"name": "nafnet", "width": 8, "blocks": (1, 1, 1, 1, 2)}},
}
"""The presets by task, for a CPU."""
ERASED = 1.0
"""What the degradation ``mask`` leaves of a hole."""
SMALL = {
    "nafnet": {"name": "nafnet", "width": 4, "blocks": (1, 1)},
    "srvgg": {"name": "srvgg", "width": 8, "convs": 2},
}
TINY = {f"{task}-tiny": {**given, "generator": SMALL[given["generator"]["name"]]} for task, given in TASKS.items()}
TINY["tiny"] = TINY["denoise-tiny"]
"""The same for a first try."""


class Restore(Method):
    """A network is trained on pictures that a degradation damaged, to return the clean ones.

    Args:
        degradation: what damages the pictures, or several degradations that are applied one after another. If it makes them
            smaller, the network enlarges: its option ``scale`` is set
        generator: network that restores
        loss: image loss that compares the restored picture with the clean one. Further ones: ``--set extra=[perceptual]``
        lr: learning rate (Adam), which falls to zero along half a cosine
        ema: decay of the exponential moving average of the network, used for samples and the finished model

    Raises:
        StylekitError: the network's scale is another than that of the degradation. When training: the side of the images is
            not a multiple of it.
    """

    reads = "patches"
    batch_keys = ("content",)
    inference_modules = ("generator",)
    capabilities = Capabilities(thread_safe=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {**TASKS, **TINY}

    def __init__(
        self,
        degradation: Part | tuple[Part, ...] = "gaussian-noise",
        generator: Part = "nafnet",
        loss: Part = "charbonnier",
        lr: float = 1e-3,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        self.degrade = Degradations(degradation)
        self.scale = self.degrade.scale
        self.generator = make("generator", generator, **({"scale": self.scale} if self.scale > 1 else {}))
        if (found := getattr(self.generator, "scale", 1)) != self.scale:
            raise StylekitError(
                f"The degradation divides the sides by {self.scale}, but the generator multiplies them by {found}. Leave its "
                "option 'scale' out."
            )
        self.loss = make("loss", loss)
        self.lr, self.ema = lr, ema

    def players(self) -> dict[str, Player]:
        return {
            "generator": Player(
                self.generator, self.lr, optimizer=torch.optim.Adam, schedule=cosine, clip=1.0, ema=self.ema
            )
        }

    def forward(self, batch: Batch) -> Tensor:
        """Degrades the clean pictures of a batch, and restores them.

        Raises:
            StylekitError: their sides are not multiples of ``scale``.
        """
        height, width = batch["content"].shape[2:]
        if height % self.scale or width % self.scale:
            raise StylekitError(
                f"The training images have {width}x{height} pixels, which is not a multiple of the scale {self.scale}: choose "
                f"--size {max(1, width // self.scale) * self.scale}."
            )
        with torch.no_grad():
            degraded = self.degrade(batch["content"])
        restored: Tensor = self.generator(degraded)
        return restored

    @turn("generator")
    def restore(self, batch: Batch, restored: Tensor) -> Terms:
        return {"pixels": self.loss(restored, batch["content"])}

    def stylize(self, content: Tensor, style: Tensor | None = None, *, hole: Tensor | None = None) -> Tensor:
        """Restores images ``(N, 3, H, W)`` in [0, 1], of any size.

        Args:
            content: the images
            style: not used
            hole: image ``(1, 3, H, W)``, white where a model that was trained with the degradation ``mask`` fills the
                content, which is erased there first; everything else stays as it is

        Raises:
            StylekitError: the hole has another size than the content, or the model enlarges.
        """
        if hole is None:
            image: Tensor = self.generator(content)
            return image
        if self.scale != 1:
            raise StylekitError(
                f"The option 'hole' needs a model that keeps the size, but this one multiplies the sides by {self.scale}."
            )
        if hole.shape[2:] != content.shape[2:]:
            ours, theirs = ("x".join(map(str, reversed(each.shape[2:]))) for each in (hole, content))
            raise StylekitError(f"The image of the option 'hole' has {ours} pixels, but the content has {theirs}.")
        inside = hole.mean(1, keepdim=True) > 0.5
        return torch.where(inside, self.generator(content.masked_fill(inside, ERASED)), content)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        degraded = self.degrade(batch["content"])
        enlarged = degraded.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return {"degraded": enlarged, "restored": self.stylize(degraded), "clean": batch["content"]}


class RestoreGAN(Restore):
    """A restorer whose output must also look real to a discriminator; start it with a trained one, by ``--init``.

    Args:
        degradation: what damages the pictures, or several degradations that are applied one after another
        generator: network that restores
        loss: image loss that compares the restored picture with the clean one
        discriminator: network that scores pictures
        adversarial: adversarial loss
        weight: weight of the adversarial loss
        lr: learning rate of both players (Adam), which falls to zero along half a cosine
        ema: decay of the exponential moving average of the network, used for samples and the finished model
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **TASKS,
        **{
            name: {**given, "discriminator": {"name": "patch", "layers": 2, "width": 16}}
            for name, given in TINY.items()
        },
    }

    def __init__(
        self,
        degradation: Part | tuple[Part, ...] = "gaussian-noise",
        generator: Part = "nafnet",
        loss: Part = "charbonnier",
        discriminator: Part = "patch-sn",
        adversarial: Part = "nonsaturating",
        weight: float = 0.01,
        lr: float = 1e-4,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__(degradation, generator, loss, lr, ema)
        self.adversary = Adversary(discriminator, adversarial)
        self.weight = weight

    def players(self) -> dict[str, Player]:
        adversary = Player(self.adversary, self.lr, optimizer=torch.optim.Adam, schedule=cosine)
        return {"discriminator": adversary, **super().players()}

    @turn("discriminator")
    def discriminate(self, batch: Batch, restored: Tensor) -> Terms:
        return self.adversary.discriminate(batch["content"], restored.detach())

    @turn("generator")
    def convince(self, batch: Batch, restored: Tensor) -> Terms:
        return {"adversarial": self.weight * self.adversary.generate(restored, batch["content"])}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"restore": Restore, "restore-gan": RestoreGAN}
