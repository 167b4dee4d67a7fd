"""The conformance kit: does a part do what the plugin contract says? Behind ``stylekit check``, and for plugins' tests.

Every check builds the part with its defaults (a method with its preset ``tiny``, if it has one), tries it on small
pictures, and raises :class:`stylekit.StylekitError` with one line that says what to change.
"""

from __future__ import annotations

import contextlib
import inspect
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylekit import model
from stylekit.data import batches
from stylekit.engine import rehearse
from stylekit.errors import StylekitError
from stylekit.method import Method
from stylekit.parts import make
from stylekit.seeding import seeded

SIDE = 64


def _require(good: bool, message: str) -> None:
    if not good:
        raise StylekitError(message)


def _pictures(count: int = 2, height: int = SIDE, width: int = SIDE) -> Tensor:
    with seeded("pictures to check on", count, height, width):
        return torch.rand(count, 3, height, width)


def _require_image(out: Any, like: Tensor, what: str) -> None:
    _require(isinstance(out, Tensor), f"{what} must return a tensor, not {type(out).__name__}.")
    _require(
        out.shape == like.shape, f"{what} gave {tuple(out.shape)} for {tuple(like.shape)}: keep the size, pad and crop."
    )
    _require(out.is_floating_point(), f"{what} must return a float image, not {out.dtype}.")
    _require(bool(torch.isfinite(out).all()), f"{what} gave NaN or infinity.")
    low, high = float(out.min()), float(out.max())
    _require(
        low >= -1e-3 and high <= 1 + 1e-3, f"{what} gave values from {low:.3g} to {high:.3g}: images are in [0, 1]."
    )


def check_generator(factory: Callable[..., Any]) -> str:
    """Checks that a generator keeps size and range, also for sides that are no multiples of its stride."""
    network = make("generator", factory).eval()
    for height, width in ((SIDE, SIDE), (SIDE + 5, SIDE - 7)):
        content = _pictures(1, height, width)
        with torch.no_grad():
            _require_image(network(content), content, "forward(content)")
    return f"{_count(network)} parameters; keeps {SIDE}x{SIDE} and {SIDE + 5}x{SIDE - 7}"


def check_discriminator(factory: Callable[..., Any]) -> str:
    """Checks that a discriminator gives finite scores, which depend on the picture and have a gradient for it."""
    network = make("discriminator", factory)
    image = _pictures(2, 2 * SIDE, 2 * SIDE).requires_grad_()
    scores = network(image)
    maps = [scores] if isinstance(scores, Tensor) else list(scores)
    _require(
        bool(maps) and all(isinstance(m, Tensor) for m in maps), "forward(image) must return scores, or a list of them."
    )
    _require(
        all(m.ndim and len(m) == 2 for m in maps), "forward(image) must keep the batch: one row of scores a picture."
    )
    total = torch.cat([m.flatten() for m in maps]).sum()
    (slope,) = torch.autograd.grad(total, image, allow_unused=True) if total.requires_grad else (None,)
    _require(slope is not None and bool(slope.any()), "The scores must have a gradient for the picture.")
    return f"{_count(network)} parameters; scores {', '.join(str(tuple(m.shape[1:])) for m in maps)}"


def check_loss(factory: Callable[..., Any]) -> str:
    """Checks that an adversarial loss has its three verbs, or an image loss is zero for equal images; all scalars."""
    loss = make("loss", factory)
    lacking = [verb for verb in ("real", "fake", "fool") if not hasattr(loss, verb)]
    if len(lacking) < 3:
        _require(not lacking, f"An adversarial loss has real, fake and fool; this one lacks {' and '.join(lacking)}.")
        for scores in (torch.randn(2, 1, 4, 4, requires_grad=True), [torch.randn(2, 1, 4, 4), torch.randn(2, 1, 2, 2)]):
            for verb in ("real", "fake", "fool"):
                value = getattr(loss, verb)(scores)
                _require(
                    value.ndim == 0 and bool(torch.isfinite(value)), f"{verb}(scores) must return a finite scalar."
                )
        good = torch.full((2, 1, 4, 4), 5.0)
        _require(float(loss.fool(good)) < float(loss.fool(-good)), "fool(scores) must be lower for higher scores.")
        return "adversarial: real, fake, fool"
    value = loss(_pictures(), _pictures())
    _require(
        value.ndim == 0 and bool(value.abs() < 1e-4), "forward(image, image) must be a scalar, zero for equal images."
    )
    return "image loss"


