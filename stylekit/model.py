"""Finished models: one safetensors file that knows its method and settings, and the object that stylises with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

import stylekit
from stylekit import controls, images, origins, plugins, pretrained
from stylekit.controls import KeepColor, Mask
from stylekit.errors import StylekitError, suggest
from stylekit.images import Picture
from stylekit.memory import PROBE, free_memory, needed_bytes
from stylekit.method import Method, Statistics
from stylekit.parts import make, override
from stylekit.runtime import pick_device
from stylekit.seeding import seeded
from stylekit.styles import SUFFIX, Style, blend, key_of, read_style, same_key, sample, shapes
from stylekit.tensors import fit, read_tensors, write_tensors
from stylekit.weights import read_state

__all__ = ["Model", "load"]

FORMAT = "1"
Image_ = TypeVar("Image_", Tensor, Image.Image)
StyleSource = Tensor | Image.Image | Path | str | Style
FULLY = 0.2
"""From this strength on, nothing of the picture itself is mixed in."""


def header(method: Method, name: str) -> dict[str, str]:
    """What a file of weights says about itself."""
    return {
        "stylekit": stylekit.__version__,
        "format": FORMAT,
        "method": name,
        "origin": origins.origin(method),
        "packages": json.dumps(origins.packages(method)),
        "arguments": json.dumps(plain(method.arguments)),
    }


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments as JSON values; a callable has no name to store, and becomes a note of which it was."""
    values: dict[str, Any] = json.loads(json.dumps(dict(arguments), default=_note))
    return values


