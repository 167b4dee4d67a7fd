"""The sentinel: watches what a method generates during training, and says in one line what goes wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylekit.method import Batch, Method
from stylekit.training.adversary import Adversary

EVERY = 10
"""Steps between two looks."""
WARMUP = 50
"""Steps before the first look, because untrained networks generate grey images."""
PATIENCE = 5
"""Number of looks in a row that must find the same trouble."""
NOTICED = EVERY * (PATIENCE + 2)
"""Number of steps after which a trouble is reported at the latest."""


@dataclass(frozen=True)
class Sign:
    """A measurement, and the values that mean trouble.

    Attributes:
        below: values below this mean trouble
        told: what goes wrong
        remedy: what the user can do
        after: steps before the first look that counts
    """

    below: float
    told: str
    remedy: str
    after: int = WARMUP


SIGNS = {
    "contrast": Sign(
        0.1,
        "the generated images are nearly uniform",
        "Lower the learning rate, or add a loss that keeps the content, as in --set extra=[perceptual].",
    ),
    "variety": Sign(
        0.1,
        "the generated images are nearly the same for all contents",
        "Add --set regularizers=[r1], or a loss that keeps the content, as in --set extra=[patch-nce].",
    ),
    "likeness": Sign(
        -0.5,
        "light and dark are exchanged in the generated images",
        "Start again with another --seed, or add a loss that keeps the content, as in --set extra=[perceptual].",
    ),
    "structure": Sign(
        0.25,
        "the generated images have little in common with their contents",
        "Lower the learning rate, or add a loss that keeps the content, as in --set extra=[perceptual].",
        after=150,  # networks that learn slowly blur everything at first
    ),
    "contrast of samples": Sign(
        0.1,
        "the drawn images are nearly uniform",
        "Lower the learning rate, or add --set regularizers=[r1].",
        after=300,  # the first layers learn what images look like
    ),
    "variety of samples": Sign(
        0.1,
        "the drawn images are nearly the same for all codes",
        "Add --set regularizers=[r1,r2] or --set augment=[diffaugment], or lower the learning rate.",
        after=300,
    ),
    "doubt": Sign(
        0.02,
        "a discriminator tells all generated images from real ones, so that the generator learns nothing",
        "Add --set regularizers=[r1] or --set augment=[diffaugment], or lower the learning rate.",
    ),
}


@dataclass(frozen=True)
class Trouble:
    """What the sentinel found.

    Attributes:
        sign: name of the sign
        since: the step of the first look that found it
        told: a sentence for the user
    """

    sign: str
    since: int
    told: str


class Sentinel:
    """Looks at every tenth step, and reports a trouble once it has been seen at several looks in a row.

    Values are read at the following look, so that no step waits for the device.

    Args:
        method: the method that trains
        average: averages tensors over the processes of the run, in place
    """

    def __init__(self, method: Method, average: Callable[[list[Tensor]], None] = lambda tensors: None) -> None:
        self.method, self._average = method, average
        self._adversaries = [part for part in method.modules() if isinstance(part, Adversary)]
        self._before: dict[str, list[Tensor]] = {}
        self._pending: tuple[int, list[str], Tensor] | None = None
        self._since: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._told: set[str] = set()

    def due(self, step: int) -> bool:
        """Whether to look at a step, counted from one."""
        return step >= WARMUP and step % EVERY == 0

    @torch.no_grad()
    def look(self, step: int, batch: Batch, made: Any) -> Trouble | None:
        """Measures a step, and returns a trouble that earlier looks have found and that was not reported yet."""
        pending, found = self._pending, dict(self._measure(batch, made))
        self._pending = (step, list(found), torch.stack(list(found.values()))) if found else None
        if pending is None:
            return None
        since, names, values = pending
        self._average([values])
        return self._judge(since, dict(zip(names, values.tolist(), strict=True)))

    def _judge(self, step: int, values: dict[str, float]) -> Trouble | None:
        for name, sign in SIGNS.items():
            if values.get(name, sign.below) >= sign.below or step < sign.after:
                self._counts[name] = 0
                continue
            self._since[name] = self._since[name] if self._counts.get(name) else step
            self._counts[name] = self._counts.get(name, 0) + 1
            if self._counts[name] == PATIENCE and name not in self._told:
                self._told.add(name)
                since = self._since[name]
                return Trouble(name, since, f"Since step {since}, {sign.told}. {sign.remedy}")
        return None

    def _measure(self, batch: Batch, made: Any) -> Iterator[tuple[str, Tensor]]:
        pairs = [pair for pairs in self.method.outputs(batch, made).values() for pair in pairs]
        if pairs:
            yield "contrast", torch.stack([contrast(*pair) for pair in pairs]).min()
            yield "likeness", torch.stack([likeness(*pair) for pair in pairs]).min()
            yield "structure", torch.stack([likeness(*map(edges, pair)) for pair in pairs]).min()
            yield from self._variety("variety", pairs)
        drawn = self.method.drawn(batch, made)
        if drawn:
            yield "contrast of samples", torch.stack([contrast(*pair) for pair in drawn]).min()
            yield from self._variety("variety of samples", drawn)
        doubts = [each.doubt for each in self._adversaries if each.doubt is not None]
        if doubts:
            yield "doubt", torch.stack(doubts).min()

    def _variety(self, sign: str, pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """How much images differ, relative to their contents or to real ones; those of the look before join them."""
        before, now = self._before.get(sign, []), [image[:1].detach() for pair in pairs for image in pair]
        self._before[sign] = now
        if len(before) != len(now) or any(a.shape != b.shape for a, b in zip(before, now, strict=True)):
            return
        ratios = []
        for number, (output, content) in enumerate(pairs):
            outputs = torch.cat([output.detach(), before[2 * number]])
            contents = torch.cat([content, before[2 * number + 1]])
            ratios.append(spread(outputs) / spread(contents).clamp(min=1e-6))
        yield sign, torch.stack(ratios).min()


def spread(images: Tensor) -> Tensor:
    """The mean absolute difference of each image from the next, a scalar."""
    return (images - images.roll(1, 0)).float().abs().mean()


def contrast(output: Tensor, content: Tensor) -> Tensor:
    """The standard deviation of the outputs relative to that of the contents, a scalar."""
    ours, theirs = (image.float().flatten(1).std(1).mean() for image in (output.detach(), content))
    return ours / theirs.clamp(min=1e-6)


def edges(image: Tensor) -> Tensor:
    """How fast the lightness of images ``(N, C, H, W)`` changes, at half their size, which no change of colours moves:
    ``(N, 1, H', W')``."""
    light = F.avg_pool2d(image.detach().float().mean(1, keepdim=True), 2)
    down, across = light.diff(dim=2)[..., :-1], light.diff(dim=3)[..., :-1, :]
    return (down.square() + across.square()).sqrt()


def likeness(output: Tensor, content: Tensor) -> Tensor:
    """The correlation of the lightness of outputs and contents ``(N, C, H, W)``, a scalar from -1 to 1."""
    ours, theirs = (image.float().mean(1).flatten(1) for image in (output.detach(), content))
    ours, theirs = ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    norms = ours.norm(dim=1) * theirs.norm(dim=1)
    correlation: Tensor = ((ours * theirs).sum(1) / norms.clamp(min=1e-6)).mean()
    return correlation
