"""Every setting of a training run: its name, type, default and meaning, once, for the command line, files and Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import ConfigDict, Field

from stylekit._files import absolute_path
from stylekit.errors import StylekitError, suggest
from stylekit.registry import lookup

MAY_CHANGE = frozenset(
    (
        "steps",
        "device",
        "workers",
        "compile",
        "resume",
        "out",
        "log",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep",
    )
)
"""What ``--resume`` may change; the other settings belong to the run."""


class Settings(pydantic.BaseModel):
    """The settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: tuple[str, ...] = Field(
        min_length=1,
        description="method to train: its name, FILE.py or FILE.py:NAME; a further FILE.py offers other parts",
    )
    preset: str | None = Field(None, description="named set of the method's arguments")
    set: dict[str, Any] = Field({}, description="arguments of the method, KEY=VALUE; part.option sets a part's option")
    content: Path | None = Field(None, description="folder of content images (domain a)")
    style: Path | None = Field(None, description="folder of style images (domain b)")
    data: str | dict[str, Any] | None = Field(
        None,
        description="folder that holds both, a data set's name, or its options: '{name: folders, data: DIR, crop: 1.5}' "
        "(none: drawn scenes)",
    )
    init: str | None = Field(None, description="model to start from: a run, a model file, or a shipped model's name")
    size: int = Field(256, ge=1, description="side of the training images, in pixels")
    batch_size: int = Field(1, ge=1, description="items per step, over all devices")
    steps: int = Field(10_000, ge=1, description="steps of the whole run")
    seed: int = Field(0, ge=0, description="seed of everything random")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    devices: int = Field(1, ge=1, description="how many devices, or processes on a CPU, share a batch")
    precision: Literal["32", "bf16"] = Field("32", description="float32, or bfloat16 where that is safe")
    compile: bool = Field(False, description="compile the networks: slow to start, then faster")
    workers: int | None = Field(None, ge=0, description="processes that load images (none: chosen for the machine)")
    out: Path | None = Field(None, description="folder of the run (none: a new one below runs/)")
    resume: bool = Field(False, description="resume the run in --out")
    log: tuple[str, ...] = Field((), description="plugins that follow the run, such as tensorboard")
    log_every: int | None = Field(
        None,
        ge=1,
        description="steps between looks at the losses, all of which are logged (none: 1 on a CPU, 20 on a GPU)",
    )
    sample_every: int = Field(500, ge=1, description="steps between sample grids")
    checkpoint_every: int = Field(1000, ge=1, description="steps between checkpoints")
    keep: int = Field(3, ge=1, description="checkpoints kept")

    @pydantic.field_validator("content", "style", "out")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        """A run resumes from any folder."""
        return folder and absolute_path(folder)

    @pydantic.field_validator("plugin", "log", mode="before")
    @classmethod
    def _several(cls, names: Any) -> Any:
        return (names,) if isinstance(names, str) else names

    @pydantic.field_validator("plugin", "log")
    @classmethod
    def _absolute_files(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_absolute_plugin, names))

    @pydantic.field_validator("init")
    @classmethod
    def _absolute_model(cls, name: str | None) -> str | None:
        return str(absolute_path(name)) if name and absolute_path(name).exists() else name

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return self.model_dump(mode="json")


def _absolute_plugin(name: str) -> str:
    """The name of a plugin, or of a method in a file, with the file's absolute path."""
    file, part = lookup.split_file(name)
    return f"{absolute_path(file)}:{part}" if file and part else str(absolute_path(file)) if file else name


def validate_settings(given: Mapping[str, Any]) -> Settings:
    """Builds settings from raw values.

    Raises:
        StylekitError: an unknown name, or a value of the wrong type or range.
    """
    try:
        return Settings(**given)
    except pydantic.ValidationError as error:
        # A misspelt name is reported before the one that is missing for it.
        problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            raise StylekitError(f"There is no setting {name!r}. {suggest(name, Settings.model_fields)}") from None
        if problem["type"] == "missing" or (name == "plugin" and not problem["input"]):
            raise StylekitError("Name what to train: --plugin NAME. `stylekit plugins` lists what there is.") from None
        meaning = Settings.model_fields[name].description
        raise StylekitError(
            f"The setting {name!r} ({meaning}) cannot be {problem['input']!r}: {problem['msg']}."
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        StylekitError: there is no such file, or it does not hold settings by name.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except OSError as error:
        raise StylekitError(f"The config file {path} cannot be read: {error.strerror}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise StylekitError(f"The config file {path} is not YAML{place}: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StylekitError(f"The config file {path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(given, dict):
        raise StylekitError(f"The config file {path} must hold lines such as `plugin: cyclegan`.")
    if not isinstance(given.get("set", {}), dict):
        raise StylekitError(f"Below `set:` the config file {path} must hold lines such as `cycle: 5`.")
    return {str(key).replace("-", "_"): value for key, value in given.items()}


def read_assignments(items: list[str], option: str = "--set") -> dict[str, Any]:
    """``KEY=VALUE`` strings as a dict; values are read as YAML, so ``6``, ``true`` and ``[1, 2]`` have their types.

    Raises:
        StylekitError: an item without ``=``, or a value that is not YAML.
    """
    found: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise StylekitError(f"{option} takes KEY=VALUE, not {item!r}.")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise StylekitError(f"The value in {option} {item} cannot be read. Quote it like a YAML value.") from None
        if isinstance(found[key], str):
            found[key] = _number(found[key])
    return found


def read_data(text: str) -> str | dict[str, Any]:
    """``--data``: a folder or a data set's name, or its options in braces, as YAML.

    Raises:
        StylekitError: braces without YAML options between them.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        options = yaml.safe_load(text)
    except yaml.YAMLError:
        options = None
    if not isinstance(options, dict):
        raise StylekitError(f"--data {text} cannot be read. Write options as in --data '{{name: folders, data: DIR}}'.")
    return {str(key): value for key, value in options.items()}


def _number(text: str) -> Any:
    """YAML reads 1e-4 as a string; people mean a number."""
    try:
        return float(text) if text[:1] in "+-.0123456789" else text
    except ValueError:
        return text
