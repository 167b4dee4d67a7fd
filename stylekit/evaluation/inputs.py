"""What is evaluated: which contents with which styles, and the true outputs if they are known."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Literal

from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.evaluation.pictures import Pictures

Pair = tuple[str, str | None]
"""The names of a content and a style; None: a method that needs none."""


@dataclass(frozen=True)
class Inputs:
    """The images of an evaluation.

    Attributes:
        contents: images to stylise
        styles: images of the style
        truths: the true outputs, named like the contents apart from the suffix
        mode: ``apply`` each style to each content; ``translate`` each content into the domain that the method has learned and
            ``styles`` shows; or ``sample`` as many images as there are contents, which are real images like ``styles``
        one_to_one: apply one style to each content, the first to the first and so on, instead of all
    """

    contents: Pictures
    styles: Pictures | None = None
    truths: Pictures | None = None
    mode: Literal["apply", "translate", "sample"] = "apply"
    one_to_one: bool = False

    def __post_init__(self) -> None:
        if self.truths is not None:
            missing = [name for name in self.contents if stem(name) not in self._truth_names]
            if missing:
                raise StylekitError(
                    f"{self.truths.what} has no image named like {missing[0]}, whose true output it should contain"
                    f"{f' ({len(missing)} are missing)' if len(missing) > 1 else ''}."
                )

    @property
    def applied(self) -> Pictures | None:
        """The style images that are applied to contents."""
        return self.styles if self.mode == "apply" else None

    def pairs(self) -> list[Pair]:
        """Every content with its styles, ordered by content."""
        if self.applied is None:
            return [(content, None) for content in self.contents]
        if self.one_to_one:
            styles = list(self.applied)
            return [(content, styles[index % len(styles)]) for index, content in enumerate(self.contents)]
        return list(itertools.product(self.contents, self.applied))

    def truth(self, content: str) -> Tensor:
        """The true output of a content."""
        assert self.truths is not None
        return self.truths[self._truth_names[stem(content)]]

    @cached_property
    def _truth_names(self) -> dict[str, str]:
        return {stem(name): name for name in self.truths or ()}


def stem(name: str) -> str:
    """A name without its suffix."""
    return PurePath(name).with_suffix("").as_posix()
