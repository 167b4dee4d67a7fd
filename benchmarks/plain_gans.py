"""Training steps of CUT, content-gan and pix2pix as their papers' code takes them, for comparison with stylekit's steps.

Real and generated images pass the discriminator separately, the features of CUT are computed again for each loss, losses have
torch's layers and are in float32, and ``requires_grad`` is switched off and on. Networks, weights, losses and random numbers
are the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import with_torch_layers
from stylekit_plugins.methods.content_gan import ContentGAN
from stylekit_plugins.methods.cut import CUT
from stylekit_plugins.methods.pix2pix import Pix2Pix

Losses = dict[str, Tensor]
Score = Callable[..., Tensor]


class Plain:
    """A generator, a discriminator and their optimizers.

    Args:
        method: method that provides the weights
        lr: learning rate
        more: further parameters of the generator's optimizer
    """

    def __init__(self, method: Any, lr: float, more: Iterable[nn.Parameter] = ()) -> None:
        self.generator: Any = with_torch_layers(method.generator)
        self.discriminator = with_torch_layers(method.adversary.discriminator)
        self.generator_steps = torch.optim.Adam([*self.generator.parameters(), *more], lr=lr, betas=(0.5, 0.999))
        self.discriminator_steps = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=(0.5, 0.999))

    def update(self, discriminate: Callable[[], Tensor], translate: Callable[[], Losses]) -> Losses:
        """Updates the discriminator, and then the generator, which plays against the updated one."""
        self.discriminator.requires_grad_(True)
        self.discriminator_steps.zero_grad()
        judged = discriminate()
        judged.backward()
        self.discriminator_steps.step()

        self.discriminator.requires_grad_(False)
        self.generator_steps.zero_grad()
        losses = translate()
        torch.stack(list(losses.values())).sum().backward()
        self.generator_steps.step()
        return {"discriminate/adversarial": judged.detach()} | {
            f"translate/{name}": loss.detach() for name, loss in losses.items()
        }


class PlainCUT(Plain):
    """CUT: the features of every image for every loss are from a pass of their own."""

    def __init__(self, method: CUT) -> None:
        self.heads = copy.deepcopy(method.heads)
        super().__init__(method, method.lr, self.heads.parameters())
        self.method = method

    def step(self, a: Tensor, b: Tensor) -> Losses:
        """Updates both networks once, and returns the losses."""
        both = self.generator(torch.cat([a, b]))
        fake, same = both[: len(a)], both[len(a) :]

        def discriminate() -> Tensor:
            on_fake, on_real = self.discriminator(fake.detach()), self.discriminator(b)
            return 0.5 * (_mse(on_fake, 0.0) + _mse(on_real, 1.0))

        def translate() -> Losses:
            numbers = [
                torch.randperm(each.shape[2] * each.shape[3])[: self.method.patches] for each in self._encoded(a)
            ]
            return {
                "adversarial": _mse(self.discriminator(fake), 1.0),
                "nce": 0.5 * self._nce(fake, a, numbers),
                "identity": 0.5 * self._nce(same, b, numbers),
            }

        return self.update(discriminate, translate)

    def _encoded(self, image: Tensor) -> list[Tensor]:
        return list(islice(self.generator.features(image), self.method.depth))

    def _nce(self, output: Tensor, source: Tensor, numbers: list[Tensor]) -> Tensor:
        losses = []
        pairs = zip(self.heads, self._encoded(output), self._encoded(source), numbers, strict=True)
        for head, ours, theirs, chosen in pairs:
            query, key = (F.normalize(head(x.flatten(2)[..., chosen].mT), dim=2) for x in (ours, theirs))
            logits = query @ key.detach().mT / self.method.temperature
            labels = torch.arange(len(chosen)).expand(len(logits), -1)
            losses.append(F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
        return torch.stack(losses).mean()


class PlainContentGAN(Plain):
    """content-gan: an encoder in float32, for one image at a time."""

    def __init__(self, method: ContentGAN) -> None:
        super().__init__(method, method.lr)
        self.method, self.encoder = method, method.encoder
        self.looks: dict[str, Tensor] = {}
        self.updates = 0

    def step(self, a: Tensor, b: Tensor) -> Losses:
        """Updates both networks once, and returns the losses."""
        knob = float(torch.rand(()))
        fake, same = self._painted(a, knob), self._painted(b, knob)

        def discriminate() -> Tensor:
            return F.relu(1 - self.discriminator(b)).mean() + F.relu(1 + self.discriminator(fake.detach())).mean()

        def translate() -> Losses:
            with torch.no_grad():
                shown, styled = self.encoder(a), self.encoder(b)
                self.updates += 1
                for layer, each in styled.items():
                    gram = _gram(each)
                    self.looks[layer] = torch.lerp(self.looks.get(layer, gram), gram, 1 / self.updates)
            features = self.encoder(fake)
            (layer,) = self.method.content_loss.layers
            normalised, target = (F.instance_norm(each[layer], eps=1e-3) for each in (features, shown))
            errors = [
                (_gram(features[name]) - look).square().sum() / look.square().sum() for name, look in self.looks.items()
            ]
            return {
                "adversarial": -self.discriminator(fake).mean(),
                "content": self.method.content * 10 ** (2 * knob - 1) * F.mse_loss(normalised, target),
                "style": self.method.style * torch.stack(errors).mean(),
                "identity": self.method.identity * F.l1_loss(same, b),
            }

        return self.update(discriminate, translate)

    def _painted(self, image: Tensor, knob: float) -> Tensor:
        painted: Tensor = self.generator(torch.cat([image, torch.full_like(image[:, :1], knob)], 1))
        return painted[:, :3]


class PlainPix2Pix(Plain):
    """pix2pix, with instance norms."""

    def __init__(self, method: Pix2Pix) -> None:
        super().__init__(method, method.lr)

    def step(self, a: Tensor, b: Tensor) -> Losses:
        """Updates both networks once, and returns the losses."""
        fake = self.generator(a)

        def discriminate() -> Tensor:
            on_fake = self.discriminator(torch.cat([fake.detach(), a], 1))
            on_real = self.discriminator(torch.cat([b, a], 1))
            return 0.5 * (_bce(on_fake, 0.0) + _bce(on_real, 1.0))

        def translate() -> Losses:
            scores = self.discriminator(torch.cat([fake, a], 1))
            return {"adversarial": _bce(scores, 1.0), "l1": 200 * F.l1_loss(fake, b)}

        return self.update(discriminate, translate)


def _mse(scores: Tensor, label: float) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, label))


def _bce(scores: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


def _gram(features: Tensor) -> Tensor:
    rows = features.flatten(2)
    return rows @ rows.mT / rows.shape[1:].numel()
