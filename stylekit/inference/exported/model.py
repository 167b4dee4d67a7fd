"""Stylising with an exported model, in NumPy: what :class:`stylekit.inference.Model` does, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from stylekit import images
from stylekit.errors import StylekitError, suggest
from stylekit.images import Picture
from stylekit.inference.controls import (
    BLEND_BELOW,
    KeepColor,
    check_controls,
    check_regions,
    fit_style,
    frame_masks,
    regions,
)
from stylekit.inference.exported.card import Array
from stylekit.inference.exported.controls import fit_masks, keep_color, read_colors
from stylekit.inference.exported.file import ExportedFile
from stylekit.inference.exported.styles import SUFFIX, ArrayStyle, blend, read_style_file
from stylekit.native.memory import free_cpu_memory, memory_text

Statistics = dict[str, Array]
LARGE = 2**22
"""Pixels above which it is checked that there is enough memory."""


class ExportedModel:
    """A model in an exported file, which stylises pictures of arrays.

    Args:
        path: the file
        engine: as for :func:`stylekit.inference.exported.runtimes.open_runtime`
        threads: likewise
        device: likewise

    Raises:
        StylekitError: the file cannot be used, or draws samples.
    """

    arrays = True
    """Pictures that it stylises have arrays instead of tensors."""
    intensities = None
    """Images are RGB pictures."""
    on_step: Any = None
    """Never called, because nothing is optimised."""
    keeps_state = False
    """Frames of a clip do not depend on those before them."""
    optimizes = False
    """Stylising is no optimisation."""

    def __init__(
        self,
        path: Path,
        engine: str = "auto",
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.file = ExportedFile(path, engine, threads, device)
        self.card, self.name = self.file.card, self.file.card.method
        if self.card.graph != "stylize":
            raise StylekitError(f"{path} does not stylise images: it was exported to {self.card.graph} them.")

    def needed_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> int:
        """Estimates how many bytes are needed to stylise an image of that size: what torch needs; 0 if it is not known."""
        return self.card.bytes_per_pixel * height * width

    def require_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> None:
        """Checks that there is enough free memory for an image of that size.

        Raises:
            StylekitError: it needs more; the message contains both numbers.
        """
        needed, free = self.needed_memory(height, width), free_cpu_memory()
        if height * width > LARGE and needed > free:
            raise StylekitError(
                f"{width}x{height} pixels need about {memory_text(needed)} with this model, but only {memory_text(free)} "
                f"are free. Make the image smaller by a factor of {(needed / max(free, 1)) ** 0.5:.1f} per side."
            )

    def resolve_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The method's own options, of which an exported model has none.

        Raises:
            StylekitError: some are given.
        """
        if given:
            raise StylekitError(
                f"The options of an exported model are part of its file: {next(iter(given))!r} cannot be set. Export the model "
                "again with the option."
            )
        return {}

    def learned_styles(self) -> list[str]:
        """The names of the styles that the method has learned."""
        return [*self.card.learned]

    def style(self, source: str, scale: float = 1.0) -> ArrayStyle:
        """Describes a style once, to stylise many images with it.

        Args:
            source: an image, a style file, which may end in ``#2`` for its second look, or the name of a learned style
            scale: factor on the sides of a style image

        Raises:
            StylekitError: there is no such style, it cannot be read, or it does not fit the model.
        """
        if source in self.card.learned:
            rows = {name: np.array(each, np.float32) for name, each in self.card.learned[source].items()}
            return self._unscaled(ArrayStyle(rows, np.ones(1, np.float32)), source, scale)
        path, hash_, look = source.rpartition("#") if f"{SUFFIX}#" in source else (source, "", "")
        if not Path(path).is_file():
            hint = suggest(path, self.card.learned) if self.card.learned else "Give an image."
            raise StylekitError(f"There is no style {path or repr(path)}. {hint}")
        if Path(path).suffix == SUFFIX:
            return self._unscaled(read_style_file(Path(path), look if hash_ else None, self.card), source, scale)
        if not self.card.takes_styles:
            which = f" It has learned these styles: {', '.join(self.card.learned)}." if self.card.learned else ""
            raise StylekitError(f"The method {self.name!r} does not accept style images.{which or ' Leave it out.'}")
        fitted = cast(Array, fit_style(read_colors(path), scale, path))  # type: ignore[arg-type]
        return ArrayStyle(self.file.describe(fitted), np.ones(1, np.float32))

    def _unscaled(self, style: ArrayStyle, what: str, scale: float) -> ArrayStyle:
        if scale != 1:
            raise StylekitError(
                f"{what} is not an image, so it cannot be scaled. Leave the style scale out, or learn the style again."
            )
        return style

    def resolve_styles(self, styles: Sequence[tuple[ArrayStyle, float]], masks: int = 0) -> list[Statistics]:
        """The statistics to stylise with: one blend of all styles, or with masks, the statistics of each region.

        Raises:
            StylekitError: the method needs a style and there is none, or styles, weights and masks do not match.
        """
        pairs = list(styles) or [(self.style(name), 1.0) for name in self.learned_styles()[:1]]
        if not pairs and self.card.takes_styles:
            raise StylekitError(
                f"The method {self.name!r} needs a style: --style IMAGE on the command line, or the second argument in Python."
            )
        if not masks:
            return [blend(pairs)] if pairs else [{}]
        check_regions(masks, len(pairs) or 1)
        if any(weight != 1 for _, weight in pairs):
            raise StylekitError("With masks, each style has its own region and no weight. Leave the weights out.")
        return [blend([pair]) for pair in pairs] or [{}]

    def stylize_picture(
        self,
        picture: Picture,
        style: Sequence[tuple[ArrayStyle, float]] = (),
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Sequence[Array] = (),
        seed: int = 0,
    ) -> Picture:
        """Stylises a picture of arrays, and keeps its alpha channel and metadata.

        Args:
            picture: what ``images.read(path, arrays=True)`` returned
            style: styles and their weights
            strength, keep_color: as for :meth:`stylekit.inference.Model.stylize`
            mask: where to stylise, or one mask ``(1, 1, H, W)`` per style
            seed: not used, because an exported graph draws no random numbers

        Raises:
            StylekitError: an argument is invalid, or the output is not finite.
        """
        check_controls(strength, keep_color)
        content = visible(picture)
        statistics = self.resolve_styles(style, masks=len(mask))
        base = self._enlarged(content)
        outputs = [self._finished(content, base, each, strength, keep_color) for each in statistics]
        result = outputs[0]
        if mask:
            maps = regions(fit_masks(mask, _size(content)), len(outputs))  # type: ignore[arg-type]
            changes = [
                self._enlarged(cast(Array, region)) * (each - base) for region, each in zip(maps, outputs, strict=True)
            ]
            result = base + sum(changes[1:], changes[0])
        return self._with_metadata(picture, content, result.clip(0, 1))

    def clip(
        self,
        pictures: Iterable[Picture],
        style: Sequence[tuple[ArrayStyle, float]] = (),
        *,
        mask: Sequence[Array | Iterator[Array]] = (),
        first_frame: int = 0,
        **options: Any,
    ) -> Iterator[Picture]:
        """Stylises pictures one after the other. A mask may be an iterator, which gives one for each picture; ``first_frame``
        is not used, because no random numbers are drawn."""
        for picture, masks in zip(pictures, frame_masks(mask, lambda each: each), strict=False):
            yield self.stylize_picture(picture, style, mask=masks, **options)

    def _finished(
        self, content: Array, base: Array, style: Statistics, strength: float, how: KeepColor | None
    ) -> Array:
        if strength == 0 and not self.card.zero_strength:
            return keep_color(base, base, how)
        styled = self._styled(content, style, strength)
        if styled.shape != base.shape or not np.isfinite(styled).all():
            raise StylekitError(f"{self.file.path} computed NaN, infinity or another size. Try another style.")
        full = 1.0 if not style else 0.0 if self.card.zero_strength else BLEND_BELOW
        if strength < full:
            styled = base + (styled - base) * np.float32(strength / full)
        return keep_color(styled, base, how)

    def _styled(self, content: Array, style: Statistics, strength: float) -> Array:
        if style and strength < 1 and self.card.strength == "statistics":
            own, share = self.file.describe(content), np.float32(strength)
            style = {name: own[name] + (style[name] - own[name]) * share for name in style}
        return self.file.stylize(content, style, strength)

    def blends(self, strength: float) -> bool:
        """Whether a strength can be computed."""
        return strength >= 1 or strength <= 0 or self.card.strength != "none" or not self.card.statistics

    def _enlarged(self, image: Array) -> Array:
        return cast(Array, images.enlarge(image, self.card.scale))  # type: ignore[arg-type]

    def _with_metadata(self, picture: Picture, content: Array, styled: Any) -> Picture:
        alpha: Any = picture.alpha
        if self.card.scale != 1:
            enlarged: Any = None if alpha is None else self._enlarged(alpha)
            return replace(picture, image=styled, alpha=enlarged, stored=None)
        if alpha is not None:  # fully transparent pixels that did not change keep their own colours
            unchanged = (styled == content).all(1, keepdims=True)
            styled = np.where(unchanged, cast(Array, picture.image), styled)
        return replace(picture, image=styled)


def visible(picture: Picture) -> Array:
    """The colours of a picture; fully transparent pixels get the mean visible colour."""
    image = cast(Array, picture.image)
    if picture.alpha is None:
        return image
    shown = cast(Array, picture.alpha) > 0
    mean = (image * shown).sum((2, 3), keepdims=True) / max(int(shown.sum()), 1)
    return np.where(shown, image, mean.astype(np.float32))


def _size(image: Array) -> tuple[int, int]:
    height, width = image.shape[-2:]
    return height, width