def _note(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    target = getattr(value, "func", value)
    return {"callable": f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"}


def save(method: Method, name: str, path: Path) -> None:
    """Writes a model file: what ``stylize`` needs, and how to build the method again.

    Args:
        method: the method
        name: the name that it is registered by
        path: the file, ending in ``.safetensors``

    Raises:
        StylekitError: no space is left, or the file cannot be written.
    """
    write_tensors(path, shipped(method), header(method, name))


def shipped(method: Method) -> dict[str, Tensor]:
    """The tensors that a model file holds."""
    return {
        key: tensor
        for key, tensor in method.state_dict().items()
        if not method.ships or key.split(".")[0] in method.ships
    }


def find(path: Path) -> Path:
    """The model file that a path means: itself, a run's model, or what is whole in a checkpoint.

    Raises:
        StylekitError: there is none.
    """
    if held := _held(path):
        return held
    if path.is_dir():
        raise StylekitError(
            f"The folder {path} holds no model: neither a finished run nor a checkpoint. Give a run's folder, such as "
            "runs/NAME, or a .safetensors file."
        )
    shipped = "".join(f", {name}" for name in plugins.names("model"))
    raise StylekitError(
        f"There is no model {path}. Give a run's folder, such as runs/NAME, a .safetensors file, or a name: of a method "
        f"that needs no training, such as gatys, or of a shipped model{shipped and f' ({shipped[2:]})'}."
    )


def _held(path: Path) -> Path | None:
    files = (path, path / "model.safetensors", path / "method.safetensors")
    return next((file for file in files if file.is_file()), None)


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
    if isinstance(run_or_file, str) and not _held(Path(run_or_file)):  # a folder of pictures does not hide a name
        if plugins.owners("model", run_or_file):
            model: Model = plugins.find("model", run_or_file)(device=device, **arguments)
            return model
        if plugins.owners("method", run_or_file):
            return _untrained(run_or_file, device, arguments)
    path = find(Path(run_or_file))
    tensors, told = read_tensors(path)
    if "method" not in told:
        raise StylekitError(
            f"{path} is no model of stylekit: its header names no method. Weights of other programs come in with "
            "`stylekit import`."
        )
    if told.get("format") != FORMAT:
        raise StylekitError(
            f"{path} has format {told.get('format')!r}; this stylekit reads {FORMAT!r}. Update stylekit."
        )
    built = _build(told, method, arguments, path)
    restore(built, path, tensors)
    return Model(built.to(pick_device(device)), told["method"])


def _untrained(name: str, device: str, arguments: Mapping[str, Any]) -> Model:
    """A method by its name alone, which will do if it has nothing to learn."""
    chosen = override(plugins.find("method", name), {}, arguments, f"method {name!r}")
    method: Method = make("method", {**chosen, "name": name})
    if method.players():
        raise StylekitError(
            f"The method {name!r} has to be trained first: `stylekit train --plugin {name}`. Then give the run's folder."
        )
    return Model(method.to(pick_device(device)), name)


def restore(method: Method, path: Path, tensors: Mapping[str, Tensor] | None = None) -> None:
    """Loads a model file into a method; submodules that it does not hold say so when they are used.

    Raises:
        StylekitError: a tensor is missing, unknown, or of another shape; the first is named.
    """
    tensors = read_tensors(path)[0] if tensors is None else tensors
    if not method.ships:
        fit(method, tensors, path)
        return
    heads = {key.split(".")[0] for key in tensors}
    held = {name for name in method.ships if name in heads} or set(method.ships)
    absent = {name for name, _ in method.named_children()} - held
    fit(method, {key: tensor for key, tensor in tensors.items() if key.split(".")[0] in held}, path, absent)
    for name in absent:
        setattr(method, name, _Absent(name, path))


def begin(method: Method, source: Path | str) -> None:
    """Gives a method that is to be trained the weights of a finished model; what that does not ship stays as it is.

    Raises:
        StylekitError: there is no such model, it is of another method, or a tensor of it is unknown or of another shape.
    """
    by_hand = None if origins.origin(method) else type(method)  # no plugin offers it, so its class must build the model
    try:
        finished = load(source, device="cpu", method=by_hand).method
        if type(finished) is not type(method):
            raise StylekitError(
                f"{source} is a model of {type(finished).__name__}, and {type(method).__name__} is to be trained."
            )
        weights = shipped(finished)
        absent = {key.split(".")[0] for key in method.state_dict()} - {key.split(".")[0] for key in weights}
        fit(method, weights, Path(source), absent)
    except StylekitError as error:
        raise StylekitError(f"The training cannot begin with --init {source}: {error}") from None


def import_model(files: Sequence[Path], plugin: str, out: Path) -> str:
    """Turns weights that another program wrote into a model file, and says what they are.

    Raises:
        StylekitError: the method has no importer, the files are not of its kind, or they cannot be read or written.
    """
    if out.suffix != ".safetensors":
        raise StylekitError(f"A model file ends in .safetensors, and {out} does not.")
    if out.resolve() in {file.resolve() for file in files}:
        raise StylekitError(f"{out} is one of the files to read, and is not overwritten.")
    for file in files:  # elsewhere a file may have a published name and be the user's own
        if file.resolve().parent == pretrained.folder().resolve():
            pretrained.verify(file)
    name, factory = plugins.find_method(plugin)
    reader = factory if isinstance(factory, type) and issubclass(factory, Method) else Method
    arguments, state = reader.read_weights({str(file): read_state(file) for file in files})
    method: Method = make("method", name, **arguments)
    absent = {child for child, _ in method.named_children()} - {key.split(".")[0] for key in state}
    fit(method, state, files[0], absent)
    write_tensors(out, state, header(method, name))
    return ", ".join(f"{key}={value}" for key, value in plain(arguments).items())


def _build(
    told: Mapping[str, str], factory: Callable[..., Method] | None, arguments: Mapping[str, Any], path: Path
) -> Method:
    name = told["method"]
    try:
        stored, needed = dict(json.loads(told["arguments"])), dict(json.loads(told.get("packages", "{}")))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StylekitError(f"{path} is damaged: its header has no arguments of the method ({error}).") from None
    for key, value in stored.items():
        if isinstance(value, dict) and "callable" in value and key not in arguments:
            raise StylekitError(
                f"{path} was made with {key}={value['callable']}, which has no registered name. Give it again: "
                f"stylekit.load({str(path)!r}, {key}=...)."
            )
    if factory is not None:  # its package may be gone
        needed.pop(told.get("origin", "").rpartition(" ")[0], None)
    origins.require(needed, path)
    if factory is None and not plugins.owners("method", name):
        raise StylekitError(
            f"{path} belongs to the method {name!r} of {told.get('origin') or 'no plugin'}, which is not here. "
            f"{plugins.why_not(name)}Install the package that offers it, name its file with --plugin FILE.py, or give its "
            "class: stylekit.load(..., method=...)."
        )
    try:
        chosen = override(factory or plugins.find("method", name), stored, arguments, f"method {name!r}")
        method: Method = make("method", factory or name, **chosen)
    except StylekitError as error:
        raise StylekitError(f"{path} holds a model that cannot be built here. {error}") from None
    if factory is None and (others := needed.keys() - origins.packages(method)):
        raise StylekitError(
            f"{path} was made with parts of {', '.join(others)}, and here their names mean parts of others."
        )
    return method


class _Absent(nn.Module):
    """Stands where a file has no weights, and says so when it is used."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.message = (
            f"{path} holds no weights for {name!r}, which this needs. Take the other direction, or import or train it."
        )

    def forward(self, *_: Any, **__: Any) -> Tensor:
        raise StylekitError(self.message)


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
            known = sample(self.method, self.device)
            self._seen = now, key_of(self.method, self.name, known), shapes(known)
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
        if not same_key(style.key, key):
            raise StylekitError(
                f"{what} was described by another model, one of the method {style.method!r}, and does not fit this one of "
                f"{self.name!r}. Use that model, or learn the style anew with this one."
            )
        if (given := shapes(style.statistics)) != known:
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
        if not self.method.describes():
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

        Not for several threads at once: the generators of random numbers, which all threads share, are seeded meanwhile.

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
        controls.check(strength, keep_color)
        strength, content = controls.real(strength), self._ready(image, "An image to stylise")
        masks = controls.fit_masks([controls.read_mask(each) for each in _several(mask)], content)
        looks = self.looks(style, style_scale, len(masks))
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

    def looks(self, style: Any, scale: float = 1.0, masks: int = 0) -> list[Statistics | None]:
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
        given = [(each[0], controls.real(each[1])) if _is_weighted(each) else (each, 1.0) for each in several]
        given = given or [(name, 1.0) for name in self.method.styles()][:1]
        if not given and self.method.describes():
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

    def require_memory(self, height: int, width: int, direction: str | None = None) -> None:
        """Refuses an image that will not fit into the memory that is free; what is needed is tried out once, in small.

        Raises:
            StylekitError: it needs more; both figures are told. Or the model has no weights for that direction.
        """
        if direction not in self._bytes_per_pixel:
            self._bytes_per_pixel[direction] = self._try_out(direction)
        needed = int(self._bytes_per_pixel[direction] * height * width)
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
        probe = max(PROBE, *(getattr(part, "least_side", 1) for part in self.method.children()), 1)
        style = torch.full((1, 3, probe, probe), 0.5) if self.method.describes() else None
        self._known()  # once and before, so that it does not count
        return needed_bytes(partial(self.stylize, style=style, direction=direction), 1024, 1024, probe) / 1024**2

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
