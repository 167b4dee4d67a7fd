"""Chooses what stylises: torch, or a runtime for exported models, which starts in a fraction of the time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stylekit.cli.concurrency import AT_ONCE, Concurrency, ExportedConcurrency, TorchConcurrency
from stylekit.cli.model_arguments import Models
from stylekit.errors import StylekitError, suggest
from stylekit.images import size
from stylekit.inference.exported import SUFFIXES, runtimes
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup

if TYPE_CHECKING:
    from stylekit.images import Picture
    from stylekit.inference.exported.model import ExportedModel

DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where there is a GPU that torch may use."""
MANY = 20
"""Number of images from which a GPU is worth the time that torch takes to start."""


class Stylizer(Protocol):
    """What stylises pictures: a :class:`stylekit.inference.Model`, or an exported one."""

    name: str
    arrays: bool
    on_step: Any

    @property
    def intensities(self) -> Any: ...

    @property
    def keeps_state(self) -> bool: ...

    @property
    def optimizes(self) -> bool: ...

    def learned_styles(self) -> list[str]: ...

    def style(self, source: str, scale: float = 1.0) -> Any: ...

    def resolve_styles(self, styles: Any, *, masks: int = 0) -> Any: ...

    def resolve_options(self, given: Mapping[str, Any]) -> dict[str, Any]: ...

    def needed_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> int: ...

    def require_memory(self, height: int, width: int, options: Mapping[str, Any] = {}) -> None: ...

    def stylize_picture(self, *given: Any, **options: Any) -> Picture: ...

    def clip(self, *given: Any, **options: Any) -> Iterator[Picture]: ...


def open_stylizer(
    models: Models,
    engine: str,
    device: str,
    images: int,
    strength: float,
    torch_only: Sequence[str],
    options: Mapping[str, Any],
    sources: Sequence[Path] = (),
) -> tuple[Stylizer, Callable[[Mapping[str, Any]], Concurrency]]:
    """Loads what stylises the images.

    Args:
        models: what the user gave as ``--model``; several are loaded as one, with torch
        engine: what the user gave as ``--engine``
        device: what the user gave as ``--device``
        images: number of images
        strength: the strength of the style
        torch_only: the given options that only torch supports
        options: options of the method's constructor
        sources: the images' files, if they are known

    Returns:
        the model, and what tells how many images it stylises at once, by the method's options for each image

    Raises:
        StylekitError: there is no such engine or model, or they do not go together.
    """
    [(model, _), *others] = models
    if others:
        return _open_several(models, engine, device, images, options)
    if file := exported_file(model, engine, device, images, torch_only):
        at_once = max(1, min(AT_ONCE, cores := runtimes.thread_count(), images))
        from stylekit.inference.exported.model import ExportedModel

        exported, only = ExportedModel(file, engine, cores // at_once, device), engine != "auto" or file == Path(model)
        if exported.blends(strength) and (only or _fit(exported, sources)):
            return exported, lambda options: ExportedConcurrency(exported, at_once)
        if only:
            raise StylekitError(
                f"{file} supports no strength between 0 and 1, because the method {exported.name!r} does not."
            )
    from stylekit.inference.loading import load

    loaded = load(model, device, **options)
    return loaded, lambda options: TorchConcurrency(loaded, images, options)


def _open_several(
    models: Models, engine: str, device: str, images: int, options: Mapping[str, Any]
) -> tuple[Stylizer, Callable[[Mapping[str, Any]], Concurrency]]:
    """Loads several models as one, with torch; see :func:`open_stylizer`.

    Raises:
        StylekitError: a model is missing or exported, or the engine or options are for one model.
    """
    _require_engine(engine)
    if engine not in ("auto", "torch"):
        raise StylekitError(f"Several models need the engine torch. Leave --engine {engine} out.")
    for name, _ in models:
        if Path(name).suffix in SUFFIXES:
            raise StylekitError(f"{name} cannot be one of several models. Give the model that it was exported from.")
    if options:
        raise StylekitError(
            f"The option {next(iter(options))!r} of a constructor is for one model, but there are {len(models)}. Leave it out, "
            "or use stylekit.load in Python."
        )
    from stylekit.inference.loading import load

    loaded = load([name if weight is None else (name, weight) for name, weight in models], device)
    return loaded, lambda options: TorchConcurrency(loaded, images, options)


def _require_engine(name: str) -> None:
    if name not in ("auto", *runtimes.ENGINES):
        raise StylekitError(f"There is no engine {name!r}. {suggest(name, ['auto', *runtimes.ENGINES])}")


def exported_file(model: str, engine: str, device: str, images: int, needs_torch: Sequence[str]) -> Path | None:
    """The exported file to stylise with; None: torch.

    Args:
        models: what the user gave as ``--model``; several are loaded as one, with torch
        engine: what the user gave as ``--engine``
        device: what the user gave as ``--device``
        images: number of images
        needs_torch: the given options that only torch supports

    Raises:
        StylekitError: there is no such engine, or it cannot be used with the model and the options.
    """
    _require_engine(engine)
    given = Path(model)
    if given.suffix in SUFFIXES:
        if needs_torch:
            raise StylekitError(
                f"{needs_torch[0]} cannot be used with {model}. Give the model that it was exported from."
            )
        return given
    if engine == "torch":
        return None
    file = _shipped(model)
    if engine == "auto" and device not in runtimes.ONNX_ONLY:
        slow = bool(needs_torch) or device.partition(":")[0] in ("cuda", "mps") or (DRIVER.exists() and images >= MANY)
        return None if slow or file is None or not _installed(file) else file
    asked = f"The engine {engine!r}" if engine != "auto" else f"The device {device!r}, which only onnxruntime has,"
    if file is None:
        raise StylekitError(
            f"{asked} needs an exported model: run `stylekit export {model} -o model.onnx`, then give --model model.onnx."
        )
    if needs_torch:
        given_out = f"--engine {engine}" if engine != "auto" else f"--device {device}"
        raise StylekitError(f"{needs_torch[0]} needs the engine torch. Leave {given_out} out.")
    return file


def _fit(model: ExportedModel, sources: Sequence[Path]) -> bool:
    """Whether all images fit into the memory. Of many, only the first are opened for it."""
    try:
        for source in sources[:MANY]:
            model.require_memory(*size(source))
    except StylekitError:
        return False
    return True


def _shipped(model: str) -> Path | None:
    """The exported form of a shipped model."""
    if Path(model).exists() or not lookup.part_owners("model", model):
        return None
    factory = lookup.find_part("model", model)
    return factory.exported if isinstance(factory, ModelFile) and factory.exported.is_file() else None


def _installed(file: Path) -> bool:
    return any(importlib.util.find_spec(each) for each in SUFFIXES[file.suffix])
