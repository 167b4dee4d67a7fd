"""Evaluates subjects, such as models and folders, by metrics on the same inputs."""

from __future__ import annotations

import io
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylekit import images
from stylekit.encoders import shared_features
from stylekit.errors import StylekitError
from stylekit.evaluation.bootstrap import DRAWS, LEVEL, interval
from stylekit.evaluation.inputs import Inputs, Pair
from stylekit.evaluation.measures import Measures, versions
from stylekit.evaluation.pictures import quantised, reduced
from stylekit.evaluation.subjects import Subject, references
from stylekit.registry.parts import Part

FORMAT = 1
THUMBNAIL = 384
"""Longer side of the images of the report, in pixels."""


@dataclass
class Evaluation:
    """The result of an evaluation.

    Attributes:
        inputs: the images
        subjects: the facts about each subject by its name; the trivial answers are the last
        precision: of the features: 32, or bf16 where the processor has it
        cards: what another program needs to compute the same values, by metric
        values: by metric, subject and pair; only metrics of single images
        scores: by metric and subject: ``mean``, and ``low`` and ``high``, the confidence interval, None if there is none
        comparisons: by metric: for each two subjects, the difference of their means and its interval
        skipped: why a metric was left out
        seconds: time that an output took, by subject and pair
        thumbnails: JPEG files by subject and pair
    """

    inputs: Inputs
    subjects: dict[str, dict[str, Any]]
    precision: str = "32"
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    values: dict[str, dict[str, dict[Pair, float]]] = field(default_factory=dict)
    scores: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    comparisons: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, dict[Pair, float]] = field(default_factory=dict)
    thumbnails: dict[str, dict[Pair, bytes]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values: everything but the images."""
        return {
            "format": FORMAT,
            "protocol": self._protocol(),
            "subjects": self.subjects,
            "metrics": self.cards,
            "scores": self.scores,
            "comparisons": self.comparisons,
            "skipped": self.skipped,
            "seconds": {
                name: statistics.median(self.seconds[name].values())
                for name, facts in self.subjects.items()
                if facts["kind"] == "model"
            },
            "values": {
                metric: {
                    subject: [{"content": c, "style": s, "value": value} for (c, s), value in values.items()]
                    for subject, values in by_subject.items()
                }
                for metric, by_subject in self.values.items()
            },
        }

    def _protocol(self) -> dict[str, Any]:
        inputs = self.inputs
        sets = {"contents": inputs.contents, "styles": inputs.styles, "truths": inputs.truths}
        return {
            **{name: pictures.facts() for name, pictures in sets.items() if pictures is not None},
            "pairs": len(inputs.pairs()),
            "mode": inputs.mode,
            "styles each": 0 if inputs.applied is None else 1 if inputs.one_to_one else len(inputs.applied),
            "range": "RGB in [0, 1], rounded to 8 bits",
            "interval": f"{LEVEL:.0%}, percentiles of {DRAWS} bootstrap draws, seed 0",
            "precision": self.precision,
            "seed": 0,
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }


def evaluate(
    subjects: Sequence[Subject],
    inputs: Inputs,
    metrics: Sequence[Part] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    half: bool = False,
) -> Evaluation:
    """Applies metrics to the outputs of all subjects, which take turns, and to the trivial answers.

    Outputs are rounded to 8 bits, as in a file, and measured one at a time, so that a value does not depend on the others.

    Args:
        subjects: what is evaluated; names must differ
        inputs: the images
        metrics: the metrics; if empty, all built-in ones that apply to the inputs
        progress: is told the number of finished and of all pairs
        half: compute features in bfloat16 where the encoder and the processor allow it, in half the time

    Raises:
        StylekitError: an input cannot be read, an output is missing, not finite or of another size than its content, or a
            metric that was asked for cannot be computed.
    """
    names = [subject.name for subject in subjects]
    trivial = references(inputs)
    if doubles := {name for name in names if names.count(name) > 1 or name in {each.name for each in trivial}}:
        raise StylekitError(f"Two subjects are named {min(doubles)!r}. Give them different names.")
    everyone: list[Subject] = [*subjects, *trivial]
    result = Evaluation(inputs, {each.name: dict(each.facts) for each in everyone}, "bf16" if half else "32")
    with torch.no_grad(), shared_features(half=half):
        measures = Measures(metrics, inputs)
        pairs = inputs.pairs()
        for done, pair in enumerate(pairs):
            progress(done, len(pairs))
            for subject in everyone:
                start = time.perf_counter()
                output = subject.output(*pair)
                result.seconds.setdefault(subject.name, {})[pair] = time.perf_counter() - start
                output = checked(output, subject.name, pair, inputs)
                if subject not in trivial:  # which are rounded, and whose features may be known
                    output = quantised(output)
                measures.add(subject.name, pair, output)
                result.thumbnails.setdefault(subject.name, {})[pair] = thumbnail(output)
        progress(len(pairs), len(pairs))
        for image in (inputs.styles or {}).values():
            measures.add_real(image)
        for measure, found in measures.finished():
            result.values |= {} if measure.of_sets else {measure.name: measure.values}
            result.scores[measure.name] = {subject: score(values) for subject, values in found.items()}
            result.cards[measure.name] = measure.card()
    result.skipped = measures.skipped
    result.comparisons = _comparisons(result, names)
    return result


def score(values: Mapping[Pair, float] | float) -> dict[str, float | None]:
    """The mean of values with its interval; the value of a set has none."""
    if isinstance(values, float):
        return {"mean": values, "low": None, "high": None}
    low, high = interval(values) or (None, None)
    return {"mean": sum(values.values()) / len(values), "low": low, "high": high}


def _comparisons(result: Evaluation, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The differences of each two subjects on the same pairs, by metric."""
    found: dict[str, list[dict[str, Any]]] = {}
    for metric, values in result.values.items():
        sign = 1 if result.cards[metric]["better"] == "higher" else -1
        for one, other in itertools.combinations(names, 2):
            differences = {pair: values[one][pair] - values[other][pair] for pair in values[one]}
            wins = sum(sign * each > 0 for each in differences.values()) / len(differences)
            row = {"one": one, "other": other, **score(differences), "better_in": wins}
            found.setdefault(metric, []).append(row)
    return found


def checked(output: Tensor, name: str, pair: Pair, inputs: Inputs) -> Tensor:
    """The output, if it is as large as its content, or its true output if there is one."""
    if not bool(output.isfinite().all()):
        raise StylekitError(f"The output of {name} for {pair[0]} contains NaN or infinity.")
    expected = inputs.contents[pair[0]] if inputs.truths is None else inputs.truth(pair[0])
    if output.shape != expected.shape:
        size, wanted = (f"{each.shape[-1]}x{each.shape[-2]}" for each in (output, expected))
        raise StylekitError(
            f"The output of {name} for {pair[0]} has {size} pixels, but {wanted} are expected. Resize it first."
        )
    return output.cpu().float()


def thumbnail(image: Tensor) -> bytes:
    """A small JPEG file of an image ``(1, 3, H, W)``."""
    file = io.BytesIO()
    images.to_pil(reduced(image, THUMBNAIL)).save(file, "JPEG", quality=85)
    return file.getvalue()
