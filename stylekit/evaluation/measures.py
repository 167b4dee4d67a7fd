"""Metrics in use: each gathers what it needs of every output, and gives values of pairs or one value of the set."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import stylekit
from stylekit.errors import StylekitError
from stylekit.evaluation.digests import module_digest
from stylekit.evaluation.inputs import Inputs, Pair
from stylekit.registry.parts import Part, make, resolve_part
from stylekit.registry.schema import arguments


class Measure:
    """A metric that is applied to the outputs of several subjects.

    Args:
        name: its name in the report
        spec: the metric
        inputs: the images

    Raises:
        StylekitError: there is no such metric, an option is invalid, or the inputs lack what it compares with.
    """

    def __init__(self, name: str, spec: Part, inputs: Inputs) -> None:
        self.name, self._inputs = name, inputs
        self.metric: Any = make("metric", spec)
        self.of_sets = callable(getattr(self.metric, "features", None))
        self.values: dict[str, dict[Pair, float]] = {}
        self._features: dict[str, list[Tensor]] = {}
        self._real: list[Tensor] = []
        self._spec = spec
        if lack := _lack(self.metric.against, inputs):
            raise StylekitError(f"The metric {name!r} needs {lack}.")

    def add(self, subject: str, pair: Pair, output: Tensor) -> None:
        """Measures an output ``(1, 3, H, W)`` of a subject.

        Raises:
            StylekitError: the metric cannot compare it.
        """
        if self.of_sets:
            self._features.setdefault(subject, []).append(self.metric.features(output))
            return
        reference = self._reference(*pair)
        value = self.metric(output, reference)
        if not bool(value.isfinite().all()):
            raise StylekitError(f"The metric {self.name!r} is not finite for {pair[0]}.")
        self.values.setdefault(subject, {})[pair] = float(value)

    def _reference(self, content: str, style: str | None) -> Tensor:
        if self.metric.against == "truth":
            return self._inputs.truth(content)
        if self.metric.against == "style":
            assert self._inputs.applied is not None
            return self._inputs.applied[style or ""]
        return self._inputs.contents[content]

    def add_real(self, image: Tensor) -> None:
        """Adds an image ``(1, 3, H, W)`` of the style to the set that outputs are compared with."""
        if self.of_sets:
            self._real.append(self.metric.features(image))

    def of_set(self) -> dict[str, float]:
        """The value of each subject's set.

        Raises:
            StylekitError: there are too few images.
        """
        real = torch.cat(self._real)
        return {subject: float(self.metric(torch.cat(rows), real)) for subject, rows in self._features.items()}

    def card(self) -> dict[str, Any]:
        """What another program needs to compute the same values, as JSON values."""
        metric = self.metric
        factory, given, _, plugin = resolve_part("metric", self._spec)
        options = {name: argument.default for name, argument in arguments(factory).items()} | given
        package = "stylekit" if plugin is None or plugin.own else plugin.package
        version = stylekit.__version__ if plugin is None or plugin.own else plugin.version
        encoder = getattr(metric, "encoder", None)
        return {
            "implementation": f"{package} {version}, {type(metric).__module__}.{type(metric).__qualname__}",
            "about": (type(metric).__doc__ or "").strip().partition("\n")[0],
            "options": {name: value if _is_plain(value) else str(value) for name, value in options.items()},
            "against": metric.against,
            "better": "higher" if metric.higher else "lower",
            **({"encoder": _encoder(metric, encoder)} if isinstance(encoder, nn.Module) else {}),
        }


def _lack(against: str, inputs: Inputs) -> str:
    """What the inputs lack; empty: nothing."""
    if against == "truth" and inputs.truths is None:
        return "the true outputs"
    if against == "content" and inputs.mode == "sample":
        return "contents, which samples do not have"
    if against == "style" and inputs.applied is None:
        return "a style for each output"
    if against == "real" and inputs.styles is None:
        return "images of the style"
    return ""


def _encoder(metric: Any, encoder: nn.Module) -> dict[str, Any]:
    layers = getattr(metric, "layers", None) or getattr(metric, "layer", None)
    shown = {"layers": [layers] if isinstance(layers, str) else list(layers)} if layers else {}
    return {"network": type(encoder).__name__, **shown, "weights": module_digest(encoder)}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool) or (isinstance(value, Mapping) and bool(value))


def versions() -> dict[str, str]:
    """The versions of the packages that compute metrics."""
    found = {"stylekit": stylekit.__version__, "torch": torch.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["torchmetrics"] = importlib.metadata.version("torchmetrics")
    return found
