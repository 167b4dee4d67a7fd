"""Sets of named images that an evaluation reads, one at a time."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from stylekit import images
from stylekit.datasets.files import existing_folder, find_images
from stylekit.errors import StylekitError
from stylekit.images.recent import Recent
from stylekit.seeding import seeded

Item = TypeVar("Item")
LIMIT = 2**28
"""Bytes of the latest images of a set that are kept."""


class Pictures(Mapping[str, Tensor], ABC):
    """Images ``(1, 3, H, W)`` in [0, 1] by name, rounded to the values of 8-bit files.

    Args:
        names: the names, in order
        what: where the images are from, for messages and the report
    """

    def __init__(self, names: list[str], what: str) -> None:
        if not names:
            raise StylekitError(f"There are no images in {what}.")
        self.names, self.what = names, what
        self._recent: Recent[Tensor] = Recent(LIMIT, lambda image: image.nbytes)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Tensor:
        return self._recent.get(name, lambda: quantised(self.load(name)))

    @abstractmethod
    def load(self, name: str) -> Tensor:
        """Reads an image ``(1, 3, H, W)``."""

    def facts(self) -> dict[str, Any]:
        """What identifies the images, as JSON values."""
        return {"from": self.what, "count": len(self), "sha256": self.digest()}

    def digest(self) -> str:
        """A SHA-256 of all names and images, shortened to 16 digits, as they are compared: after resizing."""
        total = hashlib.sha256()
        for name in self:
            image = self[name]
            total.update(f"{name} {tuple(image.shape)} ".encode(errors="surrogateescape"))
            total.update(images.to_pil(image).tobytes())
        return total.hexdigest()[:16]


class FolderPictures(Pictures):
    """The images of a folder, named by their paths within it. Transparency is composited over white.

    Args:
        folder: the folder
        size: longer side in pixels to which larger images are reduced; 0: they keep their size
        count: number of images, spread evenly over the sorted names; 0: all

    Raises:
        StylekitError: there is no such folder, or it contains no images.
    """

    def __init__(self, folder: Path, size: int = 0, count: int = 0) -> None:
        chosen = spread(find_images(existing_folder(folder)), count)
        self.folder, self.size = folder, size
        super().__init__([file.relative_to(folder).as_posix() for file in chosen], str(folder))

    def facts(self) -> dict[str, Any]:
        rule = f"longer side at most {self.size} pixels, bicubic with antialiasing" if self.size else "none"
        return {**super().facts(), "resizing": rule}

    def load(self, name: str) -> Tensor:
        return read_reduced(self.folder / name, self.size)


class DatasetPictures(Pictures):
    """The images that a data set returns under a key, named by their numbers.

    Args:
        dataset: a data set, whose items contain images ``(3, H, W)``
        key: the key
        count: number of images, spread evenly; 0: all
        what: where they are from

    Raises:
        StylekitError: an item has no such image.
    """

    def __init__(self, dataset: Any, key: str, count: int = 0, what: str = "the data set") -> None:
        super().__init__([f"{number:05}" for number in spread(range(len(dataset)), count)], what)
        if key not in dataset[0]:
            raise StylekitError(f"The items of {what} have no {key!r}, only {', '.join(sorted(dataset[0]))}.")
        self._dataset, self._key = dataset, key

    def load(self, name: str) -> Tensor:
        with seeded("item", int(name)):
            image: Tensor = self._dataset[int(name)][self._key]
        return image[None]


def spread(items: Sequence[Item], count: int) -> Sequence[Item]:
    """``count`` of the items, spread evenly; 0: all."""
    chosen = min(count, len(items)) if count else len(items)
    return [items[index * len(items) // chosen] for index in range(chosen)]


def read_reduced(path: Path, size: int) -> Tensor:
    """The image ``(1, 3, H, W)`` in a file, over white, with a longer side of at most ``size``; 0: its own."""
    return reduced(images.read_over_white(path, size or None), size)


def reduced(image: Tensor, size: int) -> Tensor:
    """The image ``(1, 3, H, W)``, with a longer side of at most ``size``; 0: unchanged."""
    height, width = image.shape[-2:]
    longest = max(height, width)
    return images.resize(image, images.scaled((height, width), size / longest)) if 0 < size < longest else image


def quantised(image: Tensor) -> Tensor:
    """The image, rounded to the values of an 8-bit file."""
    return (image.clamp(0, 1) * 255).round() / 255
