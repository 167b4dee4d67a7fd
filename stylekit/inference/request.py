"""What a user wants of a method: styles, masks, strength, colours and options; and what this makes of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.inference import controls
from stylekit.inference.controls import KeepColor
from stylekit.inference.options import frames_options
from stylekit.inference.tiles import Box
from stylekit.method import Method, Statistics


@dataclass(frozen=True)
class Request:
    """What the user wants, the same for all images.

    Attributes:
        method: the method
        name: its registered name
        described: the method and the model's file, for messages
        device: where the method computes
        regions: the style of each region; one without masks
        masks: where the regions are
        strength: from 0, the unchanged image, to 1
        keep_color: how the colours of the content are kept
        options: the method's own options
    """

    method: Method
    name: str
    described: str
    device: torch.device
    regions: list[Statistics | None]
    masks: list[Tensor]
    strength: float
    keep_color: KeepColor | None
    options: Mapping[str, Any]

    @property
    def untouched(self) -> bool:
        """Whether the images do not change, so that the method is not needed."""
        return self.strength == 0 and not self.method.capabilities.zero_strength

    def maps(self, height: int, width: int) -> list[Tensor]:
        """The weight of each region's style at each pixel of the content, ``(1, 1, H, W)``; empty without masks."""
        if not self.masks:
            return []
        like = torch.empty((), device=self.device).expand(1, 1, height, width)
        return controls.regions(controls.fit_masks(self.masks, like), len(self.regions))

    def stylize(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Stylises images.

        Args:
            image: ``(N, 3, H, W)`` in [0, 1], of any floating-point type, on any device
            maps: the weights of the regions, ``(1 or N, 1, H, W)``; without them, only the first region's style is applied

        Returns:
            images of the same type and device, with the sides multiplied by the method's ``scale``
        """
        content = image.to(self.device, torch.float32)
        return self.composed(image, content, [self._stylized(content, region) for region in self.regions], maps)

    def stylize_parts(
        self, maps: Sequence[Tensor], optimized: Sequence[Tensor], image: Tensor, boxes: Sequence[Box] | None
    ) -> Tensor:
        """Stylises parts of an image, as :class:`stylekit.inference.tiles.Tiling` wants it.

        Args:
            maps: the weights of the regions in the whole image
            optimized: what the method made of the whole image, for each region; empty: it is run on the parts
            image: the parts ``(N, 3, h, w)``
            boxes: where each is in the image; None: nowhere
        """

        def parts(whole: Tensor) -> Tensor:
            return torch.cat([whole[..., box.rows, box.columns] for box in boxes or ()])

        here = [parts(each) for each in maps] if boxes else []
        if not optimized:
            return self.stylize(image, here)
        content = image.to(self.device, torch.float32)
        made = [parts(each).to(self.device) if boxes else content for each in optimized]
        return self.composed(image, content, made, here)

    def clip(self, contents: Iterable[Tensor], style: Statistics | None) -> Iterator[Tensor]:
        """Stylises the frames of a clip with the style of one region. A generator, so that all of the method's ``frames``
        runs with seeded random numbers."""
        if self.untouched:
            yield from map(self._enlarged, contents)
            return
        strength = None if style is None else self.strength
        options = frames_options(self.method, self.options, strength, f"method {self.name!r}")
        yield from self.method.frames(contents, style, **options)

    def composed(self, image: Tensor, content: Tensor, outputs: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
        """The final image: the method's outputs, blended with the content by strength and masks, in the chosen colours.

        Args:
            image: what the user gave
            content: the same in float32 on the method's device
            outputs: what the method made of it, for each region
            maps: as for :meth:`stylize`
        """
        if self.method.result_channels:  # the result cannot be blended with the content
            return self._sound(outputs[0], self._enlarged(content)).clamp(0, 1).to(image)
        base = self._enlarged(content)
        finished = [self._finished(each, base, style) for each, style in zip(outputs, self.regions, strict=True)]
        out = finished[0]
        if maps:
            # A sum of changes, so that the image stays exactly the same where the masks are black.
            changes = [self._enlarged(region) * (each - base) for region, each in zip(maps, finished, strict=True)]
            out = base + torch.stack(changes).sum(0)
        out = out.clamp(0, 1)
        # float64 is more precise than the computation, so values that did not change are copied.
        if image.dtype == torch.float64 and base is content:
            return torch.where((out == content).to(image.device), image, out.to(image))
        return out.to(image)

    def _stylized(self, content: Tensor, style: Statistics | None) -> Tensor:
        if self.untouched:
            return self._enlarged(content)
        if style is None:
            return self.method.stylize(content, **self.options)
        return self.method.transfer(content, style, self.strength, **self.options)

    def _finished(self, styled: Tensor, content: Tensor, style: Statistics | None) -> Tensor:
        styled = self._sound(styled, content)
        # transfer() uses the strength itself, but its output need not approach the content as the strength decreases.
        full = 1.0 if style is None else 0.0 if self.method.capabilities.zero_strength else controls.BLEND_BELOW
        if self.strength < full:
            styled = torch.lerp(content, styled, self.strength / full)
        return controls.keep_color(styled, content, self.keep_color)

    def _sound(self, styled: Tensor, content: Tensor) -> Tensor:
        """The method's output, if it is an image of the right shape."""
        wanted = (len(content), self.method.result_channels or content.shape[1], *content.shape[2:])
        if styled.shape != wanted:
            raise StylekitError(
                f"The method {self.name!r} returned an image of shape {tuple(styled.shape)}, not {wanted}."
            )
        if not bool(styled.isfinite().all()):
            raise StylekitError(
                f"The {self.described} returned an image with NaN or infinity. Try another style: this one or the model may "
                "be damaged."
            )
        return styled

    def _enlarged(self, image: Tensor) -> Tensor:
        return images.enlarge(image, self.method.scale)