def check_dataset(factory: Callable[..., Any]) -> str:
    """Checks that a data set gives what it says, the same for the same seed; one that needs a path is not tried."""
    from stylekit.parts import arguments

    _require({"size", "seed", "split"} <= set(arguments(factory)), "A data set is built with size, seed and split.")
    try:
        first, again = (make("dataset", factory, size=SIDE, seed=1, split="train") for _ in range(2))
    except StylekitError as error:
        return f"needs more to be tried: {error}"
    items = [next(iter(batches(dataset, 2, 1, range(1)))) for dataset in (first, again, first)]
    for key in first.gives:
        _require(key in items[0], f"gives names {key!r}, and the items have only {', '.join(items[0])}.")
        _require_image(items[0][key], _pictures(), f"item[{key!r}]")
        same = all(torch.equal(items[0][key], others[key]) for others in items[1:])
        _require(same, f"item[{key!r}] differs for the same seed, epoch and index.")
    return f"{len(first)} items with {', '.join(first.gives)}"


def check_encoder(factory: Callable[..., Any]) -> str:
    """Checks that an encoder gives features by layer and is frozen."""
    encoder = make("encoder", factory)
    features = encoder(_pictures())
    _require(isinstance(features, Mapping) and bool(features), "forward(image) must return {layer: features}.")
    _require(not any(p.requires_grad for p in encoder.parameters()), "An encoder is frozen: requires_grad_(False).")
    return f"layers {', '.join(features)}"


def check_method(factory: Callable[..., Any]) -> str:
    """Checks that a method plays all its turns, stylises any size, and comes back the same from its file."""
    presets: Mapping[str, Any] = getattr(factory, "presets", {})
    with seeded("method to check"):
        method: Method = make("method", factory, **presets.get("tiny", {}))
        again: Method = make("method", factory, **presets.get("tiny", {}))
    _require(isinstance(method, Method), "A method must be a subclass of stylekit.Method.")
    batch = {key: _pictures() for key in method.needs}
    turns = rehearse(method, batch)
    method.eval()
    content = _pictures(1, SIDE + 5, SIDE - 7)
    with torch.no_grad():
        out = method.stylize(content, content)
        _require_image(out, content, "stylize(content)")
        _require(torch.equal(out, method.stylize(content, content)), "stylize must give the same twice, in eval mode.")
    rehearse(again, batch)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.safetensors"
        model.save(method, "checked", path)
        model.restore(again, path)
        _require(
            torch.equal(out, again.eval().stylize(content, content)), "A saved and loaded method stylises otherwise."
        )
    return f"turns {', '.join(turns) or 'none'}; keeps {SIDE + 5}x{SIDE - 7}; saves and loads"


CHECKS: dict[str, Callable[[Callable[..., Any]], str]] = {
    "method": check_method,
    "generator": check_generator,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "dataset": check_dataset,
    "encoder": check_encoder,
}


def check(kind: str, factory: Callable[..., Any]) -> str:
    """Checks a part of any kind and says what was seen.

    Raises:
        StylekitError: it breaks the contract, or raises an error of its own.
    """
    with seeded("check", kind):
        try:
            return CHECKS[kind](factory)
        except StylekitError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise StylekitError(f"It fails{_place(error, factory)}: {reason}.") from error


def _place(error: Exception, factory: Callable[..., Any]) -> str:
    """Where in the factory's own file the error came from."""
    with contextlib.suppress(TypeError):  # built in, or an object without a file
        file = inspect.getfile(factory)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f" in line {lines[-1]} of {file}" if lines else ""
    return ""


def _count(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()):,}"
