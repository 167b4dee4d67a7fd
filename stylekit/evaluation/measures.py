"""Metrics in use: each gathers what it needs of every output, and gives values of pairs or one value of the set."""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import stylekit
from stylekit.errors import StylekitError
from stylekit.evaluation.inputs import Inputs, Pair
from stylekit.registry import lookup
from stylekit.registry.parts import Part, make, part_key, resolve_part
from stylekit.registry.schema import arguments
from stylekit.weights.digests import module_digest

Results = Mapping[str, Mapping[Pair, float] | float]
"""By subject, the values of its outputs, or the value of its set."""


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
        features: Any = getattr(self.metric, "features", None)
        self.of_sets = callable(features)
        self.values: dict[str, dict[Pair, float]] = {}
        self._features: dict[str, list[Tensor]] = {}
        self._real: list[Tensor] = []
        self._spec = spec
        self._of_content = self.of_sets and "content" in inspect.signature(features).parameters
        if lack := _lack(self.metric.against, inputs) or (_lack("content", inputs) if self._of_content else ""):
            raise StylekitError(f"The metric {name!r} needs {lack}.")

    def clear(self) -> None:
        """Forgets all outputs, but not the images of the style."""
        self.values.clear()
        self._features.clear()

    def add(self, subject: str, pair: Pair, output: Tensor) -> None:
        """Measures an output ``(1, 3, H, W)`` of a subject.

        Raises:
            StylekitError: the metric cannot compare it.
        """
        if self.of_sets:
            content = {"content": self._inputs.contents[pair[0]]} if self._of_content else {}
            self._features.setdefault(subject, []).append(self.metric.features(output, **content))
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

    def results(self) -> Results:
        """The values of each subject's outputs, or the value of its set.

        Raises:
            StylekitError: there are too few images.
        """
        if not self.of_sets:
            return self.values
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


class Measures:
    """The metrics of an evaluation. Those that nobody asked for by name are left out where they fail; ``skipped`` says why.

    Args:
        metrics: the metrics; if empty, all built-in ones
        inputs: the images

    Raises:
        StylekitError: a metric that was asked for does not exist, or does not apply to the inputs.
    """

    def __init__(self, metrics: Sequence[Part], inputs: Inputs) -> None:
        self.skipped: dict[str, str] = {}
        self._asked = bool(metrics)
        self._measures: dict[str, Measure] = {}
        for spec in metrics or _built_in():
            name = part_key(spec, self._measures, "metric")
            with self._left_out_if_it_fails(name):
                self._measures[name] = Measure(name, spec, inputs)

    def add(self, subject: str, pair: Pair, output: Tensor) -> None:
        """Measures an output of a subject by every metric."""
        for name, measure in list(self._measures.items()):
            with self._left_out_if_it_fails(name):
                measure.add(subject, pair, output)

    def add_real(self, image: Tensor) -> None:
        """Adds an image of the style to the set that outputs are compared with."""
        for measure in self._measures.values():
            measure.add_real(image)

    def finished(self) -> list[tuple[Measure, Results]]:
        """The metrics that have results, with these."""
        found = []
        for name, measure in list(self._measures.items()):
            with self._left_out_if_it_fails(name):
                found.append((measure, measure.results()))
        return found

    @contextlib.contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except StylekitError as error:
            if self._asked:
                raise
            self.skipped[name] = str(error)
            self._measures.pop(name, None)


def _built_in() -> list[str]:
    own = [plugin for plugin in lookup.visible_plugins() if plugin.own]
    return sorted(name for plugin in own for name in lookup.parts_of_kind(plugin, "metric"))


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
