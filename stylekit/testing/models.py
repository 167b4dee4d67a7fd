"""Checks of shipped models: they load, and stylise in each of their styles."""

from __future__ import annotations

from typing import Any

from stylekit.inference.model import Model
from stylekit.inference.options import stylize_options
from stylekit.testing.kit import Check, NotTried, Subject, require
from stylekit.testing.pictures import ODD, equal, parameters_of, pictures, require_image


def _load(subject: Subject) -> Model:
    model = subject.target(device="cpu")
    require(
        isinstance(model, Model),
        "The part must load a model with stylekit.load, as in functools.partial(stylekit.load, FILE).",
    )
    loaded: Model = model
    return loaded


def _loads(subject: Subject) -> str:
    model = _load(subject)
    return f"a model of the method {model.name}, {parameters_of(model.method)}"


def _stylises(subject: Subject) -> str:
    model, content = _load(subject), pictures(1, *ODD)
    if model.method.samples():
        samples = model.sample(2)
        require(equal(samples, model.sample(2)), "sample(2) must return the same images for the same seed.")
    if not model.method.stylizes():
        return "draws samples"
    for name, option in stylize_options(model.method).items():
        if option.required:
            raise NotTried(f"needs the option {name!r} to stylise ({option.help or option.type})")
    styles: list[Any] = [*model.method.styles()]
    if model.method.takes_styles():
        styles.append(pictures(1, which="style"))
    for style in styles or [None]:
        what = f"stylize(content, {style!r})" if isinstance(style, str) else "stylize(content, style)"
        out = model.stylize(content, style)
        require_image(out, content, what, model.method.scale)
        require(equal(out, model.stylize(content, style)), f"{what} must return the same image for the same seed.")
    return ""


CHECKS = (Check("loads", _loads), Check("stylises", _stylises, after=("loads",)))
