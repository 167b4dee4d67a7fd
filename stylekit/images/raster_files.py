"""The files of a folder, as images with any number of channels in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stylekit.datasets import find_images
from stylekit.errors import StylekitError
from stylekit.images.intensities import Classes, Intensities, Scale
from stylekit.images.rasters import Raster, raster_suffix, raster_suffixes, read_raster

if TYPE_CHECKING:
    from torch import Tensor


class RasterFiles:
    """The images of a folder, of every type that :func:`stylekit.images.read_raster` reads, mapped to [0, 1].

    Args:
        folder: the folder
        channels: the number of channels that every file must have
        intensities: the mapping

    Raises:
        StylekitError: the folder does not exist, or has no images.
    """

    def __init__(self, folder: Path | str, channels: int, intensities: Intensities) -> None:
        self.folder, self.channels, self.intensities = Path(folder), channels, intensities
        self.files = find_images(folder, raster_suffixes())
        if not self.files:
            raise StylekitError(f"There are no images in {folder} ({', '.join(raster_suffixes())}).")

    def __len__(self) -> int:
        return len(self.files)

    def by_name(self) -> dict[str, int]:
        """The number of each file by its relative path without a suffix.

        Raises:
            StylekitError: two files differ only in their suffixes.
        """
        found: dict[str, int] = {}
        for index, file in enumerate(self.files):
            name = file.relative_to(self.folder).as_posix()
            stem = name[: -len(raster_suffix(name) or "")]
            if (other := found.setdefault(stem, index)) != index:
                raise StylekitError(
                    f"{self.files[other]} and {file} differ only in their suffixes, so their partner is ambiguous. Rename one "
                    "of them."
                )
        return found

    def open(self, index: int) -> Pages:
        """The pages of file ``index``.

        Raises:
            StylekitError: it cannot be read, or has other channels.
        """
        file = self.files[index]
        raster = read_raster(file, self.channels)
        try:
            return Pages(file, raster, self.intensities.scale(raster.values))
        except StylekitError as error:
            raise StylekitError(f"{file} cannot be used. {error}") from None


@dataclass(frozen=True, eq=False)
class Pages:
    """The pages or slices of a file, as images in [0, 1].

    Attributes:
        file: the file
        raster: what it holds
        scale: how its values are mapped
    """

    file: Path
    raster: Raster
    scale: Scale | Classes

    def __len__(self) -> int:
        return len(self.raster.values)

    def draw(self, random: bool) -> int:
        """The number of the middle page, or one that torch's random numbers choose."""
        import torch

        count = len(self)
        return int(torch.randint(count, ())) if random and count > 1 else count // 2

    def __getitem__(self, number: int) -> Tensor:
        """Page ``number`` as ``(1, C, H, W)``."""
        import torch

        unit = self.scale.to_unit(self.raster.values[number])
        return torch.from_numpy(unit).permute(2, 0, 1)[None].contiguous()
