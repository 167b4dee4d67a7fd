"""The readable images of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylekit.datasets import SUFFIXES, AnyFile, Member, image_files, open_image, shuffled
from stylekit.errors import StylekitError, warn
from stylekit.images.reading import read_over_white

if TYPE_CHECKING:
    from torch import Tensor


class ImageFiles:
    """The readable images of a folder, of shards or of a list of files. One warning lists the unreadable ones.

    A file that turns out to be damaged later is skipped with a warning, and the next one is used instead. Images in shards
    are not opened before they are used.

    Args:
        source: a folder, shards (:func:`stylekit.datasets.image_files`), or files
        what: name of the source in messages

    Raises:
        StylekitError: the folder does not exist, or contains no readable image.
    """

    def __init__(self, source: str | Path | Sequence[AnyFile], what: str | None = None) -> None:
        files = image_files(source) if isinstance(source, str | Path) else list(source)
        self.what = what or str(source)
        problems: list[str] = []
        self.files = [file for file in files if isinstance(file, Member) or _opens(file, problems)]
        if not self.files:
            reason = (
                f"None of the images in {self.what} can be read"
                if files
                else f"There are no images in {self.what} ({', '.join(SUFFIXES)})"
            )
            raise StylekitError(f"{reason}. See: stylekit data check {self.what}")
        if problems:
            more = f" And {len(problems) - 10} more." if len(problems) > 10 else ""
            warn(
                f"{len(problems)} images are skipped: {' '.join(problems[:10])}{more} See: stylekit data check {self.what}"
            )
        self._damaged: set[AnyFile] = set()

    def __len__(self) -> int:
        return len(self.files)

    def order(self, permute: Callable[[int], list[int]]) -> list[int]:
        """A random order of the images, as :func:`stylekit.datasets.shuffled` makes it."""
        return shuffled(self.files, permute)

    def read(self, index: int, least: int | None = None) -> Tensor:
        """Reads image ``index`` as ``(1, 3, H, W)``, composited over white; ``least`` as in :func:`read_over_white`.

        Raises:
            StylekitError: no image can be decoded.
        """
        for step in range(len(self.files)):
            file = self.files[(index + step) % len(self.files)]
            if file in self._damaged:
                continue
            try:
                return read_over_white(file, least)
            except StylekitError as problem:
                self._damaged.add(file)
                place = file.shard.place if isinstance(file, Member) else file.parent
                warn(f"{problem} The next image is used instead. See: stylekit data check {place}")
        raise StylekitError(f"No image in {self.what} can be read. See: stylekit data check {self.what}")


TAILS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The last bytes of complete files; cameras may append a few more."""


def _opens(file: Path, problems: list[str]) -> bool:
    """Whether the header can be read and the file ends like a complete one; with another ending, the pixels are decoded."""
    try:
        with open_image(file) as image:
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
