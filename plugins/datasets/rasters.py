"""Images of any type and number of channels: grey, 16 bits, floating point, slices of volumes; unpaired, or in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl
from stylekit.images import Crop, Intensities, RasterFiles, SquareCrop
from stylekit.layers import Width

Limits = tuple[float, float]
"""A smaller and a larger number."""


class Rasters(Dataset[dict[str, Tensor]]):
    """Images of TIFF, NPY, PNG and other files from a content folder and a style folder, or from a content folder alone.

    Values are mapped to [0, 1] as ``window`` or ``percentile`` says, and a model that is trained on them maps its results back.
    In training, an item is a content image and a random style image: of volumes, a random slice, and of each a random square.
    In testing, it is image i of both folders: the middle slice and the middle square. Of a folder that is divided into
    ``train`` and ``test``, only the files of the split are used.

    Args:
        content: folder of content images
        style: folder of style images; without it, items contain only the content
        data: instead of these two, a folder that contains both: trainA and trainB, A and B, or content and style
        channels: number of channels of every file
        window: the values that become 0 and 1, such as ``[-1000, 400]`` for Hounsfield units; values outside are clipped. By
            default, the range of the type, and floats are taken as they are
        percentile: instead of a window, the percentiles of each channel of each file that become 0 and 1, such as
            ``[0.5, 99.5]``, for values without a unit
        style_window: the values of style images that become 0 and 1, if they have another unit; results are floats in it
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, before they are cropped in training, or a range of it; by
            default, images keep their resolution, which has a meaning if pixels have a size
        flip: mirror half of the images in training; off, because left and right may have a meaning
        rotate: largest angle, in degrees, by which images are rotated in training
        noise: standard deviation of noise that is added in training, in [0, 1]

    Raises:
        StylekitError: a folder is missing or has no image, or the arguments contradict each other
    """

    item_keys: tuple[str, ...] = ("content", "style")
    stand_in = "scenes"

    def __init__(
        self,
        content: str | Path | None = None,
        style: str | Path | None = None,
        data: str | Path | None = None,
        channels: Width = 1,
        window: Limits | None = None,
        percentile: Limits | None = None,
        style_window: Limits | None = None,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: Crop | None = None,
        flip: bool = False,
        rotate: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        self.channels, self.intensities = channels, Intensities(window, percentile)
        other = Intensities(style_window) if style_window else self.intensities
        self.results = None if other == self.intensities else other
        self.crop = SquareCrop(size, split, crop, flip, rotate, noise)
        folders = datasets.find_sides("rasters", content, style, data, split)
        if style_window and len(folders) < 2:
            raise StylekitError("The option 'style_window' needs a folder of style images: --style DIR.")
        mappings = (self.intensities, other)
        self.sides = [RasterFiles(folder, channels, each) for folder, each in zip(folders, mappings, strict=False)]
        self.item_keys = self.item_keys[: len(self.sides)]

    def __len__(self) -> int:
        return max(map(len, self.sides))

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by names that stay the same when the folders move."""
        return _files_of(self.item_keys, self.sides)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        content, *others = self.sides
        drawn = (int(torch.randint(len(side), ())) if self.crop.training else index for side in others)
        return {
            key: self._image(side, number)
            for key, side, number in zip(self.item_keys, (content, *others), (index, *drawn), strict=True)
        }

    def _image(self, files: RasterFiles, index: int) -> Tensor:
        pages = files.open(index % len(files))
        return self.crop(pages[pages.draw(self.crop.training)])


