"""A discriminator together with its loss, its penalties and what it sees of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stylekit.method import Terms
from stylekit.registry.parts import Part, make, part_key
from stylekit.training.pool import ImagePool

if TYPE_CHECKING:
    from stylekit.hookspecs import Scores


SCORES = [number / 10 for number in range(-100, 101)]
"""The scores among which those of a perfect discriminator are looked for."""


class Adversary(nn.Module):
    """Scores images of one domain, and turns the scores into the losses of both players.

    A method needs one for each domain in which it generates images. It calls :meth:`discriminate` in the turn of the
    discriminator, whose player has the modules ``[adversary]``, and :meth:`generate` in the turn of the generator::

        self.adversary = Adversary("patch-sn", "hinge", regularizers=["r1"], augment=["diffaugment"])

    Args:
        discriminator: network that scores images
        adversarial: adversarial loss
        regularizers: penalties on the discriminator, which are added to its loss
        augment: augmentations of real and generated images; both players see augmented images only
        pool: number of earlier generated images that are kept and mixed with new ones; 0: none
        options: more options of the discriminator, such as ``channels``
    """

    def __init__(
        self,
        discriminator: Part = "patch",
        adversarial: Part = "lsgan",
        regularizers: Sequence[Part] = (),
        augment: Sequence[Part] = (),
        pool: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.discriminator = make("discriminator", discriminator, **options)
        self.adversarial = make("adversarial", adversarial)
        self.regularizers = nn.ModuleDict()
        for spec in regularizers:
            self.regularizers[part_key(spec, self.regularizers, "penalty")] = make("regularizer", spec)
        self.augmentations = nn.ModuleList(make("augmentation", each) for each in augment)
        self.pool = ImagePool(pool)
        self.updates = 0
        self._undecided: float | None = None
        self._least = 0.0
        self.doubt: Tensor | None = None
        """The last loss of the discriminator: 1 for that of one that cannot tell real from generated images, and 0 for
        the least that is possible."""

    def discriminate(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Terms:
        """The discriminator's loss: the term ``adversarial``, and one for each regulariser that is due.

        Args:
            real: real images ``(N, C, H, W)`` in [0, 1]
            fake: generated images of the same size; they get no gradient
            condition: what the scores of both depend on, such as labels ``(N,)`` or images
        """
        real, fake = self.augmented(real), self.augmented(self.pool(fake))
        on_real, on_fake = self._both(real, fake, condition)
        terms = {"adversarial": self.adversarial.discriminator(on_real, on_fake)}
        self.doubt = self._doubt(terms["adversarial"], on_real, on_fake)
        for each in self.augmentations:
            if callable(observe := getattr(each, "observe", None)):
                observe(on_real)
        scores = partial(self.discriminator, condition=condition) if condition is not None else self.discriminator
        for name, penalty in self.regularizers.items():
            interval = getattr(penalty, "interval", 1)
            if self.updates % interval == 0:
                terms[name] = interval * penalty(scores, real, fake)
        self.updates += 1
        return terms

    def generate(self, fake: Tensor, real: Tensor, condition: Tensor | None = None) -> Tensor:
        """The generator's loss, a scalar; ``real`` is used by relativistic losses only."""
        fake = self.augmented(fake)
        if not self.adversarial.relativistic:
            return self.adversarial.generator(self._scores(fake, condition))
        on_fake, on_real = self._both(fake, self.augmented(real), condition)
        return self.adversarial.generator(on_fake, on_real)

    def augmented(self, image: Tensor) -> Tensor:
        """The images as the discriminator sees them."""
        for each in self.augmentations:
            image = each(image)
        return image

    def _scores(self, image: Tensor, condition: Tensor | None) -> Scores:
        return self.discriminator(image) if condition is None else self.discriminator(image, condition)

    def _both(self, one: Tensor, other: Tensor, condition: Tensor | None) -> tuple[Scores, Scores]:
        """The scores of two batches: of one batch, which is faster, if the scores of its images are independent."""
        if not getattr(self.discriminator, "sample_independent", False) or one.shape[1:] != other.shape[1:]:
            return self._scores(one, condition), self._scores(other, condition)
        twice = None if condition is None else torch.cat([condition, condition])
        scores, sizes = self._scores(torch.cat([one, other]), twice), [len(one), len(other)]
        if isinstance(scores, Tensor):
            first, second = scores.split(sizes)
            return first, second
        pairs = [scale.split(sizes) for scale in scores]
        return [first for first, _ in pairs], [second for _, second in pairs]

    @torch.no_grad()
    def _doubt(self, loss: Tensor, on_real: Scores, on_fake: Scores) -> Tensor | None:
        """See :attr:`doubt`; None for a loss that is not bounded below, such as that of a Wasserstein critic."""
        if self._undecided is None:
            self._undecided, self._least = self._limits(on_real, on_fake)
        span = self._undecided - self._least
        return (loss.detach() - self._least) / span if self._undecided > 0 and 0 < span < math.inf else None

    def _limits(self, on_real: Scores, on_fake: Scores) -> tuple[float, float]:
        """The least loss of equal scores for all images, and the least of all."""

        def constant(real: float, fake: float) -> float:
            return float(self.adversarial.discriminator(_constant(on_real, real), _constant(on_fake, fake)))

        undecided = min(constant(score, score) for score in SCORES)
        # With smoothed labels, the best scores are finite, and their loss is above 0. Each is found by itself, as losses are
        # sums over both, or depend on their difference.
        best = min(SCORES, key=lambda real: constant(real, 0.0))
        return undecided, min(constant(best, fake) for fake in SCORES)

    def get_extra_state(self) -> Tensor:
        """The number of updates, so that a resumed run computes lazy penalties at the same steps."""
        return torch.tensor(self.updates)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the number of updates."""
        self.updates = int(state)


def _constant(scores: Scores, value: float) -> Scores:
    """A single score of each scale, on the CPU, where reading it does not wait for the device."""
    if isinstance(scores, Tensor):
        return torch.full([1] * scores.ndim, value)
    return [torch.full([1] * scale.ndim, value) for scale in scores]
