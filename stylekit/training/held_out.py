"""Evaluates a run on held-out images while it trains: keeps the best model, and tells when it no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stylekit.evaluation import DatasetPictures, Inputs, ModelSubject
from stylekit.evaluation.evaluate import checked, score
from stylekit.evaluation.measures import Measure
from stylekit.evaluation.pictures import quantised
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit.method import Method
from stylekit.registry.parts import Part, part_key
from stylekit.training.runs import Run
from stylekit.training.settings import Settings

COUNT = 16
"""Number of held-out images that are evaluated, always the same."""
TURN = "evaluation"
"""The part before the slash of its values in the log."""


class HeldOut:
    """Evaluations of a run on held-out images. Their only memory is the log, so a resumed run continues where it was.

    Args:
        run: the run's folder
        name: name of the method
        method: the method
        settings: the run's settings
        dataset: the held-out images

    Raises:
        StylekitError: the metric does not exist, or does not apply to the method or the images.
    """

    def __init__(self, run: Run, name: str, method: Method, settings: Settings, dataset: Any) -> None:
        self._run, self._name, self._method, self._settings = run, name, method, settings
        self._inputs = _inputs(method, dataset)
        metric: Part = settings.eval_metric or ("mind" if self._inputs.truths is None else "psnr")
        self._measure = Measure(part_key(metric, (), "metric"), metric, self._inputs)
        self.key = f"{TURN}/{self._measure.name}"
        with torch.no_grad():
            for image in (self._inputs.styles or {}).values():
                self._measure.add_real(image)

    def evaluate(self, step: int) -> tuple[dict[str, float], bool]:
        """Evaluates the method as it is, logs the value, and keeps the model if it is the best.

        Returns:
            The value by its key in the log, and whether it is the best.

        Raises:
            StylekitError: the metric cannot be computed.
        """
        # A model sets its method to evaluation mode, in which the caller already has it.
        subject = ModelSubject("model", Model(self._method, self._name), self._inputs)
        self._measure.clear()
        for pair in self._inputs.pairs():
            output = checked(subject.output(*pair), subject.name, pair, self._inputs)
            self._measure.add(subject.name, pair, quantised(output))
        value, before = score(self._measure.results()[subject.name])["mean"], self._values()
        assert value is not None
        self._run.log([{"step": step, self.key: value}])
        higher = self._measure.metric.higher
        sign = 1 if higher else -1
        best = all(sign * value > sign * each for each in before.values())
        if best:
            save_model(self._method, self._name, self._run.best)
            better = "higher" if higher else "lower"
            self._run.describe(best={"step": step, "metric": self._measure.name, "value": value, "better": better})
        return {self.key: value}, best

    def exhausted(self) -> bool:
        """Whether as many evaluations in a row as the user has patience for were no better than one before."""
        best = self._run.best_step()
        since = sum(step > best for step in self._values()) if best is not None else 0
        return self._settings.patience is not None and since >= self._settings.patience

    def _values(self) -> Mapping[float, float]:
        """The values so far, by step."""
        return {line["step"]: line[self.key] for line in self._run.metrics() if self.key in line}


def _inputs(method: Method, dataset: Any) -> Inputs:
    """The held-out images in the roles that the method has for them."""
    if not method.stylizes():
        real = DatasetPictures(dataset, dataset.item_keys[0], COUNT, "the held-out images")
        return Inputs(real, real, mode="sample")
    contents, styles = (
        DatasetPictures(dataset, key, COUNT, "the held-out images") if key in dataset.item_keys else None
        for key in ("content", "style")
    )
    assert contents is not None
    truths = styles if getattr(dataset, "paired", False) else None
    return Inputs(contents, styles, truths, "apply" if method.takes_styles() else "translate", one_to_one=True)
