"""Several methods that stylise like one: one after the other, or blended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.inference.controls import total_weight
from stylekit.method import Capabilities, Method, Statistics
from stylekit.registry.schema import Argument


class Several(Method):
    """Methods that stylise like one. A style image is for those that accept any; if none does, learned styles are for those
    that have learned some. Each option is for those that know it.

    Args:
        names: the registered names of the methods
        parts: the methods
        known: the options of each for an image, by name
        weights: the weight of the image that each makes of the content; None: each stylises what the one before it made

    Raises:
        StylekitError: a weight is negative, all are zero, or the images to blend have different sizes.
    """

    style_modules = ("parts",)

    def __init__(
        self,
        names: Sequence[str],
        parts: Sequence[Method],
        known: Sequence[Mapping[str, Argument]],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.methods, self.known = names, list(parts), known
        self.parts = nn.ModuleList(parts)
        self.shares = None if weights is None else [weight / total_weight(weights, "models") for weight in weights]
        scales = sorted({part.scale for part in parts})
        if weights is not None and len(scales) > 1:
            raise StylekitError(
                f"Models whose images have different sizes cannot be blended: one multiplies the sides by {scales[0]}, and "
                f"another by {scales[-1]}."
            )
        self.scale = prod(part.scale for part in parts) if weights is None else scales[0]
        each = [part.capabilities for part in parts]
        self.capabilities = Capabilities(  # type: ignore[misc]
            optimizes=any(can.optimizes for can in each),
            exportable=all(can.exportable for can in each),
            thread_safe=all(can.thread_safe for can in each),
        )

    @property
    def on_step(self) -> Callable[[int, int, Tensor], None] | None:
        """Called after each step of those methods that optimise."""
        return self.methods[0].on_step

    @on_step.setter
    def on_step(self, called: Callable[[int, int, Tensor], None] | None) -> None:
        for part in self.methods:
            part.on_step = called

    def takes_styles(self) -> bool:  # type: ignore[override]
        """Whether one of the methods accepts any style image."""
        return any(part.takes_styles() for part in self.methods)

    def describe(self, style: Tensor) -> Statistics:
        """The statistics of style images for each method that accepts them."""
        takers = {number: part for number, part in enumerate(self.methods) if part.takes_styles()}
        return joined({number: part.describe(style) for number, part in takers.items()})

    def only_taker(self) -> int | None:
        """The number of the only method that accepts style images; None if there are none or several."""
        takers = [number for number, part in enumerate(self.methods) if part.takes_styles()]
        return takers[0] if len(takers) == 1 else None

    def styles(self) -> Mapping[str, Statistics]:
        """The learned styles by name; a method that has not learned one of that name applies its first."""
        learned = {number: known for number, part in enumerate(self.methods) if (known := part.styles())}
        names = [] if self.takes_styles() else dict.fromkeys(name for known in learned.values() for name in known)
        return {
            name: joined({number: known.get(name, next(iter(known.values()))) for number, known in learned.items()})
            for name in names
        }

    def stylize(self, content: Tensor, style: Tensor | None = None, **options: Any) -> Tensor:
        """Stylises images; see :class:`stylekit.Method`."""
        return self.transfer(content, {} if style is None else self.describe(style), **options)

    def transfer(self, content: Tensor, style: Statistics, strength: float = 1.0, **options: Any) -> Tensor:
        """Stylises images with the statistics of :meth:`describe`; the strength is that of the styles."""

        def run(number: int, image: Tensor) -> Tensor:
            part, start = self.methods[number], f"{number}."
            own = {name.removeprefix(start): rows for name, rows in style.items() if name.startswith(start)}
            given = {name: value for name, value in options.items() if name in self.known[number]}
            return part.transfer(image, own, strength, **given) if own else part.stylize(image, **given)

        return self._in_turn(content, run) if self.shares is None else self._blended(content, run, self.shares)

    def _in_turn(self, image: Tensor, run: Callable[[int, Tensor], Tensor]) -> Tensor:
        for number in range(len(self.methods)):
            image = run(number, image)
        return image

    def _blended(self, content: Tensor, run: Callable[[int, Tensor], Tensor], shares: Sequence[float]) -> Tensor:
        images = [share * run(number, content) for number, share in enumerate(shares)]
        return torch.stack(images).sum(0).clamp(0, 1)


def joined(statistics: Mapping[int, Statistics]) -> Statistics:
    """The statistics of several methods, by number and name."""
    return {f"{number}.{name}": rows for number, each in statistics.items() for name, rows in each.items()}
