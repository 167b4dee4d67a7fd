"""What a shipped model must do: load, and stylise in each of its styles."""

from __future__ import annotations

from typing import Any

from stylekit.inference.model import Model
from stylekit.inference.options import stylize_options
from stylekit.testing.kit import Check, NotTried, Subject, require
from stylekit.testing.pictures import ODD, equal, parameters_of, pictures, require_image


def _load(subject: Subject) -> Model:
    model = subject.target(device="cpu")
    require(
        isinstance(model, Model), "A model is loaded by stylekit.load, as in functools.partial(stylekit.load, FILE)."
    )
    loaded: Model = model
    return loaded


def _loads(subject: Subject) -> str:
    model = _load(subject)
    return f"a model of the method {model.name}, {parameters_of(model.method)}"


def _stylises(subject: Subject) -> str:
    model, content = _load(subject), pictures(1, *ODD)
    if model.method.samples():
        drawn = model.sample(2)
        require(equal(drawn, model.sample(2)), "sample(2) must give the same twice, with one seed.")
    if not model.method.stylizes():
        return "draws samples"
    for name, option in stylize_options(model.method).items():
        if option.required:
            raise NotTried(f"needs the option {name!r} when it is used ({option.help or option.type})")
    styles: list[Any] = [*model.method.styles()]
    if model.method.takes_styles():
        styles.append(pictures(1, which="style"))
    for style in styles or [None]:
        what = f"stylize(content, {style!r})" if isinstance(style, str) else "stylize(content, style)"
        out = model.stylize(content, style)
        require_image(out, content, what, model.method.scale)
        require(equal(out, model.stylize(content, style)), f"{what} must give the same twice, with one seed.")
    return ""


CHECKS = (Check("loads", _loads), Check("stylises", _stylises, after=("loads",)))
