"""A finished model, which stylises images with styles and options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, tee
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from stylekit.errors import StylekitError, counted, suggest, warn
from stylekit.images import Canvas, Decoded, Intensities, Picture, Raster
from stylekit.images.intensities import Classes, Scale
from stylekit.inference import controls
from stylekit.inference.controls import KeepColor, Mask
from stylekit.inference.inputs import ImageSource, check_tensor, open_picture, open_raster
from stylekit.inference.large import LargeImages, Progress, silent
from stylekit.inference.memory import PROBE, bytes_per_pixel, probe_image
from stylekit.inference.options import draw_samples, resolve_options, sample_options, stylize_options
from stylekit.inference.random_numbers import random_numbers
from stylekit.inference.request import Request
from stylekit.inference.style_sources import StyleReader, StyleSource
from stylekit.inference.styles import Style
from stylekit.inference.tiles import Core, SharedStatistics, Tiles
from stylekit.inference.torch_defaults import torch_defaults
from stylekit.inference.transparency import visible, with_alpha
from stylekit.inference.walks import closed_path
from stylekit.method import Method, OptimizingMethod, Statistics
from stylekit.native import devices, malloc
from stylekit.native.memory import memory_text
from stylekit.seeding import seeded

Image_ = TypeVar("Image_", Tensor, Image.Image, NDArray[Any])
Styles = StyleSource | Sequence[StyleSource | tuple[StyleSource, float]] | None
CONTROLS = ("keep_color", "mask", "seed", "strength", "style", "style_scale", "tiles")
"""The arguments of ``Model.stylize`` that work with any method."""
LARGE = 2**22
"""Pixels above which the memory that an image needs is estimated first."""
EXAMPLE = 512
"""Side of the image by which the layouts of feature maps are found."""
READ = 40
"""Bytes of each pixel of an image that is read, stylised and written at once."""
SMALLEST = 256
"""Sides of an image for which the memory must suffice even if it is stylised in tiles."""


class Model:
    """A method that is ready to stylise; its weights do not change.

    Args:
        method: the method, with its weights
        name: registered name of the method
        file: the model file, for messages
    """

    arrays = False
    """Whether pictures that it stylises have arrays instead of tensors."""

    def __init__(self, method: Method, name: str, file: Path | None = None) -> None:
        self.method = method.eval()
        self.name = name
        self._described = f"method {name!r}" + (f" of {file}" if file else "")
        self.device = next((tensor.device for tensor in method.state_dict().values()), torch.device("cpu"))
        self._styles = StyleReader(method, name, self.device)
        self._large = LargeImages(method, name, self.device, self.needed_memory)
        self._bytes_per_pixel: dict[str, float] = {}

    @property
    def on_step(self) -> Callable[[int, int, Tensor], None] | None:
        """What is called after each step of an optimisation; see :attr:`stylekit.Method.on_step`."""
        return self.method.on_step

    @on_step.setter
    def on_step(self, called: Callable[[int, int, Tensor], None] | None) -> None:
        self.method.on_step = called

    def learned_styles(self) -> list[str]:
        """The names of the styles that the method has learned."""
        return [*self._styles.learned()]

    @property
    def keeps_state(self) -> bool:
        """Whether what becomes of a frame of a clip may depend on the frames before it."""
        return type(self.method).frames is not Method.frames

    @property
    def intensities(self) -> Intensities | None:
        """How values of files are mapped to [0, 1]; None: the images are RGB pictures."""
        method = self.method
        pictures = method.image_channels == 3 and method.result_channels is None
        return method.intensities or (None if pictures else Intensities())

    @property
    def file_channels(self) -> int:
        """The number of channels of files of values: 1 for label maps, whose classes are the channels of the images."""
        return 1 if self.intensities and self.intensities.labels else self.method.image_channels

    def require_pictures(self) -> None:
        """Checks that the model is for RGB pictures.

        Raises:
            StylekitError: it is for files of values.
        """
        if self.intensities:
            raise StylekitError(
                f"The {self._described} is for files of values with {counted(self.file_channels, 'channel')}, not for RGB "
                "pictures. Stylise such files one by one, with `stylekit stylize` or `Model.stylize`."
            )

    @property
    def optimizes(self) -> bool:
        """Whether stylising is an optimisation, whose steps look at an image that changes."""
        return self.method.capabilities.optimizes

    @property
    def _needs_whole(self) -> bool:
        """Whether stylising is an optimisation that cannot go region by region."""
        return self.optimizes and not isinstance(self.method, OptimizingMethod)

    @property
    def style_key(self) -> str:
        """A key that differs between models with incompatible styles."""
        return self._styles.key

    def summary(self) -> str:
        """Describes the model in one or two sentences."""
        count = sum(parameter.numel() for parameter in self.method.parameters())
        learned = ", ".join(self._styles.learned())
        accepts = (
            "It accepts any style image."
            if self.method.takes_styles()
            else f"It has learned {learned}." * bool(learned)
        )
        return f"A finished model of the method {self.name}, with {count:,} parameters. {accepts}".strip()

    @torch.no_grad()
    def style(self, source: StyleSource, scale: float = 1.0) -> Style:
        """Describes a style once, to stylise many images with it.

        Args:
            source: a style image: a PIL image, a tensor ``(1, 3, H, W)`` in [0, 1], or its file; a style file, with ``#2``
                at the end for its second look only; the name of a learned style; or a previous result of this method.
                Transparent images are composited over white, large ones scaled down (shorter side of 512 pixels).
            scale: factor on the sides of a style image; a larger factor results in larger strokes

        Raises:
            StylekitError: there is no such style, it cannot be read, or it does not fit the model.
        """
        with self._full_precision():
            return self._styles.read(source, scale)

    @torch.no_grad()
    def resolve_styles(self, style: Any, scale: float = 1.0, masks: int = 0) -> list[Statistics | None]:
        """The statistics to stylise with: one blend of all styles, or with masks, the statistics of each region.

        Args:
            style: whatever :meth:`stylize` accepts
            scale: factor on the sides of style images
            masks: number of masks

        Raises:
            StylekitError: the method does not stylise, there is no such style, it does not fit the model, or styles,
                weights and masks do not match.
        """
        if not self.method.stylizes():
            raise StylekitError(f"The method {self.name!r} draws samples and does not stylise. Use `stylekit sample`.")
        with self._full_precision():
            return self._styles.regions(style, scale, masks)

    def require_style_images(self) -> None:
        """Checks that the method accepts style images.

        Raises:
            StylekitError: the method does not accept style images.
        """
        self._styles.require_style_images()

    def require_samples(self) -> None:
        """Checks that the method draws samples.

        Raises:
            StylekitError: it stylises images instead.
        """
        if not self.method.samples():
            raise StylekitError(f"The method {self.name!r} does not draw samples. It stylises images.")

    def resolve_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validates the method's own options, and reads those that are images.

        Raises:
            StylekitError: an option is unknown, has another type, or is an image that cannot be read.
        """
        return resolve_options(stylize_options(self.method), given, f"method {self.name!r}", self.device)

    @overload
    def stylize(self, image: Image_, style: Styles = None, **options: Any) -> Image_: ...

    @overload
    def stylize(self, image: Path | str, style: Styles = None, **options: Any) -> Image.Image: ...

    @torch.no_grad()  # not inference_mode: the caller could not train on tensors created in it
    def stylize(
        self,
        image: ImageSource,
        style: Styles = None,
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Mask | Sequence[Mask] = (),
        style_scale: float = 1.0,
        seed: int = 0,
        tiles: Tiles | None = None,
        **options: Any,
    ) -> Any:
        """Stylises an image and returns one of the same kind, its sides multiplied by the method's ``scale``.

        Several threads may use one model. They take turns if the method is not ``thread_safe``, because they share the
        random numbers of the process, which are seeded during the call and restored afterwards.

        Args:
            image: one of

                - a float tensor ``(N, 3, H, W)`` in [0, 1], on any device; the result has its dtype and device, and no
                  gradient
                - a NumPy array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, the last with alpha, which is kept: uint8, uint16,
                  or floats in [0, 1]; the result has its dtype, and 3 or 4 channels
                - a PIL image, or the path of an image file, whose alpha channel is kept; the result is a PIL image

                Values outside [0, 1] by at most 1/255 are clamped.

                A model that was trained on values instead of RGB pictures takes a tensor of its channels in [0, 1]; an array
                ``(H, W)``, ``(H, W, C)`` or ``(P, H, W, C)`` of any type, for one of the same type and range; or the path of
                a file, for a ``stylekit.images.Raster``, which ``stylekit.images.write_raster`` writes
            style: for methods that accept styles: whatever :meth:`style` accepts, or a list of several; a style with a
                weight is a pair (style, weight)
            strength: from 0, the unchanged image, to 1; below 0.2, the image itself is blended in
            keep_color: keep the image's colours by ``luminance`` or ``histogram``, computed over the whole image even with
                masks
            mask: where to stylise, or one mask per style; one extra style fills the uncovered area, which otherwise does
                not change
            style_scale: factor on the sides of style images
            seed: seed of the method's random numbers; those that describe a style image are the same for every seed, so
                that a style is the same for all images
            tiles: stylise a large image in tiles that share their statistics; by default, only if it does not fit in memory
            options: the method's own options, as listed by ``stylekit show``, such as ``direction="b-to-a"``

        Raises:
            StylekitError: the image is none of these, has values outside [0, 1] or does not fit in memory, or another
                argument is invalid.
        """
        if not isinstance(image, Tensor):
            controlled = {"strength": strength, "keep_color": keep_color, "mask": mask, "style_scale": style_scale}
            given = {"seed": seed, "tiles": tiles, **controlled, **options}
            if self.intensities:
                raster, as_given = open_raster(image, self.file_channels)
                return as_given(self.stylize_raster(raster, style, **given))
            picture, to_given = open_picture(image, "An image to stylise")
            return to_given(self.stylize_picture(picture, style, **given))
        request = self._request(style, strength, keep_color, mask, style_scale, **options)
        image = check_tensor(image, "An image to stylise", self.method.image_channels)
        tiles = self._needed_tiles(image, request, tiles)
        maps = request.maps(*image.shape[2:])
        with self._full_precision(), self._random_numbers(seed):
            if tiles is None:
                return request.stylize(image, maps)
            return torch.cat([self._large.stylize(each[None], maps, request, tiles) for each in image])

    def stylize_picture(self, picture: Picture, style: Styles = None, **options: Any) -> Picture:
        """Stylises a result of :func:`stylekit.images.read`, and keeps its alpha channel and metadata. Accepts the
        options of :meth:`stylize`."""
        self.require_pictures()
        return with_alpha(picture, self.stylize(visible(picture), style, **options), self.method.scale)

    def stylize_raster(self, raster: Raster, style: Styles = None, **options: Any) -> Raster:
        """Stylises a result of :func:`stylekit.images.read_raster`, page by page, and keeps its type and range: values are
        mapped to [0, 1] as those of the training images were, and back. Accepts the options of :meth:`stylize`.

        Values outside a window are clipped to it, and a warning counts them; those that the model does not change are kept.

        Raises:
            StylekitError: it has other channels than the model, or as for :meth:`stylize`.
        """
        if raster.channels != self.file_channels:
            raise StylekitError(
                f"The {self._described} is for {self.file_channels} channels, but the image has {raster.channels}."
            )
        method = self.method
        intensities, results = method.mappings(options)
        intensities = intensities or Intensities()
        scale = intensities.scale(raster.values)
        if isinstance(scale, Scale) and not intensities.percentile and (outside := scale.outside(raster.values)):
            warn(
                f"{raster.file or 'The image'}: {outside:,} of {raster.values.size:,} values are outside of "
                f"{scale.low[0]:g} to {scale.high[0]:g}, which is what the model distinguishes: it sees them as the nearest "
                "of these."
            )
        if results is None and method.result_channels is None:
            pages = [self._page(page, scale, style, options) for page in raster.values]
            return replace(raster, values=np.stack(pages))
        given = np.dtype(np.uint8) if results else raster.values.dtype
        back, kind = (results or intensities).result(method.result_channels or method.image_channels, given)
        made = (self._unit(page, scale, style, options) for page in raster.values)
        return Raster(np.stack([back.to_values(each, kind) for each in made]))

    def _page(
        self, values: NDArray[Any], scale: Scale | Classes, style: Styles, options: Mapping[str, Any]
    ) -> NDArray[Any]:
        """Stylises the values ``(H, W, C)``, and maps the result back as they were mapped."""
        made = self._unit(values, scale, style, options)
        return scale.to_values(made, values.dtype, values if made.shape == values.shape else None)

    def _unit(
        self, values: NDArray[Any], scale: Scale | Classes, style: Styles, options: Mapping[str, Any]
    ) -> NDArray[Any]:
        """Stylises the values ``(H, W, C)``; the result is in [0, 1]."""
        unit = torch.from_numpy(scale.to_unit(values)).permute(2, 0, 1)[None]
        made: NDArray[Any] = self.stylize(unit, style, **options)[0].permute(1, 2, 0).cpu().numpy()
        return made

    @torch.no_grad()
    def stylize_large(
        self,
        picture: Decoded,
        canvas: Canvas,
        style: Styles = None,
        *,
        tiles: Tiles | None = None,
        seed: int = 0,
        on_progress: Progress = silent,
        **controlled: Any,
    ) -> None:
        """Stylises a picture in tiles, which are put on a canvas: the memory for its floats is that of a tile.

        Args:
            picture: the picture
            canvas: what is put on it; parts that it has already are not made again
            style: as in :meth:`stylize`
            tiles: sides of the tiles, and how they share their statistics; by default, what the memory allows
            seed: as in :meth:`stylize`
            on_progress: called with the number of tiles that have been computed, and of all, in all passes over the image
            controlled: further arguments of :meth:`stylize`

        Raises:
            StylekitError: as in :meth:`stylize`, or no space is left.
        """
        self.require_pictures()
        request = self._request(style, **controlled)
        self.require_tiles(request.options)
        maps = request.maps(*picture.size)
        with self._full_precision(), self._random_numbers(seed):
            self._large.put(picture, canvas, maps, request, tiles or Tiles(), on_progress)

    def clip(self, pictures: Iterable[Picture], style: Styles = None, **options: Any) -> Iterator[Picture]:
        """Stylises results of :func:`stylekit.images.read` as the frames of a clip. Accepts the options of
        :meth:`frames`."""
        self.require_pictures()
        originals, contents = tee(pictures)
        for picture, styled in zip(originals, self.frames(map(visible, contents), style, **options), strict=True):
            yield with_alpha(picture, styled, self.method.scale)

    def frames(
        self,
        contents: Iterable[Tensor],
        style: Styles = None,
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Mask | Iterator[Mask] | Sequence[Mask | Iterator[Mask]] = (),
        style_scale: float = 1.0,
        seed: int = 0,
        shared: SharedStatistics | None = None,
        first_frame: int = 0,
        **options: Any,
    ) -> Iterator[Tensor]:
        """Stylises the frames of a clip, in order; the method may keep state from frame to frame.

        Args:
            contents: float tensors ``(1, 3, H, W)`` in [0, 1], of one size
            style, strength, keep_color, style_scale, seed, options: as in :meth:`stylize`
            mask: as in :meth:`stylize`; for masks that move, an iterator, which gives one for each frame
            shared: what :meth:`clip_statistics` measured of the clip with the same arguments, so that its look does not change
                from frame to frame; by default, each frame has its own statistics
            first_frame: number of the first of these frames in the clip, on which its random numbers depend

        Raises:
            StylekitError: a frame is not such a tensor, another argument is invalid, or the method does not accept it for
                clips.
        """
        if not isinstance(contents, Iterable):
            raise StylekitError(f"The frames must be tensors in a list or a generator, not {type(contents).__name__}.")
        masks = controls.frame_masks(mask)
        request = self._request(style, strength, keep_color, first := next(masks), style_scale, **options)
        originals, ready = tee(check_tensor(each, "A frame", self.method.image_channels) for each in contents)
        ready, *copies = tee((each.to(self.device, torch.float32) for each in ready), len(request.regions) + 1)
        clips = [request.clip(copy, region) for copy, region in zip(copies, request.regions, strict=True)]
        # The masks come last, so that none is taken after the last frame: the next part of a clip may go on with them.
        together = zip(originals, ready, chain([first], masks), strict=False)
        for number, (original, content, now) in enumerate(together, first_frame):
            self._require_fits(content, request)
            maps = replace(request, masks=now).maps(*content.shape[2:])
            with torch.no_grad(), self._full_precision(), self._random_numbers(seed, number):
                run = partial(self._next_frame, request, clips, original, content, maps, number)
                frame = shared.compute(run, Core.whole(*content.shape[2:])) if shared else run()
            yield frame  # outside the block, with the caller's random numbers and grad mode
        with torch.no_grad(), self._full_precision(), self._random_numbers(seed):
            ended = all(next(clip, None) is None for clip in clips)
        self._require_frames(ended, "yielded more frames than it received")

    def _next_frame(
        self,
        request: Request,
        clips: Sequence[Iterator[Tensor]],
        original: Tensor,
        content: Tensor,
        maps: Sequence[Tensor],
        number: int,
    ) -> Tensor:
        outputs = [frame for clip in clips if (frame := next(clip, None)) is not None]
        self._require_frames(len(outputs) == len(clips), f"stopped before frame {number + 1}")
        return request.composed(original, content, outputs, maps)

    @torch.no_grad()
    def clip_statistics(
        self,
        samples: Sequence[Tensor],
        style: Styles = None,
        *,
        like: SharedStatistics | None = None,
        mask: Mask | Iterator[Mask] | Sequence[Mask | Iterator[Mask]] = (),
        seed: int = 0,
        **controlled: Any,
    ) -> SharedStatistics:
        """Measures what the method's networks compute of whole frames, such as the means of instance norms, over a clip.

        Frames that share these statistics do not flicker when something enters the picture (Wang et al. 2020, "Consistent video
        style transfer via relaxation and regularization", global feature sharing).

        Args:
            samples: some frames of the clip, ``(1, 3, H, W)`` in [0, 1]; as many of them are used as the memory allows
            like: what this returned for another shot, with the same style and arguments: with it, no small image has to be
                stylised to find out how feature maps are related to the frames
            mask: as in :meth:`frames`; what matters is only how many there are
            style, seed, controlled: as in :meth:`frames`

        Raises:
            StylekitError: as for :meth:`frames`
        """
        self.require_pictures()
        request = self._request(style, mask=next(controls.frame_masks(mask)), **controlled)
        count, (height, width) = len(samples), samples[0].shape[2:]
        if needed := self.needed_memory(height, width, request.options):
            count = min(count, max(1, devices.free_memory(self.device) // (2 * needed)))
        chosen = torch.cat([samples[len(samples) * number // count] for number in range(count)])
        with self._full_precision(), self._random_numbers(seed):
            if like is None:
                probe = probe_image(EXAMPLE).to(self.device)
                example = replace(request, options=_at_size(request.options, EXAMPLE))
                like = SharedStatistics.of_example(lambda: example.stylize(probe, []), EXAMPLE)
            shared = SharedStatistics(like.layouts)
            shared.measure_together(lambda: request.stylize(chosen, []), Core.whole(height, width))
        return shared

    def sample(self, count: int = 1, *, seed: int = 0, **options: Any) -> Tensor:
        """Draws images ``(count, 3, H, W)`` in [0, 1]; image i depends only on the seed and i.

        Args:
            count: number of images
            seed: seed of the method's random numbers
            options: the method's own options, as listed by ``stylekit show``, such as ``label=3``

        Raises:
            StylekitError: the method does not draw samples, or an option is unknown or has another type.
        """
        return torch.cat(list(self.draw(count, seed=seed, **options)))

    def draw(self, count: int = 1, *, seed: int = 0, **options: Any) -> Iterator[Tensor]:
        """Like :meth:`sample`, but yields one image ``(1, 3, H, W)`` after the other."""
        chosen = self._drawing(count, seed, options)
        return (self._drawn(partial(draw_samples, self.method, 1, chosen), seed, index) for index in range(count))

    def walk(self, count: int = 8, steps: int = 30, *, seed: int = 0, **options: Any) -> Iterator[Tensor]:
        """Draws images on the way from one sample to the next, and from the last to the first.

        Args:
            count: number of samples; the codes of sample i depend only on the seed and i
            steps: number of images from each sample to the next, with the first of the two
            seed: seed of the method's random numbers
            options: the method's own options, as listed by ``stylekit show``, such as ``label=3``

        Yields:
            ``count * steps`` images ``(1, 3, H, W)`` in [0, 1].

        Raises:
            StylekitError: the method draws no samples from codes, or an option is unknown or has another type.
        """
        chosen = self._drawing(count, seed, options)
        if not self.method.walks():
            raise StylekitError(f"The method {self.name!r} draws samples, but not from codes, so it cannot walk.")
        if steps < 1:
            raise StylekitError(f"The number of steps must be at least 1, not {steps}.")

        def codes(index: int) -> Tensor:
            with torch.no_grad(), self._full_precision(), seeded("sample", seed, index):
                return self.method.codes(1)

        path = closed_path([codes(index) for index in range(count)], steps)
        return (self._drawn(partial(self.method.sample_from, code, **chosen), seed, 0) for code in path)

    def _drawing(self, count: int, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of drawing, after all arguments are checked."""
        self.require_samples()
        if count < 1:
            raise StylekitError(f"The number of samples must be at least 1, not {count}.")
        controls.check_seed(seed)
        return resolve_options(sample_options(self.method), options, f"method {self.name!r}", self.device)

    def _drawn(self, draw: Callable[[], Tensor], seed: int, index: int) -> Tensor:
        with torch.no_grad(), self._full_precision(), seeded("sample", seed, index):
            image = draw()
        if image.ndim != 4 or image.shape[:2] != (1, 3):
            raise StylekitError(
                f"The method {self.name!r} drew a sample of shape {tuple(image.shape)}, not (1, 3, H, W)."
            )
        if not bool(image.isfinite().all()):
            raise StylekitError(f"The {self._described} drew a sample with NaN or infinity: its model may be damaged.")
        return image.clamp(0, 1)

    def _require_frames(self, valid: bool, fault: str) -> None:
        if not valid:
            raise StylekitError(f"The method {self.name!r} {fault}: its frames() must yield one output per frame.")

    # Stylising

    def _request(
        self,
        style: Any,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Any = (),
        style_scale: float = 1.0,
        **options: Any,
    ) -> Request:
        known = stylize_options(self.method) if options else {}
        for name in options:
            if name not in known:
                hint = suggest(name, {*known, *CONTROLS})
                raise StylekitError(f"Stylising with the {self._described} has no option {name!r}. {hint}")
        controls.check_controls(strength, keep_color)
        if keep_color and self.method.image_channels != 3:
            raise StylekitError(
                f"Images of {self.method.image_channels} channels have no colours to keep. Leave keep_color out."
            )
        if (self.method.result_channels or self.method.results) and (strength != 1 or controls.several_or_none(mask)):
            raise StylekitError(
                f"The {self._described} makes images of another kind, which cannot be blended with the given one. Leave "
                "strength and mask out."
            )
        masks = [controls.read_mask(each) for each in controls.several_or_none(mask)]
        regions = self.resolve_styles(style, style_scale, len(masks))
        chosen = controls.to_float(strength), keep_color, self.resolve_options(options)
        return Request(self.method, self.name, self._described, self.device, regions, masks, *chosen)

    @contextmanager
    def _full_precision(self) -> Iterator[None]:
        """Stylising computes in float32 on the model's device, whatever the caller's autocast and torch's defaults are."""
        try:
            with torch_defaults(self.device), torch.autocast(self.device.type, enabled=False):
                yield
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise StylekitError(
                f"The {self._described} computed NaN or infinity: its options are extreme, or the model is damaged."
            ) from error

    def _random_numbers(self, seed: int, *address: int) -> AbstractContextManager[Any]:
        controls.check_seed(seed)
        return random_numbers(self.method, "stylize", seed, *address)

    # Memory

    def needed_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> int:
        """Estimates how many bytes are needed to stylise an image of that size with the method's options.

        The memory per pixel is measured once, on a small image, and by one step of an optimisation. It is 0 if it is not known:
        for a method that optimises without being an :class:`stylekit.method.OptimizingMethod`, for one that requires an image
        among its options, and if the trial run fails.
        """
        plain = {name: value for name, value in options.items() if not isinstance(value, Tensor)}
        key = repr(sorted(plain.items()))
        if key not in self._bytes_per_pixel:
            self._bytes_per_pixel[key] = 0.0  # known later: the trial run stylises an image, too
            self._bytes_per_pixel[key] = self._measure(plain)
        return int(self._bytes_per_pixel[key] * height * width)

    def require_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> None:
        """Checks that there is enough free memory for an image of that size.

        Raises:
            StylekitError: it needs more; the message contains both numbers.
        """
        needed, free = self.needed_memory(height, width, options), devices.free_memory(self.device)
        if needed > free:
            malloc.release_freed_memory()
            free = devices.free_memory(self.device)
        if needed > free:
            factor = (needed / max(free, 1)) ** 0.5
            raise StylekitError(
                f"{width}x{height} pixels need about {memory_text(needed)} with this model, but only {memory_text(free)} "
                f"are free on {self.device}. Make the image smaller by a factor of {factor:.1f} per side."
            )

    def _require_fits(self, image: Tensor, request: Request) -> None:
        """Checks the memory for large images only: for others, the trial run would take longer than stylising them."""
        count, _, height, width = image.shape
        if count * height * width > LARGE and not request.untouched:
            self.require_memory(count * height, width, request.options)

    # Tiles

    def _needed_tiles(self, image: Tensor, request: Request, tiles: Tiles | None) -> Tiles | None:
        """How to stylise images in tiles; None: they are small enough without."""
        count, _, height, width = image.shape
        if request.untouched or (tiles is None and count * height * width <= LARGE):
            return None
        needed = self.needed_memory(count * height, width, request.options)
        chosen = tiles or Tiles()
        if chosen.fits(height, width, needed, devices.free_memory(self.device)):
            return None
        malloc.release_freed_memory()
        if chosen.fits(height, width, needed, devices.free_memory(self.device)):
            return None
        self.require_tiles(request.options)
        self.require_memory(min(height, SMALLEST), min(width, SMALLEST), request.options)
        if tiles is None:
            warn(f"{width}x{height} pixels do not fit into the memory, so they are stylised in tiles.")
        return chosen

    def takes_tiles(self, height: int, width: int, options: Mapping[str, Any], tiles: Tiles | None) -> bool:
        """Whether an image file of that size is to be stylised in tiles, because of its size or of what the user wants.

        Args:
            height: height of the image
            width: its width
            options: the method's options
            tiles: what the user wants
        """
        if tiles is None and height * width <= LARGE:
            return False
        needed = self.needed_memory(height, width, options) + READ * height * width
        return self._untileable(options) is None and not (tiles or Tiles()).fits(
            height, width, needed, devices.free_memory(self.device)
        )

    def require_tiles(self, options: Mapping[str, Any] = {}) -> None:
        """Checks that the method can stylise an image in tiles.

        Raises:
            StylekitError: it optimises the image, or an option is an image.
        """
        if reason := self._untileable(options):
            raise StylekitError(f"Images cannot be stylised in tiles: {reason}. Make the image smaller.")

    def _untileable(self, options: Mapping[str, Any]) -> str | None:
        if self._needs_whole:
            return f"the method {self.name!r} optimises the whole image"
        pictured = [name for name, value in options.items() if isinstance(value, Tensor)]
        return f"the option {pictured[0]!r} is an image" if pictured else None

    def _measure(self, options: Mapping[str, Any]) -> float:
        required = [name for name, option in stylize_options(self.method).items() if option.required]
        if self._needs_whole or not set(required) <= options.keys():
            return 0.0
        # A network pads images below its min_size, and the padding would be extrapolated as well.
        side = max(PROBE, *(getattr(part, "min_size", 1) for part in self.method.modules()), 1)
        try:
            style = probe_image(side) if self.method.takes_styles() else None
            if style is not None:
                _ = self.style_key  # computed and cached before, so that it is not measured
            if isinstance(self.method, OptimizingMethod):
                return bytes_per_pixel(self.method.first_step, side)
            return bytes_per_pixel(
                lambda image: self.stylize(image, style, **options), side, self.method.image_channels
            )
        except Exception:  # any error: if images fail as well, they are reported one by one
            return 0.0


def _at_size(options: Mapping[str, Any], side: int) -> dict[str, Any]:
    """Options of which images have a size; without new values, because those of masks and label maps may not be mixed."""
    return {
        name: interpolate(value, (side, side), mode="nearest") if isinstance(value, Tensor) else value
        for name, value in options.items()
    }
