"""Finished models: one safetensors file that knows its method and settings, and the object that stylises with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

import stylekit
from stylekit import images, origins, plugins
from stylekit.errors import StylekitError, suggest
from stylekit.images import Picture
from stylekit.memory import PROBE, free_memory, needed_bytes
from stylekit.method import Method
from stylekit.parts import make
from stylekit.runtime import pick_device
from stylekit.tensors import fit, read_tensors, write_tensors
from stylekit.weights import read_state

__all__ = ["Model", "load"]

FORMAT = "1"
Image_ = TypeVar("Image_", Tensor, Image.Image)


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
    kept = {
        key: tensor
        for key, tensor in method.state_dict().items()
        if not method.ships or key.split(".")[0] in method.ships
    }
    write_tensors(path, kept, header(method, name))


def find(path: Path) -> Path:
    """The model file that a path means: itself, a run's model, or what is whole in a checkpoint.

    Raises:
        StylekitError: there is none.
    """
    if path.is_dir():
        for name in ("model.safetensors", "method.safetensors"):
            if (path / name).is_file():
                return path / name
        raise StylekitError(
            f"The folder {path} holds no model: neither a finished run nor a checkpoint. Give a run's folder, such as "
            "runs/NAME, or a .safetensors file."
        )
    if not path.is_file():
        raise StylekitError(
            f"There is no model {path}. Give a run's folder, such as runs/NAME, or a .safetensors file."
        )
    return path


def load(
    run_or_file: Path | str, device: str = "auto", method: Callable[..., Method] | None = None, **arguments: Any
) -> Model:
    """Loads a run's model, a checkpoint's, or a model file.

    Args:
        run_or_file: a run's folder, a checkpoint's folder, or a ``.safetensors`` file
        device: auto, cpu, cuda or mps
        method: the method's class, where no plugin offers it
        arguments: constructor arguments that the file cannot hold (parts given as callables)

    Raises:
        StylekitError: no such file, a file of another kind or of a plugin that is not installed, or a missing, unknown
            or wrong-shaped tensor.
    """
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


def import_model(files: Sequence[Path], plugin: str, out: Path) -> str:
    """Turns weights that another program wrote into a model file, and says what they are.

    Raises:
        StylekitError: the method has no importer, the files are not of its kind, or they cannot be read or written.
    """
    if out.suffix != ".safetensors":
        raise StylekitError(f"A model file ends in .safetensors, and {out} does not.")
    if out.resolve() in {file.resolve() for file in files}:
        raise StylekitError(f"{out} is one of the files to read, and is not overwritten.")
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
        method: Method = make("method", factory or name, **{**stored, **arguments})
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

    @property
    def device(self) -> torch.device:
        return next((p.device for p in self.method.parameters()), torch.device("cpu"))

    @torch.no_grad()  # not in inference mode: its tensors refuse what the caller may want to do with them
    def stylize(self, image: Image_, style: Tensor | Image.Image | None = None, direction: str | None = None) -> Image_:
        """Stylises an image and gives one of the same kind and size.

        Args:
            image: float tensor ``(N, 3, H, W)`` in [0, 1], or a PIL picture, whose alpha is kept
            style: the same, for methods that take a style picture
            direction: one of the method's directions; the first by default

        Raises:
            StylekitError: the image is no such tensor, or the method has no such direction.
        """
        self.check_direction(direction)
        options = {"direction": direction} if direction else {}
        if isinstance(image, Image.Image):
            styled = self.stylize_picture(images.from_pil(image), style, direction)
            return images.to_pil(styled.image, styled.alpha)
        look = None if style is None else self._ready(self._as_tensor(style))
        return self.method.stylize(self._ready(image), look, **options).clamp(0, 1).to(image)

    def stylize_picture(
        self, picture: Picture, style: Tensor | Image.Image | None = None, direction: str | None = None
    ) -> Picture:
        """Stylises what :func:`stylekit.images.read` gave; alpha, profile and notes stay.

        Colours below full transparency are unseen and often garbage, so the mean visible colour takes their place.
        """
        image, alpha = picture.image, picture.alpha
        if alpha is not None:
            seen = alpha > 0
            mean = (image * seen).sum((2, 3), keepdim=True) / seen.sum().clamp(min=1)
            image = torch.where(seen, image, mean)
        return Picture(self.stylize(image, style, direction), alpha, picture.icc_profile, picture.exif)

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
        """Bytes that a pixel takes."""
        # A network pads what is smaller than its least side, and the padding would be scaled up as well.
        probe = max(PROBE, *(getattr(part, "least_side", 1) for part in self.method.children()), 1)
        return needed_bytes(partial(self.stylize, direction=direction), 1024, 1024, probe) / 1024**2

    @staticmethod
    def _as_tensor(image: Tensor | Image.Image) -> Tensor:
        return images.to_tensor(image) if isinstance(image, Image.Image) else image

    def _ready(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point() or 0 in image.shape:
            raise StylekitError(
                f"An image to stylise is a float tensor (N, 3, H, W) in [0, 1], and this one is {image.dtype} "
                f"{tuple(image.shape)}."
            )
        return image.to(self.device, torch.float32)
