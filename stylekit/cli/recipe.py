"""What images are stylised with: everything that the outputs depend on, besides the images themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylekit.cli.digests import digest
from stylekit.cli.model_arguments import Models
from stylekit.cli.style_arguments import StyleMix
from stylekit.registry import lookup

if TYPE_CHECKING:
    from stylekit.cli.concurrency import Concurrency
    from stylekit.cli.masks import Masks
    from stylekit.cli.stylizing import Request


@dataclass(frozen=True)
class Recipe:
    """What ``stylekit stylize`` is given for all images.

    Attributes:
        models: name or path of each model, and its weight in a blend
        options: options of the method's constructor, ``--set``
        with_: options of the method for each image, ``--with``, as they are read
        torch_only: the given options that only torch supports
        engine, device: what computes
        plugins: files with plugins
        mixes: the styles of each output of an image
        masks: for each region an image, or a folder with an image for each picture
        strength, keep_color, style_scale, seed, max_size, tile, statistics, max_memory: as for the command
        depth, quality: of the files that are written
    """

    models: Models
    options: Mapping[str, Any] = field(default_factory=dict)
    with_: Mapping[str, Any] = field(default_factory=dict)
    torch_only: Sequence[str] = ()
    engine: str = "auto"
    device: str = "auto"
    plugins: Sequence[Path] = ()
    mixes: Sequence[StyleMix] = (StyleMix(None, ()),)
    masks: Sequence[Path] = ()
    strength: float = 1.0
    keep_color: str | None = None
    style_scale: float = 1.0
    seed: int = 0
    max_size: int | None = None
    tile: int | None = None
    statistics: str = "auto"
    max_memory: str | None = None
    depth: int | None = None
    quality: int | None = None

    def check(self) -> None:
        """Checks what can be checked without the model.

        Raises:
            StylekitError: a value is invalid.
        """
        from stylekit.cli.large import read_tiles
        from stylekit.inference import controls

        controls.check_controls(self.strength, self.keep_color)
        controls.check_scale(self.style_scale)
        read_tiles(self.tile, self.statistics, self.max_memory)

    def open(
        self, masks: Masks, images: int, sources: Sequence[Path] = (), resume: bool = False, quiet: bool = True
    ) -> tuple[Request, dict[str, Any], Callable[[Mapping[str, Any]], Concurrency]]:
        """Loads the model and describes the styles.

        Args:
            masks: the masks of every picture
            images: number of images
            sources: the images' files, if they are known
            resume: go on with large images that were interrupted
            quiet: show no progress

        Returns:
            the request, the method's options, and what tells by these how many images are stylised at once

        Raises:
            StylekitError: there is no such model, or an option does not fit it, or no style can be used.
        """
        for file in self.plugins:
            lookup.add_file(file)
        self.check()
        from stylekit.cli.engines import open_stylizer
        from stylekit.cli.large import Large, read_tiles
        from stylekit.cli.stylizing import Request, describe_styles

        loaded, concurrency = open_stylizer(
            self.models, self.engine, self.device, images, self.strength, self.torch_only, self.options, sources
        )
        masks.read(loaded.arrays)
        options = loaded.resolve_options(self.with_)
        styles = describe_styles(loaded, self.mixes, self.style_scale, len(masks), quiet)
        tiles = read_tiles(self.tile, self.statistics, self.max_memory)
        key = repr((self, [digest(file) for file in self.plugins]))
        large = Large(loaded, tiles, resume, self.depth, self.quality, key)
        settings = {"strength": self.strength, "keep_color": self.keep_color, **options}
        request = Request(loaded, styles, masks, settings, self.seed, self.max_size, large)
        return request, options, concurrency
