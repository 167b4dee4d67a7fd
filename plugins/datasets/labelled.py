"""Labelled images: one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl
from stylekit.errors import suggest
from stylekit.images import ImageFiles, SquareCrop


class Labelled(Dataset[dict[str, Tensor]]):
    """Images and the numbers of their classes: ``{"image": (3, size, size), "label": ()}``.

    The classes are the subfolders of ``data``, numbered from 0 in alphabetical order. If ``data`` contains only ``train``
    and ``test``, it is divided into splits, and each of these contains the classes.

    Args:
        data: folder with one subfolder per class
        classes: names of the subfolders to use as classes, in this order; by default all
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, before they are cropped in training
        flip: mirror half of the images in training

    Raises:
        StylekitError: a folder is missing or has no readable image, or an option is out of range
    """

    item_keys = ("image",)

    def __init__(
        self,
        data: str | Path | None = None,
        classes: Sequence[str] = (),
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: float = 1.12,
        flip: bool = True,
    ) -> None:
        if data is None:
            raise StylekitError("The data set 'labelled' needs a folder with one subfolder per class: --data DIR.")
        self.crop = SquareCrop(size, split, crop, flip)
        folder = datasets.split_of(data, split)
        known = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
        for name in classes:
            if name not in known:
                raise StylekitError(f"{folder} has no subfolder {name!r} for this class. {suggest(name, known)}")
        self.classes = tuple(classes) or tuple(known)
        if not self.classes:
            raise StylekitError(f"{folder} has no subfolders. Create one per class, and put its images there.")
        self.images = [ImageFiles(folder / name) for name in self.classes]

    def __len__(self) -> int:
        return sum(map(len, self.images))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        for label, files in enumerate(self.images):
            if index < len(files):
                image = self.crop(files.read(index, self.crop.resized))
                return {"image": image, "label": torch.tensor(label)}
            index -= len(files)
        raise IndexError(index)


@hookimpl
def stylekit_datasets() -> dict[str, type[Labelled]]:
    return {"labelled": Labelled}
