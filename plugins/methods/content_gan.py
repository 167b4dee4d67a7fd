"""content-gan: translates photographs into the domain of a style, and keeps as much of their content as the user wants.

A generator and a discriminator play as in CUT (Park et al. 2020), in one direction only. What CUT's contrastive loss does is
done by features of a fixed encoder: those of the photograph are kept, after an instance norm (Johnson et al. 2016; Huang and
Belongie 2017), and their Gram matrices become those of the style domain (Gatys et al. 2016). The weight of the content is
random at each step and shown to the generator, so that one network learns all of them, as in "You only train once" (Dosovitskiy
and Djolonga 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.encoders import encode, frozen_encoder, layer_shapes
from stylekit.layers import modulated
from stylekit.losses import ContentLoss, StyleLoss
from stylekit.method import Batch, Capabilities, Terms, linear_decay

DEFAULT = 0.5
"""The knob between content and style, unless the user chooses another."""


class Look(nn.Module):
    """The running average of the Gram matrices of a domain.

    Args:
        channels: channels of each layer
    """

    updates: Tensor

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        for layer, count in channels.items():
            self.register_buffer(layer, torch.zeros(1, count, count))
        self.register_buffer("updates", torch.zeros(()))
        self.layers = tuple(channels)

    @torch.no_grad()
    def forward(self, grams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adds Gram matrices ``(N, C, C)``, and returns the averages ``(1, C, C)``."""
        self.updates += 1
        share = torch.clamp(1 / self.updates, min=0.01)
        for layer in self.layers:
            getattr(self, layer).lerp_(grams[layer].mean(0, keepdim=True), share)
        return {layer: getattr(self, layer) for layer in self.layers}


class ContentGAN(Method):
    """A generator with a knob between content and style, a discriminator for the style, and the features of an encoder.

    Args:
        generator: network that translates images; gets the image and, as three more channels, the image times 2 knob - 1
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        encoder: network whose features are compared; by default VGG-19 if there are weights of it, otherwise random filters
        content_layers: layers of the encoder for the content loss; if empty, the last but one
        content: weight of the content's features where the knob is 0.5; it is a tenth where it is 0, and tenfold at 1
        style: weight of the error of the Gram matrices, relative to those of the style domain
        identity: weight of the mean absolute change of images that are in the style already
        lr: learning rate of both players (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the generator, used for samples and the finished model
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {  # minutes on a CPU, for images of 64 x 64 pixels
            "generator": {"name": "unet", "downs": 5, "width": 16, "upsample": "resize"},
            "discriminator": {"name": "patch", "layers": 2, "width": 16},
            "encoder": {"name": "random", "width": 32, "scales": 4},
            "lr": 1e-3,
        },
    }
    inference_modules = ("generator",)
    capabilities = Capabilities(thread_safe=True)

    def __init__(
        self,
        generator: Part = {"name": "resnet", "blocks": 6, "width": 32, "upsample": "resize"},  # noqa: B006
        discriminator: Part = "patch-sn",
        adversarial: Part = "hinge",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        encoder: Part | None = None,
        content_layers: tuple[str, ...] = (),
        content: float = 1.0,
        style: float = 3.0,
        identity: float = 1.0,
        lr: float = 2e-4,
        ema: float | None = 0.999,
    ) -> None:
        super().__init__()
        self.generator = make("generator", generator, channels=6)
        self.adversary = Adversary(discriminator, adversarial, regularizers, augment)
        self.encoder_part, self.content_layers = encoder, content_layers
        self.style_loss = StyleLoss()
        self.content, self.style, self.identity = content, style, identity
        self.lr, self.ema = lr, ema

    def prepare(self) -> None:
        self.encoder = frozen_encoder(self.encoder_part)
        shapes = layer_shapes(self.encoder)
        self.content_loss = ContentLoss(self.content_layers or tuple(shapes)[-2:-1], normalize=True)
        self.look = Look({layer: channels for layer, (channels, _) in shapes.items()})

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(self.adversary, self.lr, schedule=linear_decay),
            "generator": Player(self.generator, self.lr, schedule=linear_decay, ema=self.ema),
        }

    def forward(self, batch: Batch) -> dict[str, Any]:
        content, style = batch["content"], batch["style"]
        knob = float(torch.rand(()))
        made = {"knob": knob, "painted": self._painted(content, knob)}
        if self.identity:
            made["same"] = self._painted(style, knob)
        return made

    def outputs(self, batch: Batch, made: dict[str, Any]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"generator": [(made["painted"], batch["content"])]}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        return self.adversary.discriminate(batch["style"], made["painted"].detach())

    @turn("generator")
    def translate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        painted = made["painted"]
        with torch.no_grad():
            shown = self.content_loss.target(self._features(batch["content"]))
            look = self.look(self.style_loss.target(self._features(batch["style"])))
        features = self._features(painted)
        terms = {
            "adversarial": self.adversary.generate(painted, batch["style"]),
            "content": self.content * 10 ** (2 * made["knob"] - 1) * self.content_loss(features, shown).mean(),
            "style": self.style * self.style_loss(features, look).mean(),
        }
        if self.identity:
            terms["identity"] = self.identity * F.l1_loss(made["same"], batch["style"])
        return terms

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        return {layer: each.float() for layer, each in encode(self.encoder, image).items()}

    def _painted(self, image: Tensor, knob: float) -> Tensor:
        painted: Tensor = self.generator(modulated(image, torch.tensor([[2 * knob - 1]])))[:, :3]
        return painted

    def stylize(  # type: ignore[override]  # the option of that name is what users set; images are never passed by name
        self, image: Tensor, style: Tensor | None = None, *, content: float = DEFAULT
    ) -> Tensor:
        """Translates images ``(N, 3, H, W)`` in [0, 1], of any size.

        Args:
            image: the images
            style: not used
            content: how much of the content to keep, from 0 to 1

        Raises:
            StylekitError: ``content`` is not from 0 to 1.
        """
        if not 0 <= content <= 1:
            raise StylekitError(f"The option 'content' is {content}, but must be from 0 to 1.")
        return self._painted(image, content)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        columns = {f"content {knob:g}": self.stylize(batch["content"], content=knob) for knob in (1.0, 0.5, 0.0)}
        return {"content": batch["content"], **columns, "style": batch["style"]}


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"content-gan": ContentGAN}
