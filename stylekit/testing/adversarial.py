"""Checks of adversarial losses: a scalar for each side, from scores of any shape, that falls in the right direction."""

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
    require(
        isinstance(loss, nn.Module), f"An adversarial loss must be an nn.Module, and this is a {type(loss).__name__}."
    )
    missing = [name for name in ("discriminator", "generator") if not callable(getattr(loss, name, None))]
    require(
        not missing,
        f"The loss lacks {' and '.join(missing)}: define discriminator(real, fake) and generator(fake, real).",
    )
    require(
        isinstance(getattr(loss, "relativistic", None), bool),
        "The loss lacks the attribute relativistic: set it to True if generator(fake, real) needs the scores of real images, "
        "otherwise to False.",
    )
    return "relativistic" if loss.relativistic else "not relativistic"


def _sides(loss: nn.Module) -> dict[str, Callable[..., Any]]:
    """The functions of the loss, by their names in messages."""
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
            valid = isinstance(value, Tensor) and value.ndim == 0 and bool(torch.isfinite(value))
            require(valid, f"{what} must return a finite scalar, also for a batch of {count}.")
    return ""


def _sense(subject: Subject) -> str:
    loss = subject.build()

    def at(side: Callable[..., Tensor], first: float, second: float) -> float:
        return float(side(*(torch.full((2, 1, 4, 4), score) for score in (first, second))))

    # A least-squares loss has labels for real and fake, usually 1 and 0, and rises again beyond them.
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
            valid = value == value and abs(value) != float("inf")
        except (TypeError, AttributeError, RuntimeError, ValueError):
            valid = False
        require(valid, f"{what} must also accept lists of scores, one per scale: average over them.")
    return "several scales"


def _gradients(subject: Subject) -> str:
    loss = subject.build()
    for what, call in _sides(loss).items():
        scores = _scores(what)
        inputs = scores if what.startswith("discriminator") else scores[:1]
        value = call(*(each.requires_grad_() for each in scores)).sum()
        gradients = torch.autograd.grad(value, inputs, allow_unused=True) if value.requires_grad else (None,)
        require(
            all(grad is not None and bool(grad.any()) and bool(grad.isfinite().all()) for grad in gradients),
            f"{what} must have a finite gradient with respect to {'both arguments' if len(inputs) > 1 else 'its first'}"
            f"{' argument' if len(inputs) == 1 else ''}: do not use no_grad, detach or .item() in it.",
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
