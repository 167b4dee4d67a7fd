"""Stylises the pictures of requests: a thread for each picture that a model stylises at the same time."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylekit import images
from stylekit.cli.concurrency import Concurrency
from stylekit.cli.engines import Stylizer
from stylekit.cli.masks import mask_reader
from stylekit.cli.style_arguments import STYLE_FILE
from stylekit.datasets.files import SUFFIXES
from stylekit.errors import StylekitError, suggest
from stylekit.images.recent import Recent
from stylekit.images.resizing import reduced

MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
"""Formats of outputs, and their media types."""
REMEMBERED = 2**28
"""Bytes of described styles that are kept."""
MOST_STYLES = 16
"""The most styles of a job."""


class TooLarge(StylekitError):
    """A picture has more pixels than the service accepts."""


@dataclass(frozen=True)
class StyleInput:
    """A style of a request: the content of an image or style file, or the name of one in the gallery, and its weight."""

    data: bytes | None = None
    name: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Job:
    """What a request asks for.

    Attributes:
        content: the file of the picture
        styles: styles that are blended
        mask: the file of a mask: white where the blend of the styles applies; None: everywhere
        strength, keep_color, style_scale, seed: as for ``stylekit stylize``
        max_size: maximum length of the longer side in pixels; 0: the picture keeps its size
        format: png, jpg or webp
        model: name of the model; by default the first
    """

    content: bytes
    styles: Sequence[StyleInput] = ()
    mask: bytes | None = None
    strength: float = 1.0
    keep_color: str | None = None
    style_scale: float = 1.0
    seed: int = 0
    max_size: int = 0
    format: str = "png"
    model: str = ""

    def __post_init__(self) -> None:
        if self.format not in MEDIA:
            raise StylekitError(f"The format must be one of {', '.join(MEDIA)}, not {self.format!r}.")
        if len(self.styles) > MOST_STYLES:
            raise StylekitError(f"There are {len(self.styles)} styles, but at most {MOST_STYLES} are blended.")
        if self.max_size < 0:
            raise StylekitError("The maximum size must be a number of pixels, or 0.")


@dataclass
class Gallery:
    """The styles in a folder: images and style files, by name."""

    files: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path | None) -> Gallery:
        """The styles of a folder; none without one.

        Raises:
            StylekitError: there is no such folder.
        """
        if folder is None:
            return cls()
        if not folder.is_dir():
            raise StylekitError(f"There is no folder {folder}.")
        known = (*SUFFIXES, STYLE_FILE)
        return cls(
            {each.name: each for each in sorted(folder.iterdir()) if each.suffix.lower() in known and each.is_file()}
        )

    def kind(self, name: str) -> str:
        """What a style is: an image or a style file."""
        return "style file" if self.files[name].suffix.lower() == STYLE_FILE else "image"

    def __getitem__(self, name: str) -> Path:
        if name not in self.files:
            raise StylekitError(f"There is no style {name!r} in the gallery.")
        return self.files[name]


class Worker:
    """Stylises jobs in threads.

    Args:
        model: the model
        concurrency: how many pictures it stylises at once
        gallery: styles by name
        max_pixels: the most pixels that a picture may have
    """

    def __init__(self, model: Stylizer, concurrency: Concurrency, gallery: Gallery, max_pixels: int) -> None:
        self.model, self.gallery, self.max_pixels = model, gallery, max_pixels
        self.needs_style = _needs_style(model)
        self._pool = ThreadPoolExecutor(concurrency.at_once, "stylise", concurrency.prepare)
        self._styles: Recent[Any] = Recent(REMEMBERED, _bytes_of)
        self._lock = threading.Lock()

    def submit(self, job: Job) -> Future[bytes]:
        """Starts a job when a thread is free; the result is the content of the stylised file."""
        return self._pool.submit(self._run, job)

    def close(self) -> None:
        """Waits for the jobs that have started, and cancels the others."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, job: Job) -> bytes:
        with tempfile.TemporaryDirectory(prefix="stylekit-") as name:
            folder = Path(name)
            try:
                return self._stylized(job, folder)
            except StylekitError as error:  # the names of temporary files mean nothing to the user
                kind = TooLarge if isinstance(error, TooLarge) else StylekitError
                raise kind(str(error).replace(f"{folder}/", "")) from error

    def _stylized(self, job: Job, folder: Path) -> bytes:
        content = self._checked(folder / "content", job.content)
        picture = reduced(images.read(content, job.max_size or None, self.model.arrays), job.max_size)
        read_mask = mask_reader(self.model.arrays)
        mask = [] if job.mask is None else [read_mask(self._checked(folder / "mask", job.mask))]
        styles = [
            (self._style(folder, number, each, job.style_scale), each.weight) for number, each in enumerate(job.styles)
        ]
        if mask and styles:
            styles = [(self._blended(styles), 1.0)]
        self.model.require_memory(*picture.image.shape[-2:])
        made = self.model.stylize_picture(
            picture, styles, strength=job.strength, keep_color=job.keep_color, mask=mask, seed=job.seed
        )
        out = folder / f"out.{job.format}"
        images.write(out, made)
        return out.read_bytes()

    def _checked(self, path: Path, data: bytes) -> Path:
        """Writes the content of a file, and checks its number of pixels by its header."""
        path.write_bytes(data)
        height, width = images.size(path)
        if height * width > self.max_pixels:
            raise TooLarge(
                f"{path} has {width}x{height} pixels, but at most {self.max_pixels / 1e6:g} million are accepted. "
                "Reduce it first."
            )
        return path

    def _blended(self, styles: Sequence[tuple[Any, float]]) -> Any:
        """The blend of styles as one style, which a mask can have."""
        if self.model.arrays:
            import numpy as np

            from stylekit.inference.exported.styles import ArrayStyle
            from stylekit.inference.exported.styles import blend as blend_arrays

            return ArrayStyle(blend_arrays(styles), np.ones(1, np.float32))
        import torch

        from stylekit.inference.styles import Style, blend

        first = styles[0][0]
        return Style(blend(styles), torch.ones(1), first.key, first.method)

    def _style(self, folder: Path, number: int, style: StyleInput, scale: float) -> Any:
        """A style as the model describes it, which is remembered: a slider should not describe it again."""
        key = (hashlib.sha256(style.data).digest() if style.data is not None else style.name, scale)
        with self._lock:
            known = self._styles.find(key)
        described = known or self._described(folder, number, style, scale)  # without the lock, as it may take long
        with self._lock:
            return self._styles.get(key, lambda: described)

    def _described(self, folder: Path, number: int, style: StyleInput, scale: float) -> Any:
        if style.data is None:
            known = style.name in self.model.learned_styles()
            return self.model.style(style.name if known else str(self.gallery[style.name]), scale)
        is_style_file = style.data[8:9] == b"{"  # as in all safetensors files
        path = folder / f"style-{number + 1}{STYLE_FILE if is_style_file else ''}"
        path.write_bytes(style.data)
        return self.model.style(str(path if is_style_file else self._checked(path, style.data)), scale)


