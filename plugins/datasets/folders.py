"""Unpaired folders of images: content images, and optionally style images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import datasets, hookimpl
from stylekit.images import Crop, ImageFiles, SquareCrop


class Folders(Dataset[dict[str, Tensor]]):
    """Images from a content folder and a style folder, or from a content folder alone. Aspect ratios are preserved.

    In training, an item is a content image and a random style image, each resized, randomly cropped and randomly mirrored.
    In testing, it is image i of both folders, resized and cropped in the centre. Random numbers come from torch's global
    generator, which the engine seeds for each item. Transparent images are composited over white. Of a folder that is
    divided into ``train`` and ``test``, only the images of the split are used. Unreadable files are skipped with a warning.

    Args:
        content: folder of content images, or shards: ``shards/{000..099}.tar``
        style: folder of style images, or shards; without it, items contain only the content
        data: instead of these two, a folder that contains both: trainA and trainB, A and B, or content and style
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, before they are cropped in training (1.12: from 286 to 256
            pixels, as in the paper); or a range, from which one is drawn for each image
        flip: mirror half of the images in training
        rotate: largest angle, in degrees, by which images are rotated in training
        noise: standard deviation of noise that is added in training
        by_folder: in training, draw a subfolder first and then one of its images, so that subfolders of few images (such as
            those of artists) count as much as those of many

    Raises:
        StylekitError: a folder is missing or has no readable image, or the arguments contradict each other
    """

    item_keys: tuple[str, ...] = ("content", "style")
    stand_in = "scenes"

    def __init__(
        self,
        content: str | Path | None = None,
        style: str | Path | None = None,
        data: str | Path | None = None,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: Crop = 1.12,
        flip: bool = True,
        rotate: float = 0.0,
        noise: float = 0.0,
        by_folder: bool = False,
    ) -> None:
        self.crop = SquareCrop(size, split, crop, flip, rotate, noise)
        self.folders = datasets.find_sides("folders", content, style, data, split)
        self.content, *rest = map(ImageFiles, self.folders)
        self.style = rest[0] if rest else None
        self.groups = [_subfolders(side.files) for side in (self.content, *rest)] if by_folder else []
        self.item_keys = self.item_keys if rest else ("content",)

    def __len__(self) -> int:
        return max(len(self.content), len(self.style) if self.style else 0)

    def order(self, permute: Callable[[int], list[int]]) -> list[int]:
        """The order of an epoch: content images of one shard are close to each other."""
        count, order = len(self.content), list[int]()
        if len(self) == count:
            return self.content.order(permute)
        while len(order) < len(self):  # there are more style images, so each content image is used several times
            order += [index + len(order) for index in self.content.order(permute)]
        return order

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by names that stay the same when the folders move."""
        sides = zip(self.item_keys, self.folders, (self.content, self.style), strict=False)
        return {
            name: file
            for key, folder, side in sides
            if side
            for name, file in datasets.named_files(key, folder, side.files).items()
        }

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.groups and self.crop.training:
            index, *others = map(_draw, self.groups)
        else:
            others = [int(torch.randint(len(self.style), ())) if self.crop.training else index] if self.style else []
        item = {"content": self._image(self.content, index)}
        return {**item, "style": self._image(self.style, others[0])} if self.style else item

    def _image(self, files: ImageFiles, index: int) -> Tensor:
        return self.crop(files.read(index, self.crop.resized))


def _subfolders(files: Sequence[datasets.AnyFile]) -> list[list[int]]:
    """The indices of the files of each folder."""
    groups: dict[PurePath, list[int]] = {}
    for index, file in enumerate(files):
        groups.setdefault(file.parent, []).append(index)
    return list(groups.values())


def _draw(groups: Sequence[Sequence[int]]) -> int:
    group = groups[int(torch.randint(len(groups), ()))]
    return group[int(torch.randint(len(group), ()))]


@hookimpl
def stylekit_datasets() -> dict[str, type[Folders]]:
    return {"folders": Folders}
