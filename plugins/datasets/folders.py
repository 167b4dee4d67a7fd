"""Folders of pictures, unpaired: the content, and the style that it is to take on, if there is one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylekit import StylekitError, datasets, hookimpl, images, warn

LONGEST = 4
"""A picture longer than this many times its shorter side is cut first: whole, it may take gigabytes."""


class Folders(Dataset[dict[str, Tensor]]):
    """Pictures from a content folder and a style folder, or from a content folder alone, never distorted.

    To train, an item is one content picture and a style picture drawn at random, each resized, cropped and
    mirrored at random; to test, picture i of both, resized and cropped in the middle. What is random is drawn
    from torch's global generator, which the engine seeds for each item. Transparent pictures are laid over
    white. A folder divided into ``train`` and ``test`` gives the split's pictures. Files that cannot be read
    are left out with a warning.

    Args:
        content: folder of content pictures
        style: folder of style pictures; without one, items have the content alone
        data: instead of these two, a folder that holds both: trainA and trainB, A and B, or content and style
        size: side of the square images
        seed: not used, as the engine seeds what is random
        split: train or test
        crop: how much larger than the crop the picture is resized first (1.12: the paper's 286 to 256)
        flip: mirror half of the pictures

    Raises:
        StylekitError: a folder is missing, or has no readable picture; or arguments do not go together
    """

    item_keys: tuple[str, ...] = ("content", "style")

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
            raise StylekitError(f"The data set folders needs size and crop from 1 up, not {size} and {crop}.")
        self.training = split == "train"
        self.size = size
        self.resized = round(size * crop) if self.training else size
        self.flip = flip and self.training
        self.content, *rest = _readable(*_sides(content, style, data, split))
        self.style = rest[0] if rest else []
        self.item_keys = self.item_keys if rest else ("content",)
        self._damaged: set[Path] = set()

    def __len__(self) -> int:
        return max(len(self.content), len(self.style))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if not self.style:
            return {"content": self._image(self.content, index)}
        other = int(torch.randint(len(self.style), ())) if self.training else index
        return {"content": self._image(self.content, index), "style": self._image(self.style, other)}

    def _image(self, files: list[Path], index: int) -> Tensor:
        """The square image ``(3, size, size)`` of a file, or of the next one that can be decoded."""
        for step in range(len(files)):
            file = files[(index + step) % len(files)]
            if file in self._damaged:
                continue
            try:
                picture = images.read(file, least=self.resized)
            except StylekitError as problem:
                self._damaged.add(file)
                warn(f"{problem} The next picture takes its place; see: stylekit data check {file.parent}")
                continue
            return self._square(images.over_white(picture.image, picture.alpha))
        folder = files[0].parent
        raise StylekitError(f"No picture in {folder} can be read. See: stylekit data check {folder}")

    def _square(self, image: Tensor) -> Tensor:
        short = min(image.shape[-2:])
        image = self._window(image, LONGEST * short)
        height, width = (max(self.resized, round(side * self.resized / short)) for side in image.shape[-2:])
        image = self._window(images.resize(image, (height, width)), self.size)
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return image[0].contiguous()

    def _window(self, image: Tensor, side: int) -> Tensor:
        """A part of the image with sides of at most ``side``: anywhere to train, in the middle to test."""
        for dim in (-2, -1):
            length = min(side, image.shape[dim])
            room = image.shape[dim] - length
            start = int(torch.randint(room + 1, ())) if self.training else room // 2
            image = image.narrow(dim, start, length)
        return image


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
        "The data set folders needs two folders, --content DIR --style DIR, or one with both, --data DIR; for a method "
        "that needs no style pictures, --content DIR alone."
    )


def _readable(*folders: Path) -> tuple[list[Path], ...]:
    """The pictures of each folder that can be read, as far as that is told quickly; one warning for all the others."""
    sides: list[list[Path]] = []
    problems: list[str] = []
    for folder in folders:
        files = datasets.find_images(folder)
        good = [file for file in files if _opens(file, problems)]
        if not good:
            reason = "can be read" if files else f"are there ({', '.join(datasets.SUFFIXES)})"
            raise StylekitError(f"No pictures in {folder} {reason}. See: stylekit data check {folder}")
        sides.append(good)
    if problems:
        more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
        warn(
            f"{len(problems)} pictures are left out: {' '.join(problems[:10])}{more} "
            f"See: stylekit data check {' and '.join(map(str, folders))}"
        )
    return tuple(sides)


TAILS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""How whole files end, give or take some bytes that a camera appends."""


def _opens(file: Path, problems: list[str]) -> bool:
    """Whether the header can be read, and the file is whole by its end; if that looks odd, the pixels are decoded."""
    try:
        with datasets.open_image(file) as image:
            if TAILS.get(image.format or "", b"") not in _tail(file):
                image.load()
            return True
    except StylekitError as problem:
        problems.append(str(problem))
        return False


def _tail(file: Path) -> bytes:
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - 64))
        return content.read()


@hookimpl
def stylekit_datasets() -> dict[str, type[Folders]]:
    return {"folders": Folders}
