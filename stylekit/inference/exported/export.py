"""Exports a model to files that other runtimes execute, and compares what they compute with torch."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylekit._files import explain_os_errors
from stylekit.errors import StylekitError
from stylekit.inference.exported.card import Array, Card, Probe, describing, drawn, summary
from stylekit.inference.exported.file import ExportedFile
from stylekit.inference.exported.graphs import Sample, Stylize, capture, resolved
from stylekit.inference.exported.verify import (
    COUNTS,
    LEVELS,
    SHARE,
    SIZES,
    STYLE_SIZE,
    Check,
    known_style,
    probe,
    probe_codes,
)
from stylekit.inference.exported.writing import Weights, require_format, write
from stylekit.inference.model import Model
from stylekit.method import Method, Statistics

TOLERANCES: Mapping[Weights, float] = {"32": 0.5, "16": 2.0, "int8": float(LEVELS)}
"""The largest difference from torch that is accepted, in levels of 8 bits. With int8, it is only reported."""


def export(
    model: Model,
    path: Path,
    options: Mapping[str, Any] = {},
    weights: Weights = "32",
    tolerance: float | None = None,
) -> list[Check]:
    """Writes a model to a file, and a second one ``NAME.describe.SUFFIX`` if it accepts any style; then compares it with torch.

    Nothing is written unless the files compute what torch does, at three sizes of images.

    Args:
        model: the model, on the CPU
        path: the file: ``.onnx``, ``.xml`` for OpenVINO, which comes with a ``.bin``, or ``.pt2`` for torch
        options: the method's own options, which become part of the file
        weights: how weights are stored
        tolerance: largest difference from torch in levels of 8 bits; by default, see :data:`TOLERANCES`

    Raises:
        StylekitError: the method or the format does not support it, a package is missing, or the difference is too large.
    """
    require_format(path)
    if model.intensities:
        raise StylekitError(
            "Exported files hold no mapping of values to [0, 1], so only models for RGB pictures can be exported."
        )
    options = resolved(model, options)
    graphs = capture(model, options)
    card = graphs[0].card
    expected = [_expected(model, card, options, size) for size in _sizes(card)]
    probes = [Probe(list(size), summary(output)) for size, (output, _) in zip(_sizes(card), expected, strict=True)]
    limit = TOLERANCES[weights] if tolerance is None else tolerance
    with explain_os_errors(path):
        temporary = tempfile.TemporaryDirectory(dir=path.parent)
    with temporary as folder:
        draft = Path(folder) / path.name
        try:
            for graph, name in zip(graphs, (draft, describing(draft)), strict=False):
                write(name, replace(graph, card=replace(graph.card, probes=probes)), weights)
            checks = _compared(ExportedFile(draft), model, options, expected)
        except StylekitError as error:
            raise StylekitError(str(error).replace(f"{folder}/", f"{path.parent}/")) from error
        worst = max(checks, key=lambda check: check.difference)
        if not worst.difference <= limit:  # also true for NaN
            raise StylekitError(
                f"The exported file differs from torch by up to {worst.difference:.2g} levels of 255, at the size "
                f"{'x'.join(map(str, reversed(worst.size)))}, but at most {limit:g} are accepted. It was not written."
            )
        for file in sorted(Path(folder).iterdir(), key=lambda each: each.suffix == path.suffix):
            os.replace(file, path.parent / file.name)
    return checks


def _sizes(card: Card) -> Sequence[tuple[int, ...]]:
    return COUNTS[: 1 + card.batch] if card.graph == "sample" else SIZES


def _expected(
    model: Model, card: Card, options: Mapping[str, Any], size: Sequence[int], count: int = 1, strength: float = 1.0
) -> tuple[Array, float]:
    """What torch computes for an image that everyone can draw, and the seconds that it takes."""
    method = model.method
    with torch.no_grad():
        if card.graph == "sample":
            codes = torch.from_numpy(probe_codes(card.codes, size[0]))
            start = time.perf_counter()
            return Sample(method, options)(codes).numpy(), time.perf_counter() - start
        style = _style(method)
        image = torch.from_numpy(drawn(*size)).expand(count, -1, -1, -1)
        rest: list[Tensor] = [*style.values(), *([torch.tensor(strength)] if strength < 1 else [])]
        start = time.perf_counter()
        output = Stylize(method, list(style), options)(image, *rest)
        return output.numpy(), time.perf_counter() - start


def _style(method: Method) -> Statistics:
    if method.takes_styles():
        return method.describe(torch.from_numpy(drawn(*STYLE_SIZE, phase=2.0)))
    return next(iter(method.styles().values()), {})


def _compared(
    file: ExportedFile, model: Model, options: Mapping[str, Any], expected: Sequence[tuple[Array, float]]
) -> list[Check]:
    """The difference of a file from torch at every size, with two images at once, and with another strength."""
    card, checks = file.card, []
    for size, (output, torch_seconds) in zip(_sizes(card), expected, strict=True):
        found, seconds = probe(file, size)
        checks.append(Check(size, _difference(found, output), seconds, torch_seconds))
    if card.graph == "stylize":
        size, style, worst = SIZES[1], known_style(file), checks[1].difference
        if card.batch:
            pair, _ = _expected(model, card, options, size, count=2)
            worst = max(worst, _difference(file.stylize(np.repeat(drawn(*size), 2, 0), style), pair))
        if card.strength == "input":
            partly, _ = _expected(model, card, options, size, strength=SHARE)
            worst = max(worst, _difference(file.stylize(drawn(*size), style, SHARE), partly))
        checks[1] = replace(checks[1], difference=worst)
    return checks


def _difference(one: Array, other: Array) -> float:
    """The largest difference of images, in levels of 8 bits; infinite if their shapes differ."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other).max()) * LEVELS
