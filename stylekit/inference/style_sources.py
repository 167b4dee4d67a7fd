"""Converts what a user gives as a style (an image, a file, a name, several with weights) to statistics of a method."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylekit._files import explain_os_errors
from stylekit.errors import StylekitError, suggest
from stylekit.inference import controls
from stylekit.inference.inputs import ImageSource, read_image
from stylekit.inference.random_numbers import random_numbers
from stylekit.inference.several import Several, joined
from stylekit.inference.style_keys import keys_match, probe_statistics, style_key
from stylekit.inference.styles import SUFFIX, Style, blend, read_style, statistics_shapes
from stylekit.method import Method, Statistics

StyleSource = ImageSource | Style


class StyleReader:
    """Reads styles for one method.

    Args:
        method: the method, with its weights, which do not change
        name: registered name of the method
        device: device of the method
    """

    def __init__(self, method: Method, name: str, device: torch.device) -> None:
        self.method, self.name, self.device = method, name, device
        self._key: tuple[str, dict[str, tuple[int, ...]]] | None = None

    @property
    def key(self) -> str:
        """A key that differs between models with incompatible styles; computed once."""
        return self._key_and_shapes()[0]

    def _key_and_shapes(self) -> tuple[str, dict[str, tuple[int, ...]]]:
        if self._key is None:
            probe = probe_statistics(self.method, self.device)
            self._key = style_key(self.method, self.name, probe), statistics_shapes(probe)
        return self._key

    def learned(self) -> Mapping[str, Statistics]:
        """The styles that the method has learned, by name."""
        with random_numbers(self.method, "style"):
            return self.method.styles()

    def read(self, source: StyleSource, scale: float = 1.0) -> Style:
        """Reads one style from whatever :meth:`stylekit.inference.Model.style` accepts.

        Raises:
            StylekitError: there is no such style, it cannot be read, or it does not fit the method.
        """
        if isinstance(source, Style):
            return self._checked(source, "The style", scale)
        if isinstance(source, Tensor | Image.Image | np.ndarray):
            return self._described(source, scale)
        if not isinstance(source, Path | str):
            raise StylekitError(
                "A style must be a tensor (1, 3, H, W) in [0, 1], a PIL image, an array, a file, the name of a learned style "
                f"or a result of Model.style, not a {type(source).__name__}. Give several styles as a list, with weights as "
                "pairs (style, weight)."
            )
        learned = self.learned()
        if source in learned:
            return self._checked(Style(learned[str(source)], torch.ones(1), self.key, self.name), str(source), scale)
        path, hash_, look = str(source).rpartition("#") if f"{SUFFIX}#" in str(source) else (str(source), "", "")
        with explain_os_errors(Path(path), "read"):
            is_folder, exists = Path(path).is_dir(), bool(path) and Path(path).exists()
        if path and is_folder:
            raise StylekitError(
                f"{path} is a folder. `stylekit style learn {path} -o mine.style` learns a style from its images."
            )
        if not exists:
            hint = suggest(path, learned) if learned else "Give an image."
            raise StylekitError(f"There is no style {path or repr(path)}. {hint}")
        if Path(path).suffix == SUFFIX:
            return self._from_file(Path(path), look if hash_ else None, scale)
        return self._described(source, scale)

    def regions(self, style: Any, scale: float = 1.0, masks: int = 0) -> list[Statistics | None]:
        """The statistics to stylise with: one blend of all styles, or with masks, the statistics of each region.

        Args:
            style: one style or several, with or without weights; None: the first style that the method has learned
            scale: factor on the sides of style images
            masks: number of masks

        Returns:
            Statistics with one row each; None for a method that has one style.

        Raises:
            StylekitError: there is no such style, it does not fit the method, or styles, weights and masks do not match.
        """
        controls.check_scale(scale)
        several = [style] if _is_weighted(style) else controls.several_or_none(style)
        pairs = [(each[0], controls.to_float(each[1])) if _is_weighted(each) else (each, 1.0) for each in several]
        pairs = pairs or [(name, 1.0) for name in self.learned()][:1]
        if not pairs and self.method.takes_styles():
            raise StylekitError(
                f"The method {self.name!r} needs a style: --style IMAGE on the command line, or the second argument in Python."
            )
        styles = [(self.read(source, scale), weight) for source, weight in pairs]
        if not masks:
            return [blend(styles)] if styles else [None]
        controls.check_regions(masks, len(styles) or 1)
        if any(weight != 1 for _, weight in styles):
            raise StylekitError("With masks, each style has its own region and no weight. Leave the weights out.")
        return [blend([each]) for each in styles] or [None]

    def require_style_images(self) -> None:
        """Checks that the method accepts style images.

        Raises:
            StylekitError: the method does not accept style images.
        """
        if not self.method.takes_styles():
            learned = self.learned()
            which = f"It has learned these styles: {', '.join(learned)}." if learned else "Leave the style out."
            raise StylekitError(f"The method {self.name!r} does not accept style images. {which}")

    def _described(self, source: ImageSource, scale: float) -> Style:
        self.require_style_images()
        what = str(source) if isinstance(source, Path | str) else "A style"
        ready = read_image(source, what).to(self.device, torch.float32)
        fitted = controls.fit_style(ready, scale, what)
        # The same random numbers for all images, whether the style is described once or again.
        with random_numbers(self.method, "style"):
            statistics = self.method.describe(fitted)
        return Style(statistics, torch.ones(1), self.key, self.name)

    def _from_file(self, path: Path, look: str | None, scale: float) -> Style:
        style = self._checked(self._of_all(read_style(path)), str(path), scale)
        if look is None:
            return style
        if not look.isdecimal() or len(look) > 9:
            raise StylekitError(
                f"{path}#{look}: the number of a look must follow '#'. `stylekit style show {path}` lists the looks."
            )
        try:
            return style.look(int(look))
        except StylekitError as error:
            raise StylekitError(f"{path}#{look}: {error}") from None

    def _of_all(self, style: Style) -> Style:
        """A style of the only one of several methods that accepts styles, as one of them all."""
        if not isinstance(self.method, Several) or (number := self.method.only_taker()) is None:
            return style
        name = self.method.names[number]
        if not keys_match(style.key, StyleReader(self.method.methods[number], name, self.device).key):
            return style
        return Style(joined({number: style.statistics}), style.shares, self.key, self.name)

    def _checked(self, style: Style, what: str, scale: float) -> Style:
        if scale != 1:
            raise StylekitError(
                f"{what} is not an image, so it cannot be scaled. Leave the style scale out, or learn the style again."
            )
        key, known = self._key_and_shapes()
        if not keys_match(style.key, key):
            raise StylekitError(
                f"{what} was described by another model, of the method {style.method!r}, and is incompatible with this one, "
                f"of the method {self.name!r}. Use that model, or learn the style again with this one."
            )
        if (shapes := statistics_shapes(style.statistics)) != known:
            name = next(name for name in {**known, **shapes} if known.get(name) != shapes.get(name))
            raise StylekitError(
                f"{what} is damaged: its statistics {name!r} are missing or do not have the shape that the method "
                f"{self.name!r} needs. Learn the style again."
            )
        statistics = {name: rows.to(self.device) for name, rows in style.statistics.items()}
        return Style(statistics, style.shares, style.key, style.method)


def _is_weighted(value: Any) -> bool:
    """Whether a value is a pair of a style and its weight."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return isinstance(value[1], Real) or (isinstance(value[1], Tensor) and value[1].ndim == 0)
