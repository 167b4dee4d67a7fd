"""Restoration: a network learns to undo a degradation, from clean pictures alone.

Every image-to-image network and every list of degradations will do: noise, blur, JPEG, holes, or a smaller picture, in which
case the network enlarges. ``restore-gan`` adds a discriminator, as in SRGAN (Ledig et al. 2017) and Real-ESRGAN (Wang et al.
2021): outputs are sharper, and part of what is sharp is invented.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.images import Degradations, extend, resize, same_proportions
from stylekit.layers import Margin, Width
from stylekit.method import Batch, Capabilities, Terms, cosine
from stylekit.weights import channels_of, read_generators

NAFNET = {"name": "nafnet", "width": 16, "blocks": (1, 1, 2)}
SRVGG = {"name": "srvgg", "width": 32, "convs": 8}
TASKS: dict[str, dict[str, Any]] = {
    "denoise": {"degradation": {"name": "gaussian-noise", "sigma": (0.0, 50.0)}, "generator": NAFNET, "margin": 8},
    "x2": {"degradation": {"name": "downscale", "scale": 2}, "generator": SRVGG},
    "x4": {"degradation": {"name": "downscale", "scale": 4}, "generator": SRVGG},
    "jpeg": {"degradation": {"name": "jpeg", "quality": (10, 60)}, "generator": NAFNET, "margin": 8},
    "deblur": {"degradation": "blur", "generator": NAFNET, "margin": 8},
    "inpaint": {
        "degradation": "mask",
        "generator": {"name": "nafnet", "width": 8, "blocks": (1, 1, 1, 1, 2)},
        "margin": 8,
    },
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
        channels: channels of the images: 3 for RGB, others for the data set ``rasters``
        margin: pixels by which the trained network sees pictures continued beyond their borders, mirrored. Without it, a
            network that pads with zeros leaves more noise at the border

    Raises:
        StylekitError: the network's scale is another than that of the degradation. When training: the side of the images is
            not a multiple of it.
    """

    reads = "patches"
    batch_keys = ("content",)
    inference_modules: tuple[str, ...] = ("generator",)
    capabilities = Capabilities(thread_safe=True)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {**TASKS, **TINY}

    def __init__(
        self,
        degradation: Part | tuple[Part, ...] = "gaussian-noise",
        generator: Part = "nafnet",
        loss: Part = "charbonnier",
        lr: float = 1e-3,
        ema: float | None = 0.999,
        channels: Width = 3,
        margin: Margin = 0,
    ) -> None:
        super().__init__()
        self.image_channels, self.margin = channels, margin
        self.degrade = Degradations(degradation, rounded=channels == 3)
        self.scale = self.degrade.scale
        given = {"scale": self.scale} if self.scale > 1 else {}
        self.generator = make("generator", generator, **given, **({"channels": channels} if channels != 3 else {}))
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
        restored: Tensor = self.generator(self.degrade.damage(batch["content"]))
        return restored

    @turn("generator")
    def restore(self, batch: Batch, restored: Tensor) -> Terms:
        return {"pixels": self.loss(restored, batch["content"])}

    def stylize(self, content: Tensor, style: Tensor | None = None, *, hole: Tensor | None = None) -> Tensor:
        """Restores images ``(N, C, H, W)`` in [0, 1], of any size.

        Args:
            content: the images
            style: not used
            hole: image ``(1, 3, H, W)`` of the content's proportions, white where a model that was trained with the
                degradation ``mask`` fills the content, which is erased there first; everything else stays as it is

        Raises:
            StylekitError: the hole has other proportions than the content, or the model enlarges, or has not learned to fill
                holes.
        """
        return self._filled(content, hole, self.generator)

    def _filled(self, content: Tensor, hole: Tensor | None, generator: Callable[[Tensor], Tensor]) -> Tensor:
        def restore(image: Tensor) -> Tensor:
            if not self.margin:
                return generator(image)
            wider, cut = generator(extend(image, self.margin)), self.margin * self.scale
            return wider[..., cut:-cut, cut:-cut]

        if hole is None:
            return restore(content)
        if self.scale != 1:
            raise StylekitError(
                f"The option 'hole' needs a model that keeps the size, but this one multiplies the sides by {self.scale}."
            )
        if not any(getattr(part, "erases", False) for part in self.degrade.parts):
            raise StylekitError(
                "The option 'hole' needs a model that has learned to fill holes, but this one was trained without the "
                "degradation 'mask'. Train one: stylekit train --plugin restore --preset inpaint."
            )
        size = (content.shape[2], content.shape[3])
        if not same_proportions((hole.shape[2], hole.shape[3]), size):
            ours, theirs = (f"{each.shape[3]}x{each.shape[2]}" for each in (hole, content))
            raise StylekitError(f"The image of the option 'hole' has {ours} pixels, but the content has {theirs}.")
        if hole.shape[2:] != size:  # such as that of a picture before it was reduced
            hole = resize(hole, size)
        inside = hole.mean(1, keepdim=True) > 0.5
        return torch.where(inside, restore(content.masked_fill(inside, ERASED)), content)

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads a file of ESRGAN, Real-ESRGAN (both its networks) or NAFNet."""
        if len(files) > 1:
            raise StylekitError("The method 'restore' has one network. Import each file by itself.")
        generator, states = read_generators(files, {"": "generator"})
        return {"generator": generator, "degradation": undone(generator), **channels_of(generator)}, states

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        degraded = self.degrade(batch["content"])
        enlarged = degraded.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return {"degraded": enlarged, "restored": self.stylize(degraded), "clean": batch["content"]}


def undone(generator: Mapping[str, Any]) -> dict[str, Any]:
    """A degradation that an imported network undoes: only its scale is known."""
    scale = generator.get("scale", 1)
    return {"name": "downscale", "scale": scale} if scale > 1 else {"name": "gaussian-noise"}


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
        blend: keep the network that training starts with (``--init``), for the option ``fidelity``
        channels: channels of the images: 3 for RGB, others for the data set ``rasters``
        margin: pixels by which the trained network sees pictures continued beyond their borders, as for ``restore``
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **TASKS,
        "real-esrgan": {  # Wang et al. 2021, section 4.1, with features after an instance norm; a GPU
            "degradation": {"name": "mixed", "scale": 4},
            "generator": "rrdb",
            "loss": "l1",
            "extra": ({"name": "perceptual", "weight": 1.0},),
            "discriminator": "unet",
            "adversarial": "nonsaturating",
            "weight": 0.1,
        },
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
        blend: bool = False,
        channels: Width = 3,
        margin: Margin = 0,
    ) -> None:
        super().__init__(degradation, generator, loss, lr, ema, channels, margin)
        self.blend = blend
        if blend:
            self.faithful = copy.deepcopy(self.generator).requires_grad_(False)
            self.inference_modules = (*self.inference_modules, "faithful")
        given: dict[str, Any] = {"channels": channels} if channels != 3 else {}
        self.adversary = Adversary(discriminator, adversarial, **given)
        self.weight = weight

    def players(self) -> dict[str, Player]:
        adversary = Player(self.adversary, self.lr, optimizer=torch.optim.Adam, schedule=cosine)
        return {"discriminator": adversary, **super().players()}

    def prepare(self) -> None:
        """Keeps the network that training starts with."""
        if self.blend:
            self.faithful.load_state_dict(self.generator.state_dict())

    def stylize(
        self, content: Tensor, style: Tensor | None = None, *, hole: Tensor | None = None, fidelity: float = 0.0
    ) -> Tensor:
        """Restores images ``(N, C, H, W)`` in [0, 1], of any size.

        Args:
            content: the images
            style: not used
            hole: as for the method ``restore``
            fidelity: from 0, sharp, to 1, where nothing is invented: the weights of both networks are interpolated (Wang et
                al. 2018, "ESRGAN", section 3.4)

        Raises:
            StylekitError: ``fidelity`` is not from 0 to 1, or the model has only one network.
        """
        if not 0 <= fidelity <= 1:
            raise StylekitError(f"The option 'fidelity' is {fidelity}, but must be from 0 to 1.")
        if not fidelity:
            return super().stylize(content, style, hole=hole)
        if not self.blend:
            raise StylekitError(
                "The option 'fidelity' needs a model that was trained with --init and --set blend=true, or imported from two "
                "files."
            )
        faithful = dict(self.faithful.named_parameters())
        mixed = {name: each.lerp(faithful[name], fidelity) for name, each in self.generator.named_parameters()}
        return self._filled(content, hole, lambda image: torch.func.functional_call(self.generator, mixed, (image,)))

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads one file as ``restore`` does, or two of the same network: first the faithful one, then the sharp one."""
        if len(files) == 1:
            return super().import_weights(files)
        if len(files) != 2:
            raise StylekitError("Pass the file of one network, or of two: first the faithful one, then the sharp one.")
        specs: list[dict[str, Any]] = []
        states: dict[str, Tensor] = {}
        for role, (file, state) in zip(("faithful", "generator"), files.items(), strict=True):
            spec, found = read_generators({file: state}, {"": role})
            specs.append(spec)
            states |= found
        if specs[0] != specs[1]:
            raise StylekitError(f"{' and '.join(files)} have different architectures: {specs[0]} and {specs[1]}.")
        given = {"generator": specs[0], "degradation": undone(specs[0]), "blend": True}
        return {**given, **channels_of(specs[0])}, states

    @turn("discriminator")
    def discriminate(self, batch: Batch, restored: Tensor) -> Terms:
        return self.adversary.discriminate(batch["content"], restored.detach())

    @turn("generator")
    def convince(self, batch: Batch, restored: Tensor) -> Terms:
        return {"adversarial": self.weight * self.adversary.generate(restored, batch["content"])}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"restore": Restore, "restore-gan": RestoreGAN}
