"""What ``stylekit evaluate`` and ``stylekit compare`` have in common: inputs, subjects, and the report. Imports torch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stylekit.cli.output import print_table
from stylekit.cli.progress import Progress
from stylekit.cli.targets import check_overwrite
from stylekit.errors import StylekitError
from stylekit.evaluation import (
    DatasetPictures,
    Evaluation,
    FolderPictures,
    FolderSubject,
    Inputs,
    ModelSubject,
    Subject,
    evaluate,
    write_report,
)
from stylekit.evaluation.cost import cost
from stylekit.evaluation.inputs import stem
from stylekit.evaluation.translation import translation
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.model_files import find_model_file
from stylekit.method import Method
from stylekit.registry.parts import Part
from stylekit.training.runs import Run
from stylekit.training.settings import read_data, read_metric, validate_settings
from stylekit.training.setup import data_options, open_data
from stylekit.training.written import read_assignments

Mode = Literal["apply", "translate"]
PAGES = ("report.json", "report.html")
SIZE = 256
"""Side of a data set's images in pixels, if none is given."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        subjects: models and folders of images, as they were given
        content: folder of contents
        style: folder of styles
        truth: folder of true outputs
        data: a data set instead of folders, as for ``stylekit train``
        size: longer side of the images in pixels; 0: their own
        count: number of images of each folder, or of pairs of the data set; 0: all
        one_to_one: whether each content gets one style
        metrics: the metrics, as they were given
        options: the method's options for each image
        device: where models run
        cost: whether to measure what models cost
        half: whether to compute features in bfloat16
    """

    subjects: Sequence[str]
    content: Path | None
    style: Path | None
    truth: Path | None
    data: str | None
    size: int
    count: int
    one_to_one: bool
    metrics: Sequence[str]
    options: Mapping[str, Any]
    device: str
    cost: bool
    half: bool


def run(request: Request, out: Path, overwrite: bool, quiet: bool) -> Evaluation:
    """Evaluates, and writes the report.

    Raises:
        StylekitError: a subject, an input or a metric cannot be used, or the report exists.
    """
    for page in PAGES:
        check_overwrite(out / page, overwrite)
    if len(set(request.subjects)) < len(request.subjects):
        raise StylekitError(f"The same model or folder is given twice among {', '.join(request.subjects)}.")
    models = {name: _load(name, request) for name in request.subjects}
    inputs = _inputs(request, models)
    subjects = [_subject(name, model, inputs, request) for name, model in models.items()]
    with Progress(quiet) as progress:
        result = evaluate(
            subjects, inputs, _metrics(request), lambda *counts: progress.update("pairs", *counts), request.half
        )
    if inputs.mode == "translate":
        for name, model in models.items():
            if model is not None:
                result.subjects[name]["translation"] = translation(model, inputs, request.options)
    logs = {name: Run(Path(name)).metrics() for name in models if Run(Path(name)).exists()}
    costs = {name: cost(model, request.options) for name, model in models.items() if model} if request.cost else {}
    write_report(result, out, _command(), logs, costs)
    return result


def _command() -> str:
    return shlex.join(["stylekit", *sys.argv[1:]])


def _load(name: str, request: Request) -> Model | None:
    """The model of that name; None for a folder of images."""
    path = Path(name)
    if path.is_dir() and not find_model_file(path) and not Run(path).exists():
        return None
    source, *arguments = [name] if path.exists() else shlex.split(name)
    return load(source, request.device, **read_assignments(arguments, "The option after a model's name"))


def _metrics(request: Request) -> list[Part]:
    return [read_metric(text, "--metric") for text in request.metrics]


def _inputs(request: Request, models: Mapping[str, Model | None]) -> Inputs:
    if request.content is not None:
        if request.data is not None:
            raise StylekitError("Give either --content and --style, or --data, not both.")
        for model in filter(None, models.values()):
            model.require_pictures()
        contents = FolderPictures(request.content, request.size, request.count)
        styles = FolderPictures(request.style, request.size, request.count) if request.style else None
        truths = FolderPictures(request.truth, request.size) if request.truth else None
        translate = styles is None or all(_translates(name, model, contents, styles) for name, model in models.items())
        mode: Mode = "translate" if translate else "apply"
        return Inputs(contents, styles, truths, mode, request.one_to_one)
    if request.style is not None or request.truth is not None:
        raise StylekitError("--style and --truth need contents. Give their folder with --content.")
    return _from_dataset(request, models)


def _translates(name: str, model: Model | None, contents: FolderPictures, styles: FolderPictures) -> bool:
    """Whether a subject applies no style image: a folder has one output for each content, or a model learned its domain."""
    if model is None:
        outputs = {stem(each) for each in FolderPictures(Path(name))}
        return all(stem(content) in outputs for content in contents)
    learned = model.method.styles().keys()
    return not model.method.takes_styles() and not all(Path(style).stem in learned for style in styles)


def _from_dataset(request: Request, models: Mapping[str, Model | None]) -> Inputs:
    dataset, what = _dataset(request, next(iter(models)))
    known = [model.method for model in models.values() if model]
    if known and not any(method.stylizes() for method in known):
        real = DatasetPictures(dataset, dataset.item_keys[0], request.count, what)
        return Inputs(real, real, mode="sample")
    contents, styles = (DatasetPictures(dataset, key, request.count, what) for key in ("content", "style"))
    mode: Mode = "apply" if any(method.takes_styles() for method in known) else "translate"
    return Inputs(contents, styles, styles if getattr(dataset, "paired", False) else None, mode, one_to_one=True)


def _dataset(request: Request, subject: str) -> tuple[Any, str]:
    """The held-out images of the named data set, or of the one that a run was trained on."""
    run = Run(Path(subject))
    if request.data is not None:
        given = validate_settings({"plugin": subject, "data": read_data(request.data), "size": request.size or SIZE})
        settings = given.model_copy(update={"data": data_options(given, Method.reads)})
    elif run.exists():
        settings = run.settings()
    else:
        raise StylekitError("There is nothing to evaluate on. Give --content DIR and --style DIR, or --data.")
    return open_data(settings, "test"), f"{settings.data}"


def _subject(name: str, model: Model | None, inputs: Inputs, request: Request) -> Subject:
    if model is None:
        return FolderSubject(name, Path(name), inputs, request.size)
    return ModelSubject(name, model, inputs, request.options)


def show(result: Evaluation) -> None:
    """Prints the scores as a table: a row for each metric, with intervals except for trivial answers."""
    own = [name for name, facts in result.subjects.items() if facts["kind"] != "reference"]
    rows = [
        [name, result.cards[name]["better"], *(_shown(scores.get(each), each in own) for each in result.subjects)]
        for name, scores in result.scores.items()
    ]
    print_table(["metric", "better", *result.subjects], rows)


def _shown(score: Mapping[str, float | None] | None, with_interval: bool) -> str:
    if score is None:
        return ""
    mean, low, high = score["mean"], score["low"], score["high"]
    return f"{mean:.3g} ({low:.3g} to {high:.3g})" if with_interval and low is not None else f"{mean:.3g}"
