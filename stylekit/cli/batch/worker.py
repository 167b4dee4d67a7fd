"""What a worker of any engine does: reads pictures, calls the function, writes the outputs, and records them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stylekit import __version__
from stylekit.cli.batch.function import BatchStylizer, Input, Output, Parcel
from stylekit.cli.batch.manifest import Manifest, Record, digest
from stylekit.datasets.places import Place
from stylekit.errors import StylekitError, explain

WRITTEN, SKIPPED, FAILED, FATAL = "written", "skipped", "failed", "fatal"
"""What may become of a picture; after a fatal error, no other picture can succeed."""


@dataclass(frozen=True)
class Task:
    """A picture to stylise.

    Attributes:
        source: its address
        relative: its path within the folder that the user gave
        style: index of the styles in the recipe
        target: the output, relative to the folder of the outputs
        known: SHA-256 of the picture that the output was made of, if there is one
    """

    source: str
    relative: str
    style: int
    target: str
    known: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: a row of the report.

    Attributes:
        target: the output
        status: written, skipped, failed or fatal
        error: why it failed
        warnings: what the user should know of it
        facts: width, height, frames and seconds
    """

    target: str
    status: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None


class Worker:
    """Stylises the pictures that an engine hands to it. The model is loaded when the first picture needs it, and kept.

    Args:
        parcel: what to stylise with
        count: number of pictures of all workers
        out: address of the folder of the outputs
        settings: digest of the settings, for the manifest
    """

    def __init__(self, parcel: Parcel, count: int, out: str, settings: str) -> None:
        self.parcel, self.count, self.out, self.settings = parcel, count, out, settings
        self.version = __version__

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """What becomes of each picture. Nothing is raised: an engine would stop, or try again for ever."""
        try:
            return self._done(tasks)
        except Exception as error:  # any error, because the other pictures would meet it too
            return [Outcome(task.target, FATAL, explain(error)) for task in tasks]

    def _done(self, tasks: Sequence[Task]) -> list[Outcome]:
        out, outcomes, inputs = Place(self.out), dict[Task, Outcome](), dict[Task, Input]()
        for task in tasks:
            try:
                content = Place(task.source).read()
            except StylekitError as error:
                outcomes[task] = Outcome(task.target, FAILED, str(error))
                continue
            if task.known == digest(content):
                outcomes[task] = Outcome(task.target, SKIPPED)
            else:
                inputs[task] = Input(task.source, task.relative, task.style, task.target, content)
        records = []
        made = self._stylizer([*inputs.values()]) if inputs else []
        for (task, given), output in zip(inputs.items(), made, strict=True):
            outcomes[task] = self._written(out, task, output)
            if (facts := outcomes[task].facts) and output.content is not None:
                digests = digest(given.content), self.settings, digest(output.content)
                records.append(Record(task.target, task.source, *digests, **facts))
        if records:
            Manifest(out).add(records)
        return [outcomes[task] for task in tasks]

    def _written(self, out: Place, task: Task, output: Output) -> Outcome:
        if output.content is None:
            return Outcome(task.target, FAILED, output.error, output.warnings)
        try:
            out.write(task.target, output.content)
        except StylekitError as error:
            return Outcome(task.target, FAILED, str(error), output.warnings)
        return Outcome(task.target, WRITTEN, "", output.warnings, output.facts)

    @cached_property
    def _stylizer(self) -> BatchStylizer:
        if self.version != __version__:
            raise StylekitError(
                f"The machine that starts the batch has stylekit {self.version}, and one of the workers {__version__}. "
                "Install the same version on all machines."
            )
        return BatchStylizer(self.parcel, self.count)
