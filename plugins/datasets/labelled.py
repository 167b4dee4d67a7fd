"""Labelled images: one folder per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl
from stylekit.errors import suggest
from stylekit.images import Crop, ImageFiles, SquareCrop


class Labelled(Dataset[dict[str, Tensor]]):
    """Images and the numbers of their classes: ``{"image": (3, size, size), "label": ()}``.

    The classes are the subfolders of ``data``, numbered from 0 in alphabetical order. If ``data`` has no other folders than
    ``train`` and ``test``, and no images, it is divided into splits. The classes are then the subfolders of ``train`` for
    both splits, and ``test`` need not have images of all.

    Args:
        data: folder with one subfolder per class, of images or of shards
        classes: names of the subfolders to use as classes, in this order; by default all
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, before they are cropped in training, or a range of it
        flip: mirror half of the images in training
        rotate: largest angle, in degrees, by which images are rotated in training
        noise: standard deviation of noise that is added in training
        balanced: in training, show each class as often as the others; images of small classes are repeated

    Raises:
        StylekitError: a folder is missing or has no readable image, ``test`` has a class that ``train`` lacks, or an option
            is out of range
    """

    item_keys = ("image",)

    def __init__(
        self,
        data: str | Path | None = None,
        classes: Sequence[str] = (),
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: Crop = 1.12,
        flip: bool = True,
        rotate: float = 0.0,
        noise: float = 0.0,
        balanced: bool = False,
    ) -> None:
        if data is None:
            raise StylekitError("The data set 'labelled' needs a folder with one subfolder per class: --data DIR.")
        self.crop = SquareCrop(size, split, crop, flip, rotate, noise)
        train, folder = datasets.split_of(data, "train"), datasets.split_of(data, split)
        known = datasets.subfolders(train)
        for name in classes:
            if name not in known:
                raise StylekitError(f"{train} has no subfolder {name!r} for this class. {suggest(name, known)}")
        self.classes = tuple(classes) or tuple(known)
        if not self.classes:
            raise StylekitError(f"{train} has no subfolders. Create one per class, and put its images there.")
        new = [] if classes else [name for name in datasets.subfolders(folder) if name not in known]
        if new:
            raise StylekitError(
                f"{folder} has the class {new[0]!r}, which {train} lacks, so it has no number. {suggest(new[0], known)} Add "
                "it to both folders, or remove it."
            )
        self.images = {
            label: ImageFiles(folder / name)
            for label, name in enumerate(self.classes)
            if folder == train or _has_images(folder / name)  # another split need not have images of all classes
        }
        self.folder = folder
        if not self.images:
            raise StylekitError(f"There are no images of {', '.join(self.classes)} in {folder}.")

        self.balanced = balanced and self.crop.training

    def __len__(self) -> int:
        counts = [len(files) for files in self.images.values()]
        return len(counts) * max(counts) if self.balanced else sum(counts)

    def order(self, permute: Callable[[int], list[int]]) -> list[int]:
        """The order of an epoch: images of one shard are close to each other, unless the classes take turns."""
        if self.balanced:
            return permute(len(self))
        return datasets.shuffled([file for images in self.images.values() for file in images.files], permute)

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by names that stay the same when the folder moves."""
        files = [file for images in self.images.values() for file in images.files]
        return datasets.named_files("image", self.folder, files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        label, number = self._place(index)
        image = self.crop(self.images[label].read(number, self.crop.resized))
        return {"image": image, "label": torch.tensor(label)}

    def _place(self, index: int) -> tuple[int, int]:
        """The label of an item, and the number of its image within the class."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.balanced:  # the classes take turns
            label = list(self.images)[index % len(self.images)]
            return label, index // len(self.images) % len(self.images[label])
        for label, files in self.images.items():
            if index < len(files):
                return label, index
            index -= len(files)
        raise IndexError(index)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and bool(datasets.image_files(folder))


@hookimpl
def stylekit_datasets() -> dict[str, type[Labelled]]:
    return {"labelled": Labelled}
