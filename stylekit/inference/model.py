"""A finished model, ready to stylise: pictures, styles and controls in, pictures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError, suggest
from stylekit.images import Picture
from stylekit.inference import controls
from stylekit.inference.controls import KeepColor, Mask
from stylekit.inference.memory import PROBE, bytes_per_pixel
from stylekit.inference.model_files import find_model_file, inference_state, read_model, resolve_model_file
from stylekit.inference.styles import (
    SUFFIX,
    Style,
    blend,
    keys_match,
    probe_statistics,
    read_style,
    statistics_shapes,
    style_key,
)
from stylekit.method import Method, Statistics
from stylekit.native import malloc
from stylekit.native.devices import free_memory, pick_device
from stylekit.registry import lookup, provenance
from stylekit.registry.parts import make, override
from stylekit.seeding import seeded
from stylekit.weights.tensors import fit

Image_ = TypeVar("Image_", Tensor, Image.Image)
StyleSource = Tensor | Image.Image | Path | str | Style
FULLY = 0.2
"""From this strength on, nothing of the picture itself is mixed in."""


def load(
    run_or_file: Path | str, device: str = "auto", method: Callable[..., Method] | None = None, **arguments: Any
) -> Model:
    """Loads a run's model, a checkpoint's, a model file, one that a package ships, or a method that learns nothing.

    Args:
        run_or_file: a run's folder, a checkpoint's folder, a ``.safetensors`` file, or a name: of a shipped model, such as
            ``stylekit-small``, or of a method that needs no training, such as ``gatys``
        device: auto, cpu, cuda or mps
        method: the method's class, where no plugin offers it
        arguments: constructor arguments in place of those in the file, such as parts given as callables, which it cannot
            hold, or of a method that is given by its name; ``part.option`` reaches into a part

    Raises:
        StylekitError: no such file, a file of another kind or of a plugin that is not installed, or a missing, unknown
            or wrong-shaped tensor.
    """
    if isinstance(run_or_file, str) and not find_model_file(
        Path(run_or_file)
    ):  # a folder of pictures does not hide a name
        if lookup.part_owners("model", run_or_file):
            model: Model = lookup.find_part("model", run_or_file)(device=device, **arguments)
            return model
        if lookup.part_owners("method", run_or_file):
            return _untrained(run_or_file, device, arguments)
    built, name = read_model(resolve_model_file(Path(run_or_file)), method, arguments)
    return Model(built.to(pick_device(device)), name)


def _untrained(name: str, device: str, arguments: Mapping[str, Any]) -> Model:
    """A method by its name alone, which will do if it has nothing to learn."""
    chosen = override(lookup.find_part("method", name), {}, arguments, f"method {name!r}")
    method: Method = make("method", {**chosen, "name": name})
    if method.players():
        raise StylekitError(
            f"The method {name!r} has to be trained first: `stylekit train --plugin {name}`. Then give the run's folder."
        )
    return Model(method.to(pick_device(device)), name)


def init_from_model(method: Method, source: Path | str) -> None:
    """Gives a method that is to be trained the weights of a finished model; what that does not ship stays as it is.

    Raises:
        StylekitError: there is no such model, it is of another method, or a tensor of it is unknown or of another shape.
    """
    by_hand = (
        None if provenance.origin(method) else type(method)
    )  # no plugin offers it, so its class must build the model
    try:
        finished = load(source, device="cpu", method=by_hand).method
        if type(finished) is not type(method):
            raise StylekitError(
                f"{source} is a model of {type(finished).__name__}, and {type(method).__name__} is to be trained."
            )
        weights = inference_state(finished)
        absent = {key.split(".")[0] for key in method.state_dict()} - {key.split(".")[0] for key in weights}
        fit(method, weights, Path(source), absent)
    except StylekitError as error:
        raise StylekitError(f"The training cannot begin with --init {source}: {error}") from None


class Model:
    """A method ready to stylise.

    Args:
        method: the method, with its weights
        name: the name that it is registered by
    """

    def __init__(self, method: Method, name: str) -> None:
        self.method = method.eval()
        self.name = name
        self._bytes_per_pixel: dict[str | None, float] = {}
        self._seen: tuple[object, str, dict[str, tuple[int, ...]]] | None = None

    @property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in self.method.state_dict().values()), torch.device("cpu"))

    @property
    def style_key(self) -> str:
        """Tells apart models whose styles do not fit each other."""
        return self._known()[0]

    def _known(self) -> tuple[str, dict[str, tuple[int, ...]]]:
        """The key, and the shapes of its styles' statistics; found out anew when a weight has changed."""
        weights = self.method.state_dict(keep_vars=True).values()
        now = [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in weights]
        if self._seen is None or self._seen[0] != now:
            known = probe_statistics(self.method, self.device)
            self._seen = now, style_key(self.method, self.name, known), statistics_shapes(known)
        return self._seen[1:]

    @torch.no_grad()
    def style(self, source: StyleSource, scale: float = 1.0) -> Style:
        """Looks at a style once, to stylise many pictures with it.

        Args:
            source: a picture: a PIL one, a tensor ``(1, 3, H, W)`` in [0, 1], or its file; a style file, of which ``#2``
                at its end takes the second look alone; the name of a style that the model has learnt; or a style already.
                Transparent pictures are laid over white, large ones made smaller (512 pixels the shorter side).
            scale: factor on a style picture's sides; larger gives larger strokes

        Raises:
            StylekitError: there is no such style, it cannot be read, or it does not fit the model.
        """
        if isinstance(source, Style):
            return self._fitting(source, "The style", scale)
        if isinstance(source, Tensor | Image.Image):
            return self._described(source, scale)
        if not isinstance(source, Path | str):
            raise StylekitError(
                "A style is a tensor (1, 3, H, W) in [0, 1], a PIL picture, a file, the name of a learnt style or what "
                "Model.style gave; several are a list, of pairs (style, weight) where they have weights. This is a "
                f"{type(source).__name__}."
            )
        known = self.method.styles()
        if source in known:
            return self._fitting(
                Style(known[str(source)], torch.ones(1), self.style_key, self.name), str(source), scale
            )
        path, hash_, look = str(source).rpartition("#") if f"{SUFFIX}#" in str(source) else (str(source), "", "")
        if path and Path(path).is_dir():
            raise StylekitError(
                f"{path} is a folder. `stylekit style learn {path} -o mine.style` makes a style of its pictures."
            )
        if not path or not Path(path).exists():
            raise StylekitError(
                f"There is no style {path or repr(path)}. {suggest(path, known) if known else 'Give a picture.'}"
            )
        if Path(path).suffix == SUFFIX:
            return self._from_file(Path(path), look if hash_ else None, scale)
        return self._described(source, scale)

    def _described(self, source: Tensor | Image.Image | Path | str, scale: float) -> Style:
        self.check_describes()
        if isinstance(source, Tensor):
            if source.ndim == 4 and len(source) > 1:
                raise StylekitError(f"A style is one picture (1, 3, H, W), and this tensor is {tuple(source.shape)}.")
            image = source
        else:
            picture = images.from_pil(source) if isinstance(source, Image.Image) else images.read(source)
            image = images.over_white(picture.image, picture.alpha)
        what = str(source) if isinstance(source, Path | str) else "The style"
        statistics = self.method.describe(controls.fit_style(self._ready(image, "A style"), scale, what))
        return Style(statistics, torch.ones(1), self.style_key, self.name)

    def _from_file(self, path: Path, look: str | None, scale: float) -> Style:
        style = self._fitting(read_style(path), str(path), scale)
        if look is None:
            return style
        if not look.isdecimal():
            raise StylekitError(
                f"{path}#{look}: after # comes a look's number. `stylekit style show {path}` tells them."
            )
        return style.look(int(look))

    def _fitting(self, style: Style, what: str, scale: float) -> Style:
        if scale != 1:
            raise StylekitError(
                f"{what} is no picture, so it cannot be scaled: leave the style's scale out, or learn it anew."
            )
        key, known = self._known()
        if not keys_match(style.key, key):
            raise StylekitError(
                f"{what} was described by another model, one of the method {style.method!r}, and does not fit this one of "
                f"{self.name!r}. Use that model, or learn the style anew with this one."
            )
        if (given := statistics_shapes(style.statistics)) != known:
            name = next(name for name in {**known, **given} if known.get(name) != given.get(name))
            raise StylekitError(
                f"{what} is damaged: its statistics {name!r} are missing, or not as the method {self.name!r} gives them. "
                "Learn the style anew."
            )
        statistics = {name: rows.to(self.device) for name, rows in style.statistics.items()}
        return Style(statistics, style.shares, style.key, style.method)

    def check_describes(self) -> None:
        """Refuses style pictures for a method that takes none.

        Raises:
            StylekitError: it takes none.
        """
        if not self.method.takes_styles():
            known = self.method.styles()
            which = f"It has learnt these by heart: {', '.join(known)}." if known else "Leave the style out."
            raise StylekitError(f"The method {self.name!r} takes no style pictures. {which}")

    @torch.no_grad()  # not in inference mode: its tensors refuse what the caller may want to do with them
    def stylize(
        self,
        image: Image_,
        style: StyleSource | Sequence[StyleSource | tuple[StyleSource, float]] | None = None,
        direction: str | None = None,
        *,
        strength: float = 1.0,
        keep_color: KeepColor | None = None,
        mask: Mask | Sequence[Mask] = (),
        style_scale: float = 1.0,
        seed: int = 0,
    ) -> Image_:
        """Stylises an image and gives one of the same kind and size.

        The generators of random numbers, which all threads share, are seeded meanwhile. So threads may stylise with one
        model at once if its method is ``thread_safe``.

        Args:
            image: float tensor ``(N, 3, H, W)`` in [0, 1], or a PIL picture, whose alpha is kept
            style: for methods that take one: whatever :meth:`style` takes, or a list of several, those with weights as
                pairs (style, weight)
            direction: one of the method's directions; the first by default
            strength: from 0, the picture as it is, to 1; below 0.2 the picture itself is mixed in, the more the less it is
            keep_color: keep the picture's colours by ``luminance`` or ``histogram``: those of the whole picture, masked or
                not
            mask: where, or one mask for each style; one style more than masks fills the rest, else it stays as it is
            style_scale: factor on the style pictures' sides
            seed: seed of whatever the method draws

        Raises:
            StylekitError: the image is no such tensor, or something asked for cannot be.
        """
        if isinstance(image, Image.Image):
            styled = self.stylize_picture(
                images.from_pil(image),
                style,
                direction,
                strength=strength,
                keep_color=keep_color,
                mask=mask,
                style_scale=style_scale,
                seed=seed,
            )
            return images.to_pil(styled.image, styled.alpha)
        self.check_direction(direction)
        controls.check_controls(strength, keep_color)
        strength, content = controls.to_float(strength), self._ready(image, "An image to stylise")
        masks = controls.fit_masks([controls.read_mask(each) for each in _several(mask)], content)
        looks = self.resolve_styles(style, style_scale, len(masks))
        with seeded("stylize", seed):
            made = [self._one(content, look, direction, strength, keep_color) for look in looks]
        out = made[0]
        if masks:
            where = controls.regions(masks, len(looks))
            # As a sum of changes: where there are none, the picture is exactly as it was.
            out = content + torch.stack([each * (one - content) for each, one in zip(where, made, strict=True)]).sum(0)
        out = out.clamp(0, 1)
        if image.dtype == torch.float64:  # finer than what is computed in: what stayed as it was keeps its values
            return torch.where((out == content).to(image.device), image, out.to(image))
        return out.to(image)

    def resolve_styles(self, style: Any, scale: float = 1.0, masks: int = 0) -> list[Statistics | None]:
        """What to stylise with: one blend of all styles, or with masks one for each region.

        Args:
            style: whatever :meth:`stylize` takes; without, the first that the model has learnt by heart
            scale: factor on the style pictures' sides
            masks: how many there are

        Returns:
            Statistics of one row each; none for a method that knows one style only.

        Raises:
            StylekitError: there is no such style, it does not fit the model, or styles, weights and masks do not go
                together.
        """
        controls.check_scale(scale)
        several = [style] if _is_weighted(style) else _several(style)
        given = [(each[0], controls.to_float(each[1])) if _is_weighted(each) else (each, 1.0) for each in several]
        given = given or [(name, 1.0) for name in self.method.styles()][:1]
        if not given and self.method.takes_styles():
            raise StylekitError(
                f"The method {self.name!r} needs a style, and none is given. On the command line: --style PICTURE."
            )
        styles = [(self.style(source, scale), weight) for source, weight in given]
        if not masks:
            return [blend(styles)] if styles else [None]
        controls.check_regions(masks, len(styles) or 1)
        if any(weight != 1 for _, weight in styles):
            raise StylekitError("With masks each style has its region, and no weight. Leave the weights out.")
        return [blend([each]) for each in styles] or [None]

    def _one(
        self, content: Tensor, style: Statistics | None, direction: str | None, strength: float, how: KeepColor | None
    ) -> Tensor:
        if strength == 0:
            return content
        if style is not None:
            styled = self.method.transfer(content, style, strength)
            if strength < FULLY:  # no method need come to the picture itself by its own ways
                styled = torch.lerp(content, styled, strength / FULLY)
        else:
            chosen: Any = {"direction": direction} if direction else {}
            styled = self.method.stylize(content, **chosen)
            styled = torch.lerp(content, styled, strength) if strength < 1 else styled
        if not bool(styled.isfinite().all()):
            raise StylekitError(
                f"The method {self.name!r} made NaN or infinity of the picture. Try another style: this one, or the model, "
                "may be damaged."
            )
        return controls.keep_color(styled, content, how)

    def stylize_picture(
        self, picture: Picture, style: Any = None, direction: str | None = None, **asked: Any
    ) -> Picture:
        """Stylises what :func:`stylekit.images.read` gave; alpha, profile and notes stay. Takes what :meth:`stylize` does.

        Colours below full transparency are unseen and often garbage, so the mean visible colour takes their place.
        """
        image, alpha = picture.image, picture.alpha
        if alpha is not None:
            seen = alpha > 0
            mean = (image * seen).sum((2, 3), keepdim=True) / seen.sum().clamp(min=1)
            image = torch.where(seen, image, mean)
        styled = self.stylize(image, style, direction, **asked)
        return Picture(styled, alpha, picture.icc_profile, picture.exif)

    def check_direction(self, direction: str | None) -> None:
        """Refuses a direction that the method does not have.

        Raises:
            StylekitError: it does not.
        """
        known = self.method.directions
        if direction is not None and direction not in known:
            listed = suggest(direction, known) if known else "It has one direction only."
            raise StylekitError(f"The method {self.name!r} has no direction {direction!r}. {listed}")

    def needed_memory(self, height: int, width: int, direction: str | None = None) -> int:
        """About how many bytes it takes to stylise an image of that size; what a pixel needs is tried out once, in small."""
        if direction not in self._bytes_per_pixel:
            self._bytes_per_pixel[direction] = self._try_out(direction)
        return int(self._bytes_per_pixel[direction] * height * width)

    def require_memory(self, height: int, width: int, direction: str | None = None) -> None:
        """Refuses an image that will not fit into the memory that is free.

        Raises:
            StylekitError: it needs more; both figures are told. Or the model has no weights for that direction.
        """
        needed, free = self.needed_memory(height, width, direction), free_memory(self.device)
        if needed > free:
            malloc.release_freed_memory()
            free = free_memory(self.device)
        if needed > free:
            raise StylekitError(
                f"{width}x{height} pixels need about {needed / 2**30:.1f} GiB with this model, and {free / 2**30:.1f} GiB "
                f"are free on {self.device}. Make the picture smaller, by a factor of {(needed / free) ** 0.5:.1f} a side."
            )

    def _try_out(self, direction: str | None) -> float:
        """Bytes that a pixel takes; 0 for an optimisation, which is too slow to be tried."""
        if not self.method.exportable:
            return 0.0
        # A network pads what is smaller than its least side, and the padding would be scaled up as well.
        probe = max(PROBE, *(getattr(part, "min_size", 1) for part in self.method.children()), 1)
        style = torch.full((1, 3, probe, probe), 0.5) if self.method.takes_styles() else None
        self._known()  # once and before, so that it does not count
        return bytes_per_pixel(partial(self.stylize, style=style, direction=direction), probe)

    def _ready(self, image: Tensor, what: str) -> Tensor:
        form = f"{what} is a float tensor (N, 3, H, W) in [0, 1]"
        if not isinstance(image, Tensor):
            raise StylekitError(
                f"{form} or a PIL picture, and this one is a {type(image).__name__}. PIL.Image.open opens a file."
            )
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point() or 0 in image.shape:
            raise StylekitError(f"{form}, and this one is {image.dtype} {tuple(image.shape)}.")
        controls.check_finite(image, what)
        return image.to(self.device, torch.float32)


def _is_weighted(given: Any) -> bool:
    """Whether it is a pair of a style and its weight."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        return False
    return isinstance(given[1], Real) or (isinstance(given[1], Tensor) and given[1].ndim == 0)


def _several(given: Any) -> list[Any]:
    """One thing, several, or none, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
