"""Checks of metrics: a value for each image or set, the same for any batches, in the stated direction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stylekit.testing.devices import TENSORS, require_float64, require_moves
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import pictures

WHAT = "forward(output, reference)"
AGAINST = ("truth", "content", "style", "real")
COUNT, SIDE = 8, 64
"""Images of a set, and their side in pixels."""


def _builds(subject: Subject) -> str:
    metric = subject.build()
    require(isinstance(metric, nn.Module), f"A metric must be an nn.Module, and this is a {type(metric).__name__}.")
    against, higher = getattr(metric, "against", None), getattr(metric, "higher", None)
    require(
        against in AGAINST,
        f"The attribute against is {against!r}, but must say what outputs are compared with: {', '.join(AGAINST)}.",
    )
    require(
        isinstance(higher, bool), f"The attribute higher is {higher!r}, but must be True if higher values are better."
    )
    return f"against {against}, {'higher' if higher else 'lower'} is better"


def _images() -> tuple[Tensor, Tensor]:
    output = pictures(COUNT, SIDE, SIDE)
    return output, (output + 0.3 * (pictures(COUNT, SIDE, SIDE, which="reference") - output)).clamp(0, 1)


def _of_sets(metric: Any) -> bool:
    return callable(getattr(metric, "features", None))


def _inputs(metric: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, references that are close to them, and others: images, or features of sets that are large enough."""
    output, reference = _images()
    if not _of_sets(metric):
        return output, reference, (1 - output).flip(-1)  # a negative alone has the same edges
    count = metric.features(output).shape[1]
    rows = torch.randn(3, 2 * count + 8, count, generator=torch.Generator().manual_seed(0))
    return rows[0], rows[1], rows[2] + 10


def _shapes(subject: Subject) -> str:
    metric = subject.build()
    output, reference = _images()
    if not _of_sets(metric):
        for count in (1, 3):
            value = metric(output[:count], reference[:count])
            valid = isinstance(value, Tensor) and value.shape == (count,) and bool(value.isfinite().all())
            require(valid, f"{WHAT} must return a finite value for each image, ({count},) for {count}.")
        return "of images"
    features = metric.features(output)
    require(
        isinstance(features, Tensor) and features.ndim == 2 and len(features) == COUNT,
        f"features(image) must return a row for each image, ({COUNT}, D) for {COUNT}.",
    )
    value = metric(*_inputs(metric)[:2])
    valid = isinstance(value, Tensor) and value.ndim == 0 and bool(value.isfinite())
    require(valid, f"{WHAT} must return a finite scalar for the features of two sets.")
    return "of sets"


def _sense(subject: Subject) -> str:
    metric = subject.build()
    output, close, other = _inputs(metric)
    alike = close if _of_sets(metric) else output.clone()
    near, far = (float(metric(output, each).mean()) for each in (alike, other))
    require(
        near >= far if metric.higher else near <= far,
        f"{WHAT} is {near:.3g} for equal images and {far:.3g} for different ones, but higher is {metric.higher}.",
    )
    return ""


def _batches(subject: Subject) -> str:
    metric = subject.build()
    output, reference, _ = _inputs(metric)
    require(
        torch.equal(metric(output, reference), metric(output, reference)),
        f"{WHAT} differs from call to call: draw random numbers with a generator that has a seed of its own.",
    )
    call, images = (metric.features, _images()[:1]) if _of_sets(metric) else (metric, _images())
    single = torch.cat([call(*(each[number : number + 1] for each in images)) for number in range(COUNT)])
    require(
        bool(torch.allclose(call(*images), single, rtol=1e-4, atol=1e-5)),
        f"{'features(image)' if _of_sets(metric) else WHAT} differs if images come one by one instead of {COUNT} at once.",
    )
    return ""


def _float64(subject: Subject) -> str:
    metric = subject.build()
    if not _of_sets(metric):
        require_float64(metric, metric, _images(), WHAT)
    return ""


def _device(subject: Subject) -> str:
    metric = subject.build()
    if not _of_sets(metric):
        require_moves(metric, _images(), WHAT)
    return ""


CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("shapes", _shapes),
    Check("sense", _sense, after=("shapes",)),
    Check("batches", _batches, after=("shapes",)),
    Check("float64", _float64, after=("tensors",)),
    Check("devices", _device, after=("tensors",)),
)
