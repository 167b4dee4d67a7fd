"""What an adversarial loss must do: a scalar for each side, from scores of any shape, that falls the right way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.devices import TENSORS, Called, require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import BATCHES, pictures


def _builds(subject: Subject) -> str:
    loss = subject.build()
    require(isinstance(loss, nn.Module), f"It is built as {type(loss).__name__}: an adversarial loss is an nn.Module.")
    missing = [name for name in ("discriminator", "generator") if not callable(getattr(loss, name, None))]
    require(
        not missing, f"It lacks {' and '.join(missing)}: define discriminator(real, fake) and generator(fake, real)."
    )
    require(
        isinstance(getattr(loss, "relativistic", None), bool),
        "It lacks relativistic: set it to True if generator(fake, real) needs the scores of real images, or else to False.",
    )
    return "relativistic" if loss.relativistic else "scores images by themselves"


def _sides(loss: nn.Module) -> dict[str, Callable[..., Any]]:
    """Its two functions, by what to call them."""
    sides: dict[str, Any] = {"discriminator(real, fake)": loss.discriminator, "generator(fake, real)": loss.generator}
    if not loss.relativistic:
        sides["generator(fake)"] = loss.generator
    return sides


def _scores(what: str, count: int = 2) -> tuple[Tensor, ...]:
    first, second = (4 * pictures(count, 4, 4, 1, which) - 2 for which in ("content", "style"))
    return (first,) if what == "generator(fake)" else (first, second)


def _scalars(subject: Subject) -> str:
    loss = subject.build()
    for count in BATCHES:
        for what, call in _sides(loss).items():
            value = call(*_scores(what, count))
            good = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
            require(good, f"{what} must return a finite scalar, for a batch of {count} too.")
    return ""


def _sense(subject: Subject) -> str:
    loss = subject.build()

    def at(side: Callable[..., Tensor], first: float, second: float) -> float:
        return float(side(*(torch.full((2, 1, 4, 4), score) for score in (first, second))))

    # Least squares have labels for real and fake, usually 1 and 0, beyond which they rise again.
    judge = loss.discriminator
    require(at(judge, 1.0, 0.0) < at(judge, 0.0, 0.0), "discriminator(real, fake) must fall as real scores rise.")
    require(at(judge, 1.0, 0.0) < at(judge, 1.0, 1.0), "discriminator(real, fake) must fall as fake scores fall.")
    fool = loss.generator
    require(at(fool, 5.0, 0.0) < at(fool, -5.0, 0.0), "generator(fake, real) must fall as fake scores rise.")
    return ""


def _scales(subject: Subject) -> str:
    loss = subject.build()
    lists = [[pictures(2, side, side, 1, which) for side in (4, 2)] for which in ("content", "style")]
    for what, call in _sides(loss).items():
        try:
            value = float(call(*lists[: len(_scores(what))]))
            good = value == value and abs(value) != float("inf")
        except (TypeError, AttributeError, RuntimeError, ValueError):
            good = False
        require(good, f"{what} must accept lists of scores too, one per scale: average over them.")
    return "several scales"


def _gradients(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _sides(loss).items():
        scores = _scores(what)
        learned = scores if what.startswith("discriminator") else scores[:1]
        value = call(*(each.requires_grad_() for each in scores)).sum()
        slopes = torch.autograd.grad(value, learned, allow_unused=True) if value.requires_grad else (None,)
        require(
            all(slope is not None and bool(slope.any()) and bool(slope.isfinite().all()) for slope in slopes),
            f"{what} must have a finite gradient for {'both arguments' if len(learned) > 1 else 'its first argument'}: "
            "leave no_grad, detach and .item() out of it.",
        )
    return ""


def _float64(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _sides(loss).items():
        require_float64(loss, call, _scores(what), what)
    return ""


def _device(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _sides(loss).items():
        require_moves(Called(loss, call), _scores(what), what)
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("scalars", _scalars),
    Check("sense", _sense, after=("scalars",)),
    Check("scales", _scales),
    Check("gradients", _gradients),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
)
