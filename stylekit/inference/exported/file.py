"""An exported model: its file, and the one that describes styles for it. Does not import torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stylekit.errors import StylekitError
from stylekit.inference.exported.card import Array, Card, describing
from stylekit.inference.exported.runtimes import Runtime, open_runtime


class ExportedFile:
    """An exported file, with the one that describes styles.

    Args:
        path: the file
        engine: as for :func:`open_runtime`
        threads: likewise
        device: likewise

    Raises:
        StylekitError: a file is missing, or cannot be run.
    """

    def __init__(
        self,
        path: Path,
        engine: str = "auto",
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.path = path
        pool = ThreadPoolExecutor(1)  # both files are loaded at the same time
        self._describe = pool.submit(open_runtime, describing(path), engine, threads, device)
        pool.shutdown(wait=False)
        self.main: Runtime = open_runtime(path, engine, threads, device)
        self.card: Card = self.main.card

    def describe(self, image: Array) -> dict[str, Array]:
        """The statistics of a style image ``(1, 3, H, W)``, by name.

        Raises:
            StylekitError: there is no file that describes styles, or it belongs to another model.
        """
        if not describing(self.path).is_file():
            raise StylekitError(
                f"{self.path} needs {describing(self.path)} to describe styles. Put it next to the file."
            )
        runtime = self._describe.result()
        if runtime.card.graph != "describe" or runtime.card.weights != self.card.weights:
            raise StylekitError(f"{describing(self.path)} belongs to another model than {self.path}. Export it again.")
        return dict(zip(self.card.statistics, runtime.run({"image": image}), strict=True))

    def stylize(self, image: Array, style: dict[str, Array], strength: float = 1.0) -> Array:
        """Stylises images ``(N, 3, H, W)`` with statistics."""
        given = {"strength": np.array(strength, np.float32)} if self.card.strength == "input" else {}
        return self.main.run({"image": image, **style, **given})[0]

    def sample(self, codes: Array) -> Array:
        """Draws images from codes ``(N, ...)``."""
        return self.main.run({"codes": codes})[0]
