"""The content of ``run.json``, validated when it is read: the folder may be damaged, or come from someone else."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pydantic
from pydantic import ConfigDict, Field

from stylekit._files import read_json
from stylekit.errors import StylekitError

FORMAT = 3
"""The format of a run's folder. Runs of another format cannot be resumed, but their models can be loaded."""


class Session(pydantic.BaseModel):
    """One session of training: the step that it reached and how it ended. There may be more facts."""

    model_config = ConfigDict(extra="allow")

    to: int
    ended: str


class MethodFacts(pydantic.BaseModel):
    """The name of the method, and the arguments of its constructor as JSON values."""

    name: str
    arguments: dict[str, Any]


class DataFacts(pydantic.BaseModel):
    """How many files the data set has, and a digest of their names and sizes."""

    files: int = Field(ge=0)
    digest: str


class Best(pydantic.BaseModel):
    """The best model of a run by a metric, on held-out images."""

    step: int
    metric: str
    value: float
    better: str


class RunContent(pydantic.BaseModel):
    """The content of ``run.json``.

    Attributes:
        id: a random text, which every checkpoint of the run repeats
        processes: number of processes of the last session
        job: torchrun's name of the job that the last session belonged to
    """

    model_config = ConfigDict(extra="allow", ser_json_inf_nan="constants")

    format: int
    id: str = Field(pattern=r"^[0-9a-f]+$")
    settings: dict[str, Any]
    versions: dict[str, str] = {}
    method: MethodFacts | None = None
    packages: dict[str, str] = {}
    data: DataFacts | None = None
    processes: int | None = None
    job: str | None = None
    best: Best | None = None
    sessions: list[Session]


def read_run(path: Path) -> RunContent:
    """Reads a ``run.json``.

    Raises:
        StylekitError: it cannot be read, is damaged, or has another format.
    """
    content = read_json(path)
    stated = content.get("format", 1) if isinstance(content, dict) and "settings" in content else FORMAT
    if stated != FORMAT:
        raise StylekitError(
            f"The run in {path.parent} has format {stated!r}, but this stylekit resumes only format {FORMAT}. Start a new "
            f"run with its weights: --init {shlex.quote(str(path.parent))} --out FOLDER."
        )
    try:
        return RunContent.model_validate(content)
    except pydantic.ValidationError as error:
        raise StylekitError(
            f"{path} is damaged ({first_problem(error)}). Restore it, or start a new run with the weights: "
            f"--init {shlex.quote(str(path.parent))} --out FOLDER."
        ) from None


def first_problem(error: pydantic.ValidationError) -> str:
    """Where JSON does not have the expected content, and why."""
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'the whole file'}: {problem['msg']}"
