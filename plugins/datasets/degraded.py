"""Patches of clean pictures as they are stored, and pairs of these with what a degradation makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from stylekit import Part, StylekitError, datasets, hookimpl, images, make
from stylekit.datasets import SPLITS
from stylekit.images import Degradations, ImageFiles


class Patches(Dataset[dict[str, Tensor]]):
    """Squares of a folder's pictures in their own resolution, because resizing would hide what a restorer has to learn.

    In training, a square is cut out at random and half of them are mirrored; in testing, it is the middle one. Pictures whose
    shorter side is below ``size`` are enlarged to it. Transparent images are composited over white. Of a folder that is divided
    into ``train`` and ``test``, only the images of the split are used. Unreadable files are skipped with a warning.

    Args:
        content: folder of pictures
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        flip: mirror half of the images in training

    Raises:
        StylekitError: the folder is missing or has no readable image, or there is no such split
    """

    item_keys: tuple[str, ...] = ("content",)
    stand_in = "scenes"

    def __init__(
        self,
        content: str | Path | None = None,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        flip: bool = True,
    ) -> None:
        if content is None:
            raise StylekitError("The data set 'patches' needs a folder of pictures: --content DIR.")
        if split not in SPLITS:
            raise StylekitError(f"There is no split {split!r}. Use {' or '.join(map(repr, SPLITS))}.")
        self.folder = datasets.split_of(content, split)
        self.files = ImageFiles(self.folder)
        self.size, self.training, self.flip = size, split == "train", flip and split == "train"

    def __len__(self) -> int:
        return len(self.files)

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by names that stay the same when the folder moves."""
        return datasets.named_files("content", self.folder, self.files.files)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        image = self.files.read(index)
        resized = max(self.size, min(image.shape[-2:]))
        return {"content": images.square_crop(image, self.size, resized, self.training, self.flip)}


class Degraded(Dataset[dict[str, Tensor]]):
    """Pairs for any method that learns from pairs: what a degradation makes of a clean picture, and that picture.

    The content of an item is the degraded picture, and its style the clean one. What a degradation makes smaller is enlarged
    again, bicubically, so both have one size. The same item of the same epoch is always degraded in the same way.

    Args:
        degradation: the degradation, or several that are applied one after another
        clean: the data set whose content images are the clean pictures
        content: folder of pictures, for data sets that read one
        size: side of the square images
        seed: seed of data sets that draw their images
        split: train or test

    Raises:
        StylekitError: the clean pictures or the degradation cannot be built
    """

    item_keys = ("content", "style")
    paired = True
    stand_in = {"name": "degraded", "clean": "scenes"}  # noqa: RUF012

    def __init__(
        self,
        degradation: Part | tuple[Part, ...] = "gaussian-noise",
        clean: Part = "patches",
        content: str | Path | None = None,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        folder: Mapping[str, Any] = {} if content is None else {"content": content}
        self.clean = make("dataset", clean, **folder, size=size, seed=seed, split=split)
        self.channels, self.intensities = getattr(self.clean, "channels", 3), getattr(self.clean, "intensities", None)
        self.degrade = Degradations(degradation, rounded=self.intensities is None)

    def __len__(self) -> int:
        return len(self.clean)

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files of the clean pictures, if there are any."""
        files: dict[str, datasets.AnyFile] = self.clean.data_files() if hasattr(self.clean, "data_files") else {}
        return files

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        clean: Tensor = self.clean[index]["content"]
        degraded = self.degrade(clean[None])
        if self.degrade.scale > 1:
            height, width = clean.shape[-2:]
            degraded = images.resize(degraded, (height, width))
        return {"content": degraded[0], "style": clean}


@hookimpl
def stylekit_datasets() -> dict[str, type[Dataset[dict[str, Tensor]]]]:
    return {"patches": Patches, "degraded": Degraded}
