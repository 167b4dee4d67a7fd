"""Folders of images, unpaired: the content, and the style that it is to take on, if there is one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl
from stylekit.images import ImageFiles, square_crop


class Folders(Dataset[dict[str, Tensor]]):
    """Images from a content folder and a style folder, or from a content folder alone, never distorted.

    In training, an item is one content image and a style image drawn at random, each resized, cropped and mirrored at
    random; in testing, image i of both, resized and cropped in the middle. Random numbers are drawn from torch's global
    generator, which the engine seeds for each item. Transparent images are laid over white. A folder divided into
    ``train`` and ``test`` gives the split's images. Files that cannot be read are left out with a warning.

    Args:
        content: folder of content images
        style: folder of style images; without one, items have the content alone
        data: instead of these two, a folder that holds both: trainA and trainB, A and B, or content and style
        size: side of the square images
        seed: not used, as the engine seeds what is random
        split: train or test
        crop: how much larger than the crop the image is resized first (1.12: the paper's 286 to 256)
        flip: mirror half of the images

    Raises:
        StylekitError: a folder is missing, or has no readable image; or arguments do not go together
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
        crop: float = 1.12,
        flip: bool = True,
    ) -> None:
        if split not in datasets.SPLITS:
            raise StylekitError(f"The data set folders has no split {split!r}: there are train and test.")
        if size < 1 or crop < 1:
            raise StylekitError(f"The data set folders needs size >= 1 and crop >= 1, not {size} and {crop}.")
        self.training = split == "train"
        self.size = size
        self.resized = round(size * crop) if self.training else size
        self.flip = flip and self.training
        self.content, *rest = (ImageFiles(folder) for folder in _sides(content, style, data, split))
        self.style = rest[0] if rest else None
        self.item_keys = self.item_keys if rest else ("content",)

    def __len__(self) -> int:
        return max(len(self.content), len(self.style) if self.style else 0)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.style is None:
            return {"content": self._image(self.content, index)}
        other = int(torch.randint(len(self.style), ())) if self.training else index
        return {"content": self._image(self.content, index), "style": self._image(self.style, other)}

    def _image(self, files: ImageFiles, index: int) -> Tensor:
        return square_crop(files.read(index, self.resized), self.size, self.resized, self.training, self.flip)


def _sides(
    content: str | Path | None, style: str | Path | None, data: str | Path | None, split: str
) -> tuple[Path, ...]:
    """The folders of the two sides, or of the content alone."""
    if data is not None and content is None and style is None:
        layout = datasets.find_layout(data, split)
        return layout.content, layout.style
    if data is None and content is not None:
        return tuple(datasets.split_of(folder, split) for folder in (content, style) if folder is not None)
    raise StylekitError(
        "The data set folders needs two folders, --content DIR --style DIR, or one that holds both, --data DIR; for a "
        "method that needs no style images, --content DIR alone."
    )


@hookimpl
def stylekit_datasets() -> dict[str, type[Folders]]:
    return {"folders": Folders}
