"""The report of an evaluation: report.json, and report.html, which needs no server and no network."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from stylekit._files import explain_os_errors, write_atomic
from stylekit.evaluation.evaluate import Evaluation, thumbnail
from stylekit.evaluation.inputs import Pair

SHOWN, EXTREMES, POINTS = 24, 10, 50
"""Pairs in the grid, best and worst outputs of each metric, and points of a curve."""
JPEG = "data:image/jpeg;base64,"


def write_report(
    evaluation: Evaluation,
    folder: Path,
    command: str,
    curves: Mapping[str, Sequence[Mapping[str, float]]] = {},
    cost: Mapping[str, Mapping[str, Any]] = {},
) -> None:
    """Writes ``report.json`` and ``report.html`` to a folder, which is created.

    Args:
        evaluation: the result
        folder: the folder
        command: what reproduces it
        curves: the lines of a run's log, by subject
        cost: what each subject costs

    Raises:
        StylekitError: the folder cannot be written.
    """
    report = {"command": command, **evaluation.as_json(), "cost": cost}
    ranked = _ranked(evaluation)
    every = evaluation.inputs.pairs()
    spread = {every[index * len(every) // SHOWN] for index in range(SHOWN)} if len(every) > SHOWN else set(every)
    extreme = {pair for by in ranked.values() for ends in by.values() for end in ends.values() for pair, _ in end}
    chosen = [pair for pair in every if pair in spread | extreme]
    number = {pair: index for index, pair in enumerate(chosen)}
    data = {
        "report": report,
        "contents": {content: _uri(thumbnail(evaluation.inputs.contents[content])) for content, _ in chosen},
        "styles": _styles(evaluation, chosen),
        "pairs": [_pair(evaluation, pair, pair in spread) for pair in chosen],
        "ranked": {
            metric: {
                subject: {end: [[number[pair], value] for pair, value in each] for end, each in ends.items()}
                for subject, ends in by_subject.items()
            }
            for metric, by_subject in ranked.items()
        },
        "curves": {name: _curves(lines) for name, lines in curves.items()},
        "cost": cost,
    }
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "report.json", json.dumps(report, indent=2) + "\n")
    template = files("stylekit.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    # No text can end the script element that holds the data.
    write_atomic(folder / "report.html", template.replace("@DATA@", json.dumps(data).replace("<", "\\u003c")))


def _own(evaluation: Evaluation) -> list[str]:
    return [name for name, facts in evaluation.subjects.items() if facts["kind"] != "reference"]


def _ranked(evaluation: Evaluation) -> dict[str, dict[str, dict[str, list[tuple[Pair, float]]]]]:
    """The best and the worst outputs by metric and subject, the best first."""
    found: dict[str, dict[str, dict[str, list[tuple[Pair, float]]]]] = {}
    for metric, by_subject in evaluation.values.items():
        higher = evaluation.cards[metric]["better"] == "higher"
        for subject in _own(evaluation):
            order = sorted(by_subject[subject].items(), key=lambda item: item[1], reverse=higher)
            found.setdefault(metric, {})[subject] = {"best": order[:EXTREMES], "worst": order[: -EXTREMES - 1 : -1]}
    return found


def _pair(evaluation: Evaluation, pair: Pair, shown: bool) -> dict[str, Any]:
    content, style = pair
    outputs = {subject: _uri(evaluation.thumbnails[subject][pair]) for subject in _own(evaluation)}
    return {"content": content, "style": style, "shown": shown, "outputs": outputs}


def _styles(evaluation: Evaluation, pairs: Sequence[Pair]) -> dict[str, str]:
    applied = evaluation.inputs.applied
    return {style: _uri(thumbnail(applied[style])) for _, style in pairs if style is not None and applied is not None}


def _uri(jpeg: bytes) -> str:
    return JPEG + base64.b64encode(jpeg).decode()


def _curves(lines: Sequence[Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Each term by step, averaged over parts of the run."""
    each: dict[str, list[list[float]]] = {}
    length = max(1, math.ceil(len(lines) / POINTS))
    for start in range(0, len(lines), length):
        part = lines[start : start + length]
        for term in {key for line in part for key in line if key != "step"}:
            values = [line[term] for line in part if math.isfinite(line.get(term, math.nan))]
            if values:
                each.setdefault(term, []).append([part[-1]["step"], sum(values) / len(values)])
    return dict(sorted(each.items()))