class RasterPairs(Dataset[dict[str, Tensor]]):
    """Pairs of such images, of the same size and with the same relative path, apart from the suffix, in two folders.

    Both are cropped and mirrored in the same way; of volumes, the slices with the same number are a pair. Style images may be
    label maps, whose values are the numbers of classes: each class is a channel, and a model writes numbers again.

    Args:
        content: folder of content images
        style: folder of style images
        data: instead of these two, a folder that contains both: trainA and trainB, A and B, or content and style
        reverse: swap content and style
        channels: number of channels of every file that is no label map
        window: the values that become 0 and 1, as for the data set ``rasters``
        percentile: instead of a window, percentiles of each channel of each file
        style_window: the values of style images that become 0 and 1, if they have another unit; results are floats in it
        labels: instead, style images are label maps of so many classes
        size: side of the square images
        seed: not used, because the engine seeds all random numbers
        split: train or test
        crop: side of the resized images relative to ``size``, or a range of it; by default, images keep their resolution
        flip: mirror half of the pairs in training
        rotate: largest angle, in degrees, by which pairs are rotated in training
        noise: standard deviation of noise that is added in training, in [0, 1]

    Raises:
        StylekitError: a folder or a partner is missing, the images of a pair have different sizes, or the arguments contradict
            each other
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
        channels: Width = 1,
        window: Limits | None = None,
        percentile: Limits | None = None,
        style_window: Limits | None = None,
        labels: Width | None = None,
        size: int = 256,
        seed: int = 0,
        split: str = "train",
        crop: Crop | None = None,
        flip: bool = False,
        rotate: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        mapping, self.reverse = Intensities(window, percentile), reverse
        other = Intensities(style_window, labels=labels) if style_window or labels else mapping
        self.classes_of = labels
        self.crop = SquareCrop(size, split, crop, flip, rotate, noise)
        folders = datasets.find_sides("raster-pairs", content, style, data, split)
        if len(folders) < 2:
            raise StylekitError("The data set 'raster-pairs' needs two folders: --content DIR --style DIR.")
        self.sides = [
            RasterFiles(folders[0], channels, mapping),
            RasterFiles(folders[1], 1 if labels else channels, other),
        ]
        ends = [(mapping.channels(channels), mapping), (other.channels(channels), other)]
        (self.channels, self.intensities), (self.style_channels, result) = reversed(ends) if reverse else ends
        self.results = None if result == self.intensities else result
        first, second = (side.by_name() for side in self.sides)
        if alone := [name for name in {**first, **second} if name not in first or name not in second]:
            raise StylekitError(
                f"{len(alone)} files in {self.sides[0].folder} and {self.sides[1].folder} have no partner of the same name, "
                f"such as {alone[0]}. Rename them, or add their partners."
            )
        self.pairs = [(first[name], second[name]) for name in first]

    def __len__(self) -> int:
        return len(self.pairs)

    def data_files(self) -> dict[str, datasets.AnyFile]:
        """The files by names that stay the same when the folders move."""
        return _files_of(self.item_keys, self.sides)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        content, style = (side.open(number) for side, number in zip(self.sides, self.pairs[index], strict=True))
        shapes = [pages.raster.values.shape[:3] for pages in (content, style)]
        if shapes[0] != shapes[1]:
            raise StylekitError(
                f"{content.file} and {style.file} are a pair, but have {' and '.join(map(_described, shapes))}. Make them "
                "equal."
            )
        number = content.draw(self.crop.training)
        pictures = [content[number], style[number]]
        one, two = self.crop(torch.cat(pictures, 1)).split([picture.shape[1] for picture in pictures])
        if self.classes_of:  # resized, rotated and noisy ones are classes again
            two = functional.one_hot(two.argmax(0), self.classes_of).permute(2, 0, 1).float()
        return dict(zip(self.item_keys, (two, one) if self.reverse else (one, two), strict=True))


def _files_of(keys: Sequence[str], sides: Sequence[RasterFiles]) -> dict[str, datasets.AnyFile]:
    """The files of all sides, by names that start with the key of each."""
    return {
        name: file
        for key, side in zip(keys, sides, strict=True)
        for name, file in datasets.named_files(key, side.folder, side.files).items()
    }


def _described(shape: tuple[int, ...]) -> str:
    pages, height, width = shape
    return f"{pages} slices of {width}x{height} pixels"


@hookimpl
def stylekit_datasets() -> dict[str, type[Dataset[dict[str, Tensor]]]]:
    return {"rasters": Rasters, "raster-pairs": RasterPairs}
