"""Captures what a model computes as graphs, by torch.export, for images of all sizes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import stylekit
from stylekit.errors import StylekitError, one_line_error
from stylekit.inference.exported.card import Card
from stylekit.inference.exported.silence import silent
from stylekit.inference.model import Model
from stylekit.inference.model_headers import json_arguments
from stylekit.inference.options import resolve_options, sample_options, stylize_options
from stylekit.method import Method, Statistics
from stylekit.weights.digests import module_digest

IMAGE, STRENGTH, CODES, OUTPUT = "image", "strength", "codes", "output"
"""Names of inputs and outputs, besides those of the statistics."""
SIDES = (72, 88)
"""Height and width of the images by which graphs are captured."""


@dataclass(frozen=True)
class Graph:
    """A graph, and what it needs.

    Attributes:
        program: the captured program, for any batch, height and width
        inputs, outputs: names of its inputs and outputs, in their order
        card: what it is
    """

    program: torch.export.ExportedProgram
    inputs: Sequence[str]
    outputs: Sequence[str]
    card: Card


class Stylize(nn.Module):
    """Stylises with statistics, and with a strength if it is passed."""

    def __init__(self, method: Method, names: Sequence[str], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.method, self.names, self.options = method, names, options

    def forward(self, image: Tensor, *rest: Tensor) -> Tensor:
        if not self.names:
            return self.method.stylize(image, **self.options)
        style = dict(zip(self.names, rest, strict=False))
        strength: Any = rest[-1] if len(rest) > len(self.names) else 1.0
        return self.method.transfer(image, style, strength, **self.options)


class Describe(nn.Module):
    """Describes style images."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.method.describe(image).values())


class Sample(nn.Module):
    """Draws images from codes."""

    def __init__(self, method: Method, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.method, self.options = method, options

    def forward(self, codes: Tensor) -> Tensor:
        return self.method.sample_from(codes, **self.options)


def resolved(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    """The method's own options, of stylising or of drawing samples.

    Raises:
        StylekitError: an option is unknown or has another type.
    """
    if model.method.stylizes():
        return model.resolve_options(options)
    return resolve_options(sample_options(model.method), options, f"method {model.name!r}", torch.device("cpu"))


def capture(model: Model, options: Mapping[str, Any] = {}) -> list[Graph]:
    """The graphs of a model: the one that stylises or draws samples, and the one that describes styles if it accepts any.

    Spectral norms and other parametrisations become plain weights.

    Args:
        model: the model, on the CPU
        options: what :func:`resolved` returned; they become part of the graph

    Raises:
        StylekitError: the method optimises each image or cannot be captured, or an option is an image.
    """
    method = model.method
    if not method.capabilities.exportable or method.capabilities.optimizes:
        why = "it optimises each image" if method.capabilities.optimizes else "its capabilities say so"
        raise StylekitError(f"The method {model.name!r} cannot be exported: {why}.")
    plain = _plain(method)
    card = Card("stylize", model.name, stylekit.__version__, module_digest(method))
    with torch.no_grad(), silent():
        if not method.stylizes():
            return [_sample_graph(model, plain, card, options)]
        return _stylize_graphs(model, plain, card, options)


def _stylize_graphs(model: Model, method: Method, card: Card, options: Mapping[str, Any]) -> list[Graph]:
    image = torch.rand(2, 3, *SIDES, generator=torch.Generator().manual_seed(0))
    if required := [name for name, each in stylize_options(method).items() if each.required and name not in options]:
        raise StylekitError(f"The method {model.name!r} needs the option {required[0]!r}: --with {required[0]}=VALUE.")
    if any(isinstance(value, Tensor) for value in options.values()):
        raise StylekitError("An option that is an image cannot be part of an exported file. Leave it out.")
    known: Mapping[str, Statistics] = method.styles()
    style = method.describe(image[:1]) if method.takes_styles() else next(iter(known.values()), {})
    rows = [each[:1] for each in style.values()]
    card = replace(
        card,
        options=json_arguments(options),
        scale=method.scale,
        statistics={name: list(each.shape[1:]) for name, each in style.items()},
        style_key=model.style_key if style else "",
        learned={name: {key: each.tolist() for key, each in known[name].items()} for name in known},
        takes_styles=method.takes_styles(),
        strength="statistics" if method.capabilities.blends_statistics else "none",
        zero_strength=method.capabilities.zero_strength,
        bytes_per_pixel=model.needed_memory(1000, 1000, options) // 10**6,
    )
    module, names = Stylize(method, list(style), options), [IMAGE, *style]
    graphs = []
    if style and card.strength == "none":
        with contextlib.suppress(StylekitError):  # a strength that Python code compares with 1 cannot be an input
            program, batch = _captured(module, [image, *rows, torch.tensor(0.7)], model)
            graphs = [Graph(program, [*names, STRENGTH], [OUTPUT], replace(card, batch=batch, strength="input"))]
    if not graphs:
        program, batch = _captured(module, [image, *rows], model)
        graphs = [Graph(program, names, [OUTPUT], replace(card, batch=batch))]
    if method.takes_styles():
        program, batch = _captured(Describe(method), [image], model)
        graphs.append(Graph(program, [IMAGE], list(style), replace(graphs[0].card, graph="describe", batch=batch)))
    return graphs


def _sample_graph(model: Model, method: Method, card: Card, options: Mapping[str, Any]) -> Graph:
    if not method.walks():
        raise StylekitError(f"The method {model.name!r} cannot be exported: it does not draw its images from codes.")
    codes = method.codes(2)
    program, batch = _captured(Sample(method, options), [codes], model)
    card = replace(card, graph="sample", options=json_arguments(options), codes=list(codes.shape[1:]), batch=batch)
    return Graph(program, [CODES], [OUTPUT], card)


def _captured(module: nn.Module, inputs: Sequence[Tensor], model: Model) -> tuple[torch.export.ExportedProgram, bool]:
    """The program for images of any size; and whether it is for any number of them, or for one at a time.

    Code with ``len(image)`` fixes the number, as Python's ``len`` cannot be a symbol.
    """
    any_, sides = torch.export.Dim.DYNAMIC, (2, 3) if isinstance(module, Stylize | Describe) else ()
    rest: tuple[dict[int, Any], ...] = tuple({} for _ in inputs[1:])
    for batch in (True, False):
        first = dict.fromkeys((0, *sides) if batch else sides, any_)
        given = (inputs[0] if batch else inputs[0][:1], *inputs[1:])
        shapes: Any = (first, rest) if rest else (first,)
        try:
            return torch.export.export(module.eval(), given, dynamic_shapes=shapes, strict=False), batch
        except Exception as error:  # torch raises many types
            failure = error
    reason = one_line_error(failure)[:300]
    raise StylekitError(
        f"The method {model.name!r} cannot be captured as a graph for images of all sizes: {reason}"
    ) from failure


def _plain(method: Method) -> Method:
    """A copy of a method without parametrisations such as spectral norms, whose weights are as they would be computed."""
    plain = copy.deepcopy(method).eval().requires_grad_(False)
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module):
            values = {name: getattr(module, name) for name in module.parametrizations}  # type: ignore[union-attr]
            # Not remove_parametrizations, which changes the class of the module, and copies share it.
            module.__class__ = type(module).__bases__[0]
            del module.parametrizations
            for name, value in values.items():
                setattr(module, name, nn.Parameter(value, requires_grad=False))
    return plain
