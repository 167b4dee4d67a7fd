"""CUT (Park et al. 2020) and EnCo (Cai et al. 2024): one-sided translation by features of the generator's own layers.

In CUT, each patch of the output should be more like the same patch of the content than like others. In EnCo, no other patches
are compared: the generator's encoder and decoder should agree on every patch, so the output is not encoded again. The
features of the content come from the pass that makes the output, in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylekit import Adversary, Method, Part, Player, StylekitError, hookimpl, make, turn
from stylekit.layers import Count, Width, require_options
from stylekit.losses import patch_nce
from stylekit.method import Batch, Capabilities, Terms, linear_decay
from stylekit.weights import read_generators

BLURRED: Mapping[str, Any] = {"name": "resnet", "antialias": True}
TINY: Mapping[str, Any] = {  # minutes on a CPU, for images of 64 x 64 pixels
    "generator": {"name": "resnet", "blocks": 3, "width": 16, "upsample": "resize"},
    "discriminator": {"name": "patch", "layers": 2, "width": 16},
    "patches": 64,
    "width": 64,
    "lr": 1e-3,
    "ema": 0.995,
}


def at(features: Tensor, positions: Tensor) -> Tensor:
    """The features ``(N, P, C)`` at some positions of feature maps ``(N, C, H, W)``."""
    return features.flatten(2)[..., positions].mT


def positions(features: Tensor, count: int) -> Tensor:
    """The numbers of ``count`` random positions of feature maps ``(N, C, H, W)``, the same for all images."""
    return torch.randperm(features.shape[2] * features.shape[3], device=features.device)[:count]


class OneSided(Method):
    """What both methods have in common: a generator with features, and a discriminator for the style."""

    inference_modules = ("generator",)
    capabilities = Capabilities(thread_safe=True)

    def __init__(self, generator: Part, adversary: Adversary, lr: float, ema: float | None) -> None:
        super().__init__()
        self.generator: Any = make("generator", generator)
        if not callable(getattr(self.generator, "features", None)):
            raise StylekitError(
                f"The generator {type(self.generator).__name__} has no features(image), which this method compares. Use "
                "generator=resnet."
            )
        self.adversary, self.lr, self.ema = adversary, lr, ema
        self.heads = nn.ModuleList()

    def probe(self) -> list[Tensor]:
        """Features of a small image, which tell the number of layers and of channels."""
        training = self.generator.training
        side = 8 * getattr(self.generator, "min_size", 8)
        with torch.no_grad():
            features = list(self.generator.eval().features(torch.zeros(1, 3, side, side)))
        self.generator.train(training)
        return features[:-1]

    def players(self) -> dict[str, Player]:
        learning = [self.generator, self.heads]
        return {
            "discriminator": Player(self.adversary, self.lr, schedule=linear_decay),
            "generator": Player(learning, self.lr, schedule=linear_decay, ema=self.ema),
        }

    def outputs(self, batch: Batch, made: dict[str, Any]) -> dict[str, list[tuple[Tensor, Tensor]]]:
        return {"generator": [(made["fake"], batch["content"])]}

    @turn("discriminator")
    def discriminate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        terms = self.adversary.discriminate(batch["style"], made["fake"].detach())
        return {**terms, "adversarial": 0.5 * terms["adversarial"]}

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Translates images ``(N, 3, H, W)`` in [0, 1], of any size."""
        image: Tensor = self.generator(content)
        return image

    @classmethod
    def import_weights(cls, files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads ``*_net_G.pth`` of CUT's PyTorch code, without the filters of its resampling, which are constants."""
        kept = {
            file: {key: tensor for key, tensor in state.items() if key[-5:] != ".filt"} for file, state in files.items()
        }
        generator, states = read_generators(kept, {"G": "generator"})
        return {"generator": generator}, states


class CUT(OneSided):
    """Each patch of the output should be found among the patches of the content, by features of the generator's first half.

    Args:
        generator: network that translates images, and has ``features``
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        nce: weight of the contrastive loss
        identity: share of the contrastive loss that is of images in the style already, which should not change; 0 in FastCUT
        patches: number of patches compared per layer
        temperature: temperature of the contrastive loss
        width: size of the vectors that are compared
        lr: learning rate of both players (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the generator, used for samples and the finished model; not in the paper

    Raises:
        StylekitError: an option is too small, or the generator has no features.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fast": {"nce": 10.0, "identity": 0.0}, "tiny": TINY}

    def __init__(
        self,
        generator: Part = BLURRED,
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        nce: float = 1.0,
        identity: float = 0.5,
        patches: Count = 256,
        temperature: float = 0.07,
        width: Width = 256,
        lr: float = 2e-4,
        ema: float | None = None,
    ) -> None:
        super().__init__(generator, Adversary(discriminator, adversarial, regularizers, augment), lr, ema)
        require_options(patches=patches, width=width)
        layers = self.probe()
        self.depth = (len(layers) + 1) // 2
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(layer.shape[1], width), nn.ReLU(), nn.Linear(width, width))
            for layer in layers[: self.depth]
        )
        self.nce, self.identity, self.patches, self.temperature = nce, identity, patches, temperature

    def forward(self, batch: Batch) -> dict[str, Any]:
        images = [batch["content"], batch["style"]] if self.identity else [batch["content"]]
        *features, out = self.generator.features(torch.cat(images))
        shown = [each.detach() for each in features[: self.depth]]
        return {"fake": out[: len(images[0])], "all": out, "shown": shown}

    @turn("generator")
    def translate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        again = list(islice(self.generator.features(made["all"]), self.depth))
        count = len(batch["content"])
        contrasts: dict[str, list[Tensor]] = {"content": [], "style": []}
        for head, ours, theirs in zip(self.heads, again, made["shown"], strict=True):
            where = positions(ours, self.patches)
            query, key = (F.normalize(head(at(each, where)), dim=2) for each in (ours, theirs))
            contrasts["content"].append(patch_nce(query[:count], key[:count], self.temperature))
            if self.identity:
                contrasts["style"].append(patch_nce(query[count:], key[count:], self.temperature))
        terms = {
            "adversarial": self.adversary.generate(made["fake"], batch["style"]),
            "nce": self.nce * (1 - self.identity) * torch.stack(contrasts["content"]).mean(),
        }
        if self.identity:
            terms["identity"] = self.nce * self.identity * torch.stack(contrasts["style"]).mean()
        return terms


class EnCo(OneSided):
    """On every patch, the generator's decoder should agree with its encoder, at the same scale.

    Args:
        generator: network that translates images, and has ``features``
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator
        augment: augmentations of what the discriminator sees
        agreement: weight of one minus the cosine of the decoder's and the encoder's projected features
        identity: weight of the mean absolute change of images that are in the style already, for images in [-1, 1]
        patches: number of patches compared per layer
        width: size of the vectors that are compared
        lr: learning rate of both players (Adam, beta1 0.5), constant for half of the run, then decaying linearly to 0
        ema: decay of the exponential moving average of the generator, used for samples and the finished model; not in the paper

    Raises:
        StylekitError: an option is too small, or the generator has no features.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": TINY}

    def __init__(
        self,
        generator: Part = BLURRED,
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        regularizers: tuple[Part, ...] = (),
        augment: tuple[Part, ...] = (),
        agreement: float = 2.0,
        identity: float = 10.0,
        patches: Count = 256,
        width: Width = 256,
        lr: float = 1e-4,
        ema: float | None = None,
    ) -> None:
        super().__init__(generator, Adversary(discriminator, adversarial, regularizers, augment), lr, ema)
        require_options(patches=patches, width=width)
        layers = self.probe()
        self.pairs = len(layers) // 2
        self.heads = nn.ModuleList(
            nn.ModuleDict({"project": self._mlp(layer.shape[1], width), "predict": self._mlp(width, width)})
            for layer in layers[: self.pairs]
        )
        self.agreement, self.identity, self.patches = agreement, identity, patches

    @staticmethod
    def _mlp(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Linear(after, after))

    def forward(self, batch: Batch) -> dict[str, Any]:
        *features, fake = self.generator.features(batch["content"])
        return {"fake": fake, "features": features}

    @turn("generator")
    def translate(self, batch: Batch, made: dict[str, Any]) -> Terms:
        features, losses = made["features"], []
        for number, head in enumerate(self.heads):
            encoded, decoded = features[number], features[-1 - number]
            where = positions(encoded, self.patches)
            key = head["project"](at(encoded, where)).detach()  # type: ignore[index]
            query = head["predict"](head["project"](at(decoded, where)))  # type: ignore[index]
            losses.append(1 - F.cosine_similarity(query, key, dim=2).mean())
        terms = {
            "adversarial": self.adversary.generate(made["fake"], batch["style"]),
            "agreement": self.agreement * torch.stack(losses).mean(),
        }
        if self.identity:
            terms["identity"] = self.identity * 2 * F.l1_loss(self.generator(batch["style"]), batch["style"])
        return terms


@hookimpl
def stylekit_methods() -> dict[str, Callable[..., Method]]:
    return {"cut": CUT, "enco": EnCo}
