"""Stylised pictures keep their alpha channel; what is fully transparent neither influences the result nor is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stylekit.images import Decoded, Picture, enlarge
from stylekit.inference.tiles import Box


def visible(picture: Picture, mean: Tensor | None = None) -> Tensor:
    """The colours ``(1, 3, H, W)`` of a picture. Fully transparent pixels get the mean visible colour, because their own is
    invisible and often garbage.

    Args:
        picture: the picture, or a part of one
        mean: the mean visible colour ``(3, 1, 1)`` of the whole one; by default, that of the picture
    """
    if picture.alpha is None:
        return picture.image
    visible = picture.alpha > 0
    if mean is None:
        mean = (picture.image * visible).sum((2, 3), keepdim=True) / visible.sum().clamp(min=1)
    return torch.where(visible, picture.image, mean)


def visible_parts(picture: Decoded) -> tuple[Callable[[Box], Tensor], Tensor | None]:
    """What reads the visible colours of a part of a picture, and the mean visible colour, if it has an alpha channel."""
    mean = None if picture.alpha is None else torch.from_numpy(picture.visible_color).float()[:, None, None]
    return lambda box: visible(picture.part(box.rows, box.columns), mean), mean


def with_alpha(picture: Picture, styled: Tensor, scale: int, mean: Tensor | None = None) -> Picture:
    """A stylised picture with the alpha channel and the metadata of the original, and with its own colours in fully
    transparent pixels that did not change.

    Args:
        picture: the original, or a part of one
        styled: the result of stylising its :func:`visible` colours
        scale: the factor from the sides of the original to those of the result
        mean: as for :func:`visible`
    """
    if scale != 1:
        alpha = None if picture.alpha is None else enlarge(picture.alpha, scale)
        return replace(picture, image=styled, alpha=alpha, stored=None)
    if picture.alpha is not None:
        unchanged = (styled == visible(picture, mean)).all(1, keepdim=True)
        styled = torch.where(unchanged, picture.image, styled)
    return replace(picture, image=styled)
