"""What makes the images that are evaluated: a model, another program's folder, or a trivial answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.evaluation.inputs import Inputs, stem
from stylekit.evaluation.pictures import FolderPictures, quantised
from stylekit.inference.model import Model
from stylekit.inference.styles import Style
from stylekit.weights.digests import module_digest


class Subject(Protocol):
    """Something with an output for each pair of a content and a style."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What identifies it, as JSON values."""
        ...

    def output(self, content: str, style: str | None) -> Tensor:
        """The output ``(1, 3, H, W)`` in [0, 1] for a pair, by the names of its images.

        Raises:
            StylekitError: there is none.
        """
        ...


class ModelSubject:
    """A model, which stylises the inputs, each style being described once, or draws samples.

    Args:
        name: its name in the report
        model: the model
        inputs: the images
        options: further arguments of :meth:`stylekit.inference.model.Model.stylize`

    Raises:
        StylekitError: the model needs images of styles, and there are none.
    """

    def __init__(self, name: str, model: Model, inputs: Inputs, options: Mapping[str, Any] = {}) -> None:
        if inputs.mode == "sample":
            model.require_samples()
        elif inputs.applied is None and model.method.takes_styles():
            raise StylekitError(f"{name} needs images of styles. Give their folder with --style.")
        self.name, self.model = name, model
        self._inputs, self._options = inputs, options
        self._styles: dict[str, Style] = {}
        self.facts: dict[str, Any] = {"kind": "model", "method": model.name, "weights": module_digest(model.method)}
        if options:
            self.facts["options"] = {name: str(value) for name, value in options.items()}

    def output(self, content: str, style: str | None) -> Tensor:
        if self._inputs.mode == "sample":
            return self.model.sample(1, seed=self._inputs.contents.names.index(content), **self._options)
        return self.model.stylize(self._inputs.contents[content], self._described(style), **self._options)

    def _described(self, name: str | None) -> Style | None:
        if name is None or self._inputs.applied is None:
            return None
        if name not in self._styles:
            # A model that has learned its styles knows them by the names of their files.
            learned = not self.model.method.takes_styles()
            self._styles[name] = self.model.style(PurePath(name).stem if learned else self._inputs.applied[name])
        return self._styles[name]


class FolderSubject:
    """Another program's outputs: a folder of images named ``CONTENT-STYLE``, or ``CONTENT`` if no style is applied.

    The names are those of the inputs without their suffixes, as ``stylekit stylize`` writes them. Folders of the contents are
    kept.

    Args:
        name: its name in the report
        folder: the folder
        inputs: the images
        size: longer side in pixels to which larger images are reduced, the same as for the inputs

    Raises:
        StylekitError: an output is missing.
    """

    def __init__(self, name: str, folder: Path, inputs: Inputs, size: int = 0) -> None:
        self.name, self._pictures = name, FolderPictures(folder, size)
        self._files = {stem(file): file for file in self._pictures}
        wanted = [output_name(*pair) for pair in inputs.pairs()]
        missing = [each for each in wanted if each not in self._files]
        if missing:
            which = f"the output {missing[0]}" + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
            rule = "CONTENT-STYLE, after their content and style" if inputs.applied else "like their contents"
            raise StylekitError(f"{folder} lacks {which} of {len(wanted)}. Outputs are named {rule}, in any format.")
        self.facts = {"kind": "folder", "images": self._pictures.digest()}

    def output(self, content: str, style: str | None) -> Tensor:
        return self._pictures[self._files[output_name(content, style)]]


def output_name(content: str, style: str | None) -> str:
    """The name of an output, without its suffix."""
    return stem(content) if style is None else f"{stem(content)}-{PurePath(style).stem}"


@dataclass(frozen=True)
class Reference:
    """A trivial answer, which shows one end of each metric's scale."""

    name: str
    output: Callable[[str, str | None], Tensor]
    facts: Mapping[str, Any]


def references(inputs: Inputs) -> list[Reference]:
    """The trivial answers: the content itself, and the style itself in the content's size."""
    facts = {"kind": "reference"}
    untouched = "real images" if inputs.mode == "sample" else "content untouched"
    answers = [Reference(untouched, lambda content, style: inputs.contents[content], facts)]
    styles = inputs.applied
    if styles is not None:

        def itself(content: str, style: str | None) -> Tensor:
            image, size = styles[style or ""], inputs.contents[content].shape[-2:]
            return image if image.shape[-2:] == size else quantised(images.resize(image, (size[0], size[1])))

        answers.append(Reference("style itself", itself, facts))
    return answers
