"""Images with a label each: a folder for every class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl
from stylekit.errors import suggest
from stylekit.images import ImageFiles, square_crop


class Labelled(Dataset[dict[str, Tensor]]):
    """An item is an image and the number of its class, ``{"image": (3, size, size), "label": ()}``.

    The classes are the folders in ``data``, in alphabetical order, counted from 0. A folder that holds nothing but
    ``train`` and ``test`` is divided, and each of these holds the classes.

    Args:
        data: folder with a folder for each class
        classes: names of the folders that are classes, in this order; all by default
        size: side of the square images
        seed: not used, as the engine seeds what is random
        split: train or test
        crop: how much larger than the crop the images are resized first
        flip: mirror half of the images

    Raises:
        StylekitError: a folder is missing, or has no readable image
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
            raise StylekitError("The data set labelled needs a folder with a folder for each class: --data DIR.")
        if split not in datasets.SPLITS:
            raise StylekitError(f"The data set labelled has no split {split!r}: there are train and test.")
        if size < 1 or crop < 1:
            raise StylekitError(f"The data set labelled needs size >= 1 and crop >= 1, not {size} and {crop}.")
        self.training = split == "train"
        self.size = size
        self.resized = round(size * crop) if self.training else size
        self.flip = flip and self.training
        folder = datasets.split_of(data, split)
        known = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
        for name in classes:
            if name not in known:
                raise StylekitError(f"{folder} has no folder {name!r} for that class. {suggest(name, known)}")
        self.classes = tuple(classes) or tuple(known)
        if not self.classes:
            raise StylekitError(f"{folder} has no folders: make one for each class, and put its images there.")
        self.images = [ImageFiles(folder / name) for name in self.classes]

    def __len__(self) -> int:
        return sum(map(len, self.images))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        for label, files in enumerate(self.images):
            if index < len(files):
                image = files.read(index, self.resized)
                square = square_crop(image, self.size, self.resized, self.training, self.flip)
                return {"image": square, "label": torch.tensor(label)}
            index -= len(files)
        raise IndexError(index)


@hookimpl
def stylekit_datasets() -> dict[str, type[Labelled]]:
    return {"labelled": Labelled}
