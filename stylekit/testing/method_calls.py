"""Calls of a method for the checks: each way in which a user may call it, and a batch to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple, get_args, get_origin

import torch
from torch import Tensor

from stylekit.inference.options import draw_samples, sample_options, stylize_options
from stylekit.method import Method
from stylekit.registry.schema import Argument
from stylekit.seeding import seeded
from stylekit.testing.kit import NotTried, Subject
from stylekit.testing.pictures import drawn, min_size, pictures
from stylekit.training.rehearsal import rehearse
from stylekit.training.setup import prepare, prepare_arguments


class Call(NamedTuple):
    """A way to call a method: its name in messages, and a function of content and style."""

    what: str
    run: Callable[[Tensor, Tensor], Tensor]


def calls(method: Method) -> Iterator[Call]:
    """The ways to stylise with a method or to draw samples, with every combination of the values of its Literal options.

    Raises:
        NotTried: a required option has no value that the checks could make up.
    """
    if method.stylizes():
        for text, options in choices(stylize_options(method)):
            yield Call(f"stylize(content{text})", partial(_stylize, method, options))
    if method.samples():
        for text, options in choices(sample_options(method)):
            yield Call(f"sample(count{text})", partial(_sample, method, options))


def choices(known: dict[str, Argument]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The options of each call, as text and as values: every value of a Literal, and ``Tensor`` for a required image."""
    fixed: dict[str, Any] = {}
    values: dict[str, tuple[Any, ...]] = {}
    for name, option in known.items():
        if get_origin(option.type) is Literal:
            values[name] = get_args(option.type)
        elif option.required and option.accepts(Tensor):
            fixed[name] = Tensor
        elif option.required:
            raise NotTried(f"needs the option {name!r} to stylise or sample ({option.help or option.type})")
    for combination in product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        yield "".join(f", {name}={value!r}" for name, value in chosen.items()), {**fixed, **chosen}


def fill(options: dict[str, Any], content: Tensor) -> dict[str, Any]:
    """The options, with an image in place of ``Tensor``. It is made from the content, so it is on the same device."""
    return {name: content[:1].flip(-1) if value is Tensor else value for name, value in options.items()}


def _sample(method: Method, options: dict[str, Any], content: Tensor, style: Tensor) -> Tensor:
    return draw_samples(method, len(content), fill(options, content))


def _stylize(method: Method, options: dict[str, Any], content: Tensor, style: Tensor) -> Tensor:
    filled = fill(options, content)
    if type(method).transfer is Method.transfer:
        return method.stylize(content, **filled)
    statistics = method.describe(style) if method.takes_styles() else next(iter(method.styles().values()))
    return method.transfer(content, statistics, 1.0, **filled)


def batch(method: Method, count: int = 2) -> dict[str, Tensor]:
    """A batch to train on: the method's example, or random images."""
    side = min_size(method)
    example = method.example(count, side)
    return (
        dict(example)
        if example is not None
        else {key: pictures(count, side, side, which=key) for key in method.batch_keys}
    )


def prepared(method: Method) -> Method:
    """The method after its ``prepare``.

    Raises:
        NotTried: ``prepare`` needs an option.
    """
    for name, argument in prepare_arguments(type(method)).items():
        if argument.required:
            raise NotTried(f"needs the option {name!r} to train ({argument.help or argument.type})")
    with seeded("prepare"):
        prepare(method, {})
    return method


def ready(subject: Subject, draw: int = 0) -> Method:
    """The method, built, prepared and rehearsed, as it is before the first training step."""
    method = prepared(subject.build(draw))
    with seeded("rehearsal"):
        rehearse(method, batch(method))
    return method


def outputs(method: Method) -> list[Tensor]:
    """The output of each call of the method for the same images and the same seed, in eval mode."""
    method.eval()
    with torch.no_grad():
        return [drawn(call.run, (pictures(1), pictures(1, which="style"))) for call in calls(method)]


def same(outputs: list[Tensor], others: list[Tensor]) -> bool:
    """Whether two lists of tensors are equal, bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(outputs, others, strict=True))
