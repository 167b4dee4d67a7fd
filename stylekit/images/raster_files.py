"""The files of a folder, as images with any number of channels in [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylekit.datasets import find_images
from stylekit.errors import StylekitError
from stylekit.images.intensities import Intensities
from stylekit.images.rasters import raster_suffixes, read_raster

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

    def read(self, index: int, random: bool = False) -> Tensor:
        """Reads image ``index`` as ``(1, C, H, W)`` in [0, 1]; of several pages, the middle one.

        Args:
            index: number of the file
            random: of several pages, one that torch's random numbers choose

        Raises:
            StylekitError: it cannot be read, or has other channels.
        """
        import torch

        raster = read_raster(self.files[index], self.channels)
        pages = len(raster.values)
        page = int(torch.randint(pages, ())) if random and pages > 1 else pages // 2
        unit = self.intensities.scale(raster.values).to_unit(raster.values[page])
        return torch.from_numpy(unit).permute(2, 0, 1)[None].contiguous()
