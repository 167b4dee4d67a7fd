"""Paired images: two views of the same thing, such as a photo and its edges, or a damaged image and the clean one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl, images
from stylekit.images import square_crop


class Pairs(Dataset[dict[str, Tensor]]):
    """Images of the content and of the style that belong together and have one size; both are cropped alike.

    Pairs come from two folders, by the same name below them (the suffix does not matter); from a folder of images that
    hold both, side by side (as pix2pix's data sets do); or from a CSV file with a line for each pair. A folder divided
    into ``train`` and ``test`` gives the split's pairs, and so does a column ``split`` of the CSV file.

    Args:
        content: folder of content images
        style: folder of style images
        data: instead of these two: a folder that holds both (trainA and trainB, A and B, or content and style), a folder
            of side-by-side images, or a .csv file with columns ``content`` and ``style``, whose paths are relative to it
        reverse: exchange content and style
        size: side of the square images
        seed: not used, as the engine seeds what is random
        split: train or test
        crop: how much larger than the crop the images are resized first
        flip: mirror half of the pairs

    Raises:
        StylekitError: a folder, a file or a partner is missing, or arguments do not go together
    """

    item_keys = ("content", "style")
    stand_in = {"name": "scenes", "paired": True}  # noqa: RUF012

    def __init__(
        self,
        content: str | Path | None = None,
        style: str | Path | None = None,
        data: str | Path | None = None,
        reverse: bool = False,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: float = 1.12,
        flip: bool = True,
    ) -> None:
        if split not in datasets.SPLITS:
            raise StylekitError(f"The data set pairs has no split {split!r}: there are train and test.")
        if size < 1 or crop < 1:
            raise StylekitError(f"The data set pairs needs size >= 1 and crop >= 1, not {size} and {crop}.")
        self.training, self.reverse, self.size = split == "train", reverse, size
        self.resized = round(size * crop) if self.training else size
        self.flip = flip and self.training
        self.pairs = datasets.find_pairs(content, style, data, split)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        content, style = self._read(self.pairs[index])
        joined = square_crop(torch.cat([content, style], 1), self.size, self.resized, self.training, self.flip)
        sides = joined.split(3)
        return dict(zip(self.item_keys, reversed(sides) if self.reverse else sides, strict=True))

    def _read(self, pair: datasets.Pair) -> tuple[Tensor, Tensor]:
        first, second = pair
        left = _image(first)
        if second is None:
            half = left.shape[-1] // 2
            return left[..., :half], left[..., -half:]
        right = _image(second)
        if left.shape != right.shape:
            sizes = (f"{image.shape[-1]}x{image.shape[-2]}" for image in (left, right))
            raise StylekitError(
                f"{first} and {second} are a pair, and have {' and '.join(sizes)} pixels: make them equal."
            )
        return left, right


def _image(file: Path) -> Tensor:
    picture = images.read(file)
    return images.over_white(picture.image, picture.alpha)


@hookimpl
def stylekit_datasets() -> dict[str, type[Pairs]]:
    return {"pairs": Pairs}
