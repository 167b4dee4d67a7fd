"""Paired images: two versions of the same image, such as a photo and its edges, or a damaged and a clean image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl, images
from stylekit.images import Crop, SquareCrop


class Pairs(Dataset[dict[str, Tensor]]):
    """Pairs of a content image and a style image of the same size; both are cropped and mirrored in the same way.

    Pairs come from two folders, by equal relative paths (apart from the suffix); from a folder of images with both halves
    side by side (as in pix2pix's data sets); or from a CSV file with one line per pair. Of a folder that is divided into
    ``train`` and ``test``, or of a CSV file with a column ``split``, only the pairs of the split are used. Pairs with a file
    that cannot be opened are skipped with a warning.

    Args:
        content: folder of content images, or shards
        style: folder of style images, or shards
        data: instead of these two: a folder that contains both (trainA and trainB, A and B, or content and style), a folder
            of side-by-side images, or a .csv file with columns ``content`` and ``style``, whose paths are relative to it
        reverse: swap content and style
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, before they are cropped in training, or a range of it
        flip: mirror half of the pairs in training
        rotate: largest angle, in degrees, by which pairs are rotated in training
        noise: standard deviation of noise that is added in training

    Raises:
        StylekitError: a folder, a file or a partner is missing, the images of a pair have different sizes, or the arguments
            contradict each other
    """

    item_keys = ("content", "style")
    paired = True
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
        crop: Crop = 1.12,
        flip: bool = True,
        rotate: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        self.crop, self.reverse = SquareCrop(size, split, crop, flip, rotate, noise), reverse
        self.pairs = datasets.check_pairs(datasets.find_pairs(content, style, data, split))

    def __len__(self) -> int:
        return len(self.pairs)

    def order(self, permute: Callable[[int], list[int]]) -> list[int]:
        """The order of an epoch: pairs of one shard are close to each other."""
        return datasets.shuffled([first for first, _ in self.pairs], permute)

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by their places in the order of the pairs, which stay the same when the folders move."""
        return {
            f"{index}/{side}/{file.name}": file
            for index, pair in enumerate(self.pairs)
            for side, file in enumerate(pair)
            if file
        }

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        content, style = self._read(self.pairs[index])
        sides = self.crop(torch.cat([content, style], 1)).split(3)
        return dict(zip(self.item_keys, reversed(sides) if self.reverse else sides, strict=True))

    def _read(self, pair: datasets.Pair) -> tuple[Tensor, Tensor]:
        first, second = pair
        left = images.read_over_white(first)
        if second is None:
            half = left.shape[-1] // 2
            return left[..., :half], left[..., -half:]
        right = images.read_over_white(second)
        if left.shape != right.shape:
            sizes = (f"{image.shape[-1]}x{image.shape[-2]}" for image in (left, right))
            raise StylekitError(
                f"{first} and {second} are a pair, but have {' and '.join(sizes)} pixels. Resize one of them."
            )
        return left, right


@hookimpl
def stylekit_datasets() -> dict[str, type[Pairs]]:
    return {"pairs": Pairs}