class Models:
    """The models of the service, by name. Each is loaded when it is first asked for, in a thread, and then kept.

    Args:
        names: the names, the default first
        load: loads one
    """

    def __init__(self, names: Sequence[str], load: Callable[[str], Worker]) -> None:
        self.names = list(dict.fromkeys(names))
        self._load, self._loaded = load, dict[str, Future[Worker]]()
        self._loader = ThreadPoolExecutor(1, "load")

    def find(self, name: str = "") -> Future[Worker]:
        """The model of a name, or the first; another attempt to load it if the last one failed.

        Raises:
            StylekitError: there is no model of that name.
        """
        name = name or self.names[0]
        if name not in self.names:
            raise StylekitError(f"There is no model {name!r} here. {suggest(name, self.names)}")
        known = self._loaded.get(name)
        if known is None or (known.done() and known.exception()):
            self._loaded[name] = self._loader.submit(self._load, name)
        return self._loaded[name]

    def loaded(self) -> dict[str, Worker]:
        """The models that are in memory."""
        done = {name: future for name, future in self._loaded.items() if future.done() and not future.exception()}
        return {name: done[name].result() for name in self.names if name in done}

    def close(self) -> None:
        """Waits for the jobs that have started, and cancels the others."""
        self._loader.shutdown(cancel_futures=True)
        for worker in self.loaded().values():
            worker.close()


def _needs_style(model: Stylizer) -> bool:
    """Whether a model stylises nothing without a style."""
    try:
        model.resolve_styles([])
    except StylekitError:
        return True
    return False


def _bytes_of(style: Any) -> int:
    return sum(int(rows.nbytes) for rows in style.statistics.values())
