"""Further losses that any method takes by name: ``--set 'extra=[{name: ssim, weight: 2}]'``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.method import Batch, Method
from stylekit.registry.parts import Part, make


def options(extra: tuple[Part, ...] = ()) -> None:
    """The options of training that every method has.

    Args:
        extra: further losses that compare generated images with their contents, each with its weight (1 by default), as in
            ``[edges, {name: ssim, weight: 2}]``
    """


class Extra(nn.Module):
    """Losses of images, by name.

    Args:
        specs: specifications of the losses; those with options may have a ``weight``
    """

    def __init__(self, specs: Sequence[Part]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        for spec in specs:
            given = dict(spec) if isinstance(spec, Mapping) else spec
            weight = given.pop("weight", 1.0) if isinstance(given, dict) else 1.0
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise StylekitError(f"The weight of an extra loss must be a number, not {weight!r}.")
            name = given["name"] if isinstance(given, dict) else given
            key = name if isinstance(name, str) else getattr(name, "__name__", "loss").lower()
            key = key if key not in self.losses else f"{key}{len(self.losses)}"
            self.losses[key], self.weights[key] = make("loss", given), weight

    def forward(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """The terms of pairs of an output and its reference, each the mean over the pairs."""
        return {
            name: self.weights[name] * torch.stack([loss(*pair) for pair in pairs]).mean()
            for name, loss in self.losses.items()
        }


def extra_terms(method: Method, player: str, batch: Batch, made: Any) -> dict[str, Tensor]:
    """The terms of the extra losses for a player, ``extra/NAME``; none if there are no such losses.

    Raises:
        StylekitError: the method does not say which images it generates.
    """
    extra = getattr(method, "extra", None)
    if not isinstance(extra, Extra):
        return {}
    outputs = method.outputs(batch, made)
    if not outputs:
        raise StylekitError(
            f"{type(method).__name__} does not say which images it generates, so it accepts no --set extra. Define "
            "outputs(batch, made) in it."
        )
    pairs = outputs.get(player)
    return {f"extra/{name}": term for name, term in extra(pairs).items()} if pairs else {}
