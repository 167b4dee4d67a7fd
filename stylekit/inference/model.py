"""A finished model, ready to stylise: images, styles and options in, images out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.images import Picture
from stylekit.inference import controls
from stylekit.inference.controls import KeepColor, Mask
from stylekit.inference.memory import PROBE, bytes_per_pixel
from stylekit.inference.model_files import find_model_file, read_model, resolve_model_file
from stylekit.inference.options import resolve_options, sample_options, stylize_options
from stylekit.inference.style_sources import StyleReader, StyleSource, several_or_none
from stylekit.inference.styles import Style
from stylekit.method import Method, Statistics
from stylekit.native import malloc
from stylekit.native.devices import free_memory, pick_device
from stylekit.registry import lookup
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments, override
from stylekit.seeding import seeded

Image_ = TypeVar("Image_", Tensor, Image.Image)
Styles = StyleSource | Sequence[StyleSource | tuple[StyleSource, float]] | None
BLEND_BELOW = 0.2
"""Below this strength, the content is blended in, the more the lower it is."""


def load(
    run_or_file: Path | str, device: str = "auto", method: Callable[..., Method] | None = None, **changes: Any
) -> Model:
    """Loads a run's model, a checkpoint's, a model file, a model that a package ships, or a method that needs no training.

    Args:
        run_or_file: a run's folder, a checkpoint's folder, a ``.safetensors`` file, or a name: of a shipped model, such as
            ``stylekit-small``, or of a method that needs no training, such as ``gatys``
        device: auto, cpu, cuda or mps
        method: the method's class, where no plugin offers it
        changes: constructor arguments in place of those in the file, such as parts given as callables, which no file
            holds, or the arguments of a method that is given by its name; ``part.option`` sets a part's option

    Raises:
        StylekitError: there is no such file, it is of another kind or of a plugin that is not installed, or a tensor is
            missing, unknown or has another shape.
    """
    if isinstance(run_or_file, str) and not find_model_file(Path(run_or_file)):  # an image folder does not hide a name
        if lookup.part_owners("model", run_or_file):
            model: Model = lookup.find_part("model", run_or_file)(device=device, **changes)
            return model
        if lookup.part_owners("method", run_or_file):
            return _untrained(run_or_file, device, changes)
    built, name = read_model(resolve_model_file(Path(run_or_file)), method, changes)
    return Model(built.to(pick_device(device)), name)


def _untrained(name: str, device: str, changes: Mapping[str, Any]) -> Model:
    """A method by its name alone, which will do if it learns nothing."""
    chosen = override(arguments(lookup.find_part("method", name)), {}, changes, f"method {name!r}")
    method: Method = make("method", {**chosen, "name": name})
    if method.players():
        raise StylekitError(
            f"The method {name!r} has to be trained first: `stylekit train --plugin {name}`. Then give the run's folder."
        )
    return Model(method.to(pick_device(device)), name)


class Model:
    """A method ready to stylise; its weights stay as they are.

    Args:
        method: the method, with its weights
        name: the name that it is registered by
    """

    def __init__(self, method: Method, name: str) -> None:
        self.method = method.eval()
        self.name = name
        self.device = next((tensor.device for tensor in method.state_dict().values()), torch.device("cpu"))
        self._styles = StyleReader(method, name, self.device)
        self._bytes_per_pixel: dict[str, float] = {}

    @property
    def style_key(self) -> str:
        """Tells apart models whose styles do not fit each other."""
        return self._styles.key

    def summary(self) -> str:
        """What it is, in a sentence or two."""
        count = sum(parameter.numel() for parameter in self.method.parameters())
        learned = ", ".join(self.method.styles())
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
            source: a style image: a PIL image, a tensor ``(1, 3, H, W)`` in [0, 1], or its file; a style file, of which
                ``#2`` at its end is the second look alone; the name of a learned style; or what this returned before.
                Transparent images are laid over white, large ones made smaller (512 pixels the shorter side).
            scale: factor on a style image's sides; larger gives larger strokes

        Raises:
            StylekitError: there is no such style, it cannot be read, or it does not fit the model.
        """
        with self._full_precision():
            return self._styles.read(source, scale)

    @torch.no_grad()
    def resolve_styles(self, style: Any, scale: float = 1.0, masks: int = 0) -> list[Statistics | None]:
        """The statistics to stylise with: one blend of all styles, or with masks those of each region.

        Args:
            style: whatever :meth:`stylize` accepts
            scale: factor on the style images' sides
            masks: how many there are

        Raises:
            StylekitError: there is no such style, it does not fit the model, or styles, weights and masks do not go
                together.
        """
        with self._full_precision():
            return self._styles.regions(style, scale, masks)

    def require_style_images(self) -> None:
        """Refuses style images where the method does not accept any.

        Raises:
            StylekitError: it does not.
        """
        self._styles.require_style_images()

    def resolve_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validates the method's own options, and reads those that are images.

        Raises:
            StylekitError: an option is unknown, of another type, or an image that cannot be read.
        """
        return resolve_options(stylize_options(self.method), given, f"method {self.name!r}", self.device)

    @torch.no_grad()  # not in inference mode: its tensors refuse what the caller may want to do with them
    def stylize(
        self,
        image: Image_,
        style: Styles = None,
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Mask | Sequence[Mask] = (),
        style_scale: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> Image_:
        """Stylises an image and returns one of the same kind, its sides multiplied by the method's ``scale``.

        Several threads may stylise with one model. Those of a method that is not ``thread_safe`` take turns, because they
        share the process's random numbers, which are seeded meanwhile and restored.

        Args:
            image: float tensor ``(N, 3, H, W)`` in [0, 1], or a PIL image, whose alpha is kept
            style: for methods that accept styles: whatever :meth:`style` accepts, or a list of several, those with weights
                as pairs (style, weight)
            strength: from 0, the image as it is, to 1; below 0.2 the image itself is blended in
            keep_color: keep the image's colours by ``luminance`` or ``histogram``: those of the whole image, masked or not
            mask: where to stylise, or one mask for each style; one extra style fills what no mask covers, which otherwise
                stays as it is
            style_scale: factor on the style images' sides
            seed: seed of whatever the method draws
            options: the method's own, as ``stylekit show`` lists them, such as ``direction="b-to-a"``

        Raises:
            StylekitError: the image is not such a tensor, or something is asked for that cannot be.
        """
        if isinstance(image, Image.Image):
            controlled = {"strength": strength, "keep_color": keep_color, "mask": mask, "style_scale": style_scale}
            styled = self.stylize_picture(images.from_pil(image), style, seed=seed, **controlled, **options)
            return images.to_pil(styled.image, styled.alpha)
        request = self._request(style, strength, keep_color, mask, style_scale, options)
        content = controls.to_device(image, self.device, "An image to stylise")
        where = self._where(content, request)
        with self._full_precision(), self._random_numbers(seed):
            made = [self._stylized(content, region, request) for region in request.regions]
            return self._composed(image, content, made, where, request)

    def stylize_picture(self, picture: Picture, style: Styles = None, **asked: Any) -> Picture:
        """Stylises what :func:`stylekit.images.read` returned; alpha, profile and EXIF are kept. Accepts what
        :meth:`stylize` does."""
        return self._like(picture, self.stylize(_visible(picture), style, **asked))

    def clip(self, pictures: Iterable[Picture], style: Styles = None, **asked: Any) -> Iterator[Picture]:
        """Stylises what :func:`stylekit.images.read` returned as the frames of a clip; accepts what :meth:`frames` does."""
        given, contents = tee(pictures)
        for picture, styled in zip(given, self.frames(map(_visible, contents), style, **asked), strict=True):
            yield self._like(picture, styled)

    def _like(self, picture: Picture, styled: Tensor) -> Picture:
        alpha = None if picture.alpha is None else self._enlarged(picture.alpha).clamp(0, 1)
        return Picture(styled, alpha, picture.icc_profile, picture.exif)

    def frames(
        self,
        contents: Iterable[Tensor],
        style: Styles = None,
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Mask | Sequence[Mask] = (),
        style_scale: float = 1.0,
        seed: int = 0,
        **options: Any,
    ) -> Iterator[Tensor]:
        """Stylises the frames of a clip, in order; the method may carry a state from frame to frame.

        Args:
            contents: float tensors ``(1, 3, H, W)`` in [0, 1], of one size
            style, strength, keep_color, mask, style_scale, seed, options: as in :meth:`stylize`

        Raises:
            StylekitError: a frame is not such a tensor, or something is asked for that cannot be.
        """
        request = self._request(style, strength, keep_color, mask, style_scale, options)
        originals, ready = tee(contents)
        ready, *copies = tee(
            (controls.to_device(each, self.device, "A frame") for each in ready), len(request.regions) + 1
        )
        clips = [self._clip(copy, region, request) for copy, region in zip(copies, request.regions, strict=True)]
        for number, (original, content) in enumerate(zip(originals, ready, strict=True)):
            where = self._where(content, request)
            with torch.no_grad(), self._full_precision(), self._random_numbers(seed, number):
                made = [frame for clip in clips if (frame := next(clip, None)) is not None]
                self._require_frames(len(made) == len(clips), f"ended before frame {number + 1}")
                frame = self._composed(original, content, made, where, request)
            yield frame  # outside, where the caller's random numbers and grad mode are as they were
        self._require_frames(all(next(clip, None) is None for clip in clips), "made more frames than it was given")

    def sample(self, count: int = 1, *, seed: int = 0, **options: Any) -> Tensor:
        """Draws images ``(count, 3, H, W)`` in [0, 1]; image i depends on the seed and i alone.

        Args:
            count: how many
            seed: another seed, other images
            options: the method's own, as ``stylekit show`` lists them, such as ``label=3``

        Raises:
            StylekitError: the method does not draw samples, or an option is unknown or of another type.
        """
        return torch.cat(list(self.draw(count, seed=seed, **options)))

    def draw(self, count: int = 1, *, seed: int = 0, **options: Any) -> Iterator[Tensor]:
        """As :meth:`sample`, one image ``(1, 3, H, W)`` after the other."""
        if not self.method.samples():
            raise StylekitError(f"The method {self.name!r} does not draw samples: it stylises images.")
        if count < 1:
            raise StylekitError(f"The number of samples is at least 1, not {count}.")
        chosen = resolve_options(sample_options(self.method), options, f"method {self.name!r}", self.device)

        def one(index: int) -> Tensor:
            with torch.no_grad(), self._full_precision(), seeded("sample", seed, index):
                image = self.method.sample(1, **chosen)
            if image.ndim != 4 or image.shape[:2] != (1, 3):
                raise StylekitError(f"The method {self.name!r} drew {tuple(image.shape)}, where (1, 3, H, W) was due.")
            if not bool(image.isfinite().all()):
                raise StylekitError(f"The method {self.name!r} drew NaN or infinity: its model may be damaged.")
            return image.clamp(0, 1)

        return map(one, range(count))

    def _require_frames(self, good: bool, fault: str) -> None:
        if not good:
            raise StylekitError(f"The method {self.name!r} {fault}: its frames() must yield one output for each frame.")

    # How an image is made

    def _request(
        self, style: Any, strength: float, keep_color: KeepColor | None, mask: Any, style_scale: float, options: Any
    ) -> _Request:
        if not self.method.stylizes():
            raise StylekitError(f"The method {self.name!r} draws samples, and does not stylise: use `stylekit sample`.")
        controls.check_controls(strength, keep_color)
        masks = [controls.read_mask(each) for each in several_or_none(mask)]
        regions = self.resolve_styles(style, style_scale, len(masks))
        return _Request(regions, masks, controls.to_float(strength), keep_color, self.resolve_options(options))

    def _untouched(self, request: _Request) -> bool:
        return request.strength == 0 and not self.method.capabilities.zero_strength

    def _stylized(self, content: Tensor, style: Statistics | None, request: _Request) -> Tensor:
        if self._untouched(request):
            return self._enlarged(content)
        if style is None:
            return self.method.stylize(content, **request.options)
        return self.method.transfer(content, style, request.strength, **request.options)

    def _clip(self, contents: Iterable[Tensor], style: Statistics | None, request: _Request) -> Iterator[Tensor]:
        if self._untouched(request):
            return (self._enlarged(content) for content in contents)
        given = request.options if style is None else {**request.options, "strength": request.strength}
        return iter(self.method.frames(contents, style, **given))

    def _where(self, content: Tensor, request: _Request) -> list[Tensor]:
        """How much of each region's style goes where; empty without masks."""
        if not request.masks:
            return []
        regions = controls.regions(controls.fit_masks(request.masks, content), len(request.regions))
        return [self._enlarged(region) for region in regions]

    def _composed(
        self, image: Tensor, content: Tensor, made: Sequence[Tensor], where: Sequence[Tensor], request: _Request
    ) -> Tensor:
        """What the user gets: blended with the content by strength and masks, in the colours asked for."""
        below = self._enlarged(content)
        done = [self._finished(one, below, style, request) for one, style in zip(made, request.regions, strict=True)]
        out = done[0]
        if where:
            # As a sum of changes: where there are none, the image is exactly as it was.
            changes = [region * (one - below) for region, one in zip(where, done, strict=True)]
            out = below + torch.stack(changes).sum(0)
        out = out.clamp(0, 1)
        if (
            image.dtype == torch.float64 and below is content
        ):  # finer than what is computed in: untouched values are kept
            return torch.where((out == content).to(image.device), image, out.to(image))
        return out.to(image)

    def _finished(self, styled: Tensor, content: Tensor, style: Statistics | None, request: _Request) -> Tensor:
        if styled.shape != content.shape:
            raise StylekitError(
                f"The method {self.name!r} made an image of {tuple(styled.shape)}, where {tuple(content.shape)} was due."
            )
        if not bool(styled.isfinite().all()):
            raise StylekitError(
                f"The method {self.name!r} made NaN or infinity of the image. Try another style: this one, or the model, "
                "may be damaged."
            )
        # A method that knows the strength itself need not reach the content as it falls.
        full = 1.0 if style is None else 0.0 if self.method.capabilities.zero_strength else BLEND_BELOW
        if request.strength < full:
            styled = torch.lerp(content, styled, request.strength / full)
        return controls.keep_color(styled, content, request.keep_color)

    def _enlarged(self, image: Tensor) -> Tensor:
        """The image at the size of the output."""
        scale = self.method.scale
        height, width = image.shape[-2:]
        return image if scale == 1 else images.resize(image, (height * scale, width * scale))

    def _full_precision(self) -> AbstractContextManager[Any]:
        """Stylising computes in float32, also within a caller's autocast."""
        return torch.autocast(self.device.type, enabled=False)

    def _random_numbers(self, *address: int) -> AbstractContextManager[Any]:
        """Seeds what the method draws. Methods that are thread-safe draw nothing, so their threads share nothing."""
        return nullcontext() if self.method.capabilities.thread_safe else seeded("stylize", *address)

    # Memory

    def needed_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> int:
        """About how many bytes it takes to stylise an image of that size with the method's options.

        What a pixel needs is measured once, on a small image. It is 0 for an optimisation, which is too slow to try out,
        and for a method that requires an image among its options.
        """
        plain = {name: value for name, value in options.items() if not isinstance(value, Tensor)}
        key = repr(sorted(plain.items()))
        if key not in self._bytes_per_pixel:
            self._bytes_per_pixel[key] = self._measure(plain)
        return int(self._bytes_per_pixel[key] * height * width)

    def require_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> None:
        """Refuses an image that will not fit into the memory that is free.

        Raises:
            StylekitError: it needs more; both figures are in the message.
        """
        needed, free = self.needed_memory(height, width, options), free_memory(self.device)
        if needed > free:
            malloc.release_freed_memory()
            free = free_memory(self.device)
        if needed > free:
            factor = (needed / max(free, 1)) ** 0.5
            raise StylekitError(
                f"{width}x{height} pixels need about {needed / 2**30:.1f} GiB with this model, and {free / 2**30:.1f} GiB "
                f"are free on {self.device}. Make the image smaller, by a factor of {factor:.1f} per side."
            )

    def _measure(self, options: Mapping[str, Any]) -> float:
        required = [name for name, option in stylize_options(self.method).items() if option.required]
        if self.method.capabilities.optimizes or not set(required) <= options.keys():
            return 0.0
        # A network pads what is smaller than its smallest side, and the padding would be scaled up as well.
        probe = max(PROBE, *(getattr(part, "min_size", 1) for part in self.method.children()), 1)
        style = torch.full((1, 3, probe, probe), 0.5) if self.method.takes_styles() else None
        if style is not None:
            _ = self.style_key  # computed once and before, so that it does not count
        return bytes_per_pixel(lambda image: self.stylize(image, style, **options), probe)


def _visible(picture: Picture) -> Tensor:
    """The colours of a picture, with the mean visible colour where it is fully transparent: what is there is not seen, and
    often garbage."""
    if picture.alpha is None:
        return picture.image
    seen = picture.alpha > 0
    mean = (picture.image * seen).sum((2, 3), keepdim=True) / seen.sum().clamp(min=1)
    return torch.where(seen, picture.image, mean)


@dataclass(frozen=True)
class _Request:
    """What a user asks for: styles by region, masks, strength, colours, and the method's options."""

    regions: list[Statistics | None]
    masks: list[Tensor]
    strength: float
    keep_color: KeepColor | None
    options: Mapping[str, Any]
