"""Large images: how they are stylised in tiles, and what the command line says about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from stylekit import images
from stylekit._files import explain_os_errors
from stylekit.cli.engines import Stylizer
from stylekit.cli.output import echo
from stylekit.cli.targets import Job
from stylekit.errors import StylekitError

if TYPE_CHECKING:
    from stylekit.images import Canvas, Decoded
    from stylekit.inference.tiles import Tiles

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def read_size(text: str) -> int:
    """The bytes that a text such as 2GB, 500M or 1.5GiB stands for.

    Raises:
        StylekitError: it is no size.
    """
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise StylekitError(f"--max-memory {text!r} is no size. Write one such as 2GB or 500MB.")
    number, power, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** POWERS[power.lower()])


def read_tiles(side: int | None, statistics: str, memory: str | None) -> Tiles | None:
    """What the user wants of tiles; None: nothing. Who allows an amount of memory may have images above Pillow's limit.

    Raises:
        StylekitError: a value is invalid.
    """
    if side is None and statistics == "auto" and memory is None:
        return None
    from stylekit.inference.tiles import Tiles

    if memory is not None:
        Image.MAX_IMAGE_PIXELS = None
    return Tiles(side, statistics, None if memory is None else read_size(memory))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Large:
    """Stylises the images that are too large to be stylised at once.

    Attributes:
        model: the model
        tiles: what the user wants of tiles
        resume: go on with images that were interrupted
        depth: bits per channel of the outputs; None: those of the images
        quality: quality of lossy formats
        key: what else the outputs depend on
    """

    model: Stylizer
    tiles: Tiles | None
    resume: bool
    depth: int | None
    quality: int | None
    key: str

    def takes(self, height: int, width: int, options: Mapping[str, Any]) -> bool:
        """Whether an image is stylised in tiles."""
        if self.model.arrays:
            return False
        from stylekit.inference.model import Model

        assert isinstance(self.model, Model)
        return self.model.takes_tiles(height, width, options, self.tiles)

    @cached_property
    def _model_key(self) -> str:
        """A key of the model, whose weights are read once for all images."""
        from stylekit.cli.fingerprints import fingerprint
        from stylekit.inference.model import Model

        assert isinstance(self.model, Model)
        return fingerprint(self.model.method.arguments, self.model.method.state_dict())

    def stylize(
        self, job: Job, picture: Decoded, style: Any, on_progress: Callable[[int, int], None], **options: Any
    ) -> Canvas:
        """Stylises an image on a canvas."""
        from stylekit.cli.fingerprints import fingerprint
        from stylekit.inference.model import Model

        assert isinstance(self.model, Model)
        height, width = (side * self.model.method.scale for side in picture.size)
        source = job.source.stat()
        with explain_os_errors(job.target):
            job.target.parent.mkdir(parents=True, exist_ok=True)
        canvas = images.Canvas(
            job.target,
            (height, width),
            picture.part(slice(1), slice(1)),
            depth=self.depth,
            quality=self.quality,
            key=fingerprint(source.st_size, source.st_mtime_ns, self.tiles, self.key, style, options, self._model_key),
            resume=self.resume,
        )
        try:
            self.model.stylize_large(picture, canvas, style, tiles=self.tiles, on_progress=on_progress, **options)
        except KeyboardInterrupt:
            if not canvas.begun:
                canvas.discard()
                raise
            canvas.close()
            echo(
                f"The tiles of {job.source} that are finished were kept. Add --resume to go on with them.", stderr=True
            )
            raise
        except BaseException:
            canvas.discard()
            raise
        return canvas
