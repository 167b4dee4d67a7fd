"""The settings of a training run: names, types, defaults and descriptions, for the command line, files and Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import ConfigDict, Field
from pydantic_core import PydanticSerializationError

from stylekit._files import absolute_path
from stylekit.datasets.remote import is_address
from stylekit.datasets.shards import absolute_source
from stylekit.errors import StylekitError, suggest
from stylekit.registry import lookup
from stylekit.registry.schema import require_no_bool
from stylekit.training.written import read_yaml

CONFIG_LIMIT = 2**18
"""Maximum size of a config file in bytes, which takes a few seconds to read."""
MAY_CHANGE = frozenset(
    (
        "steps",
        "device",
        "devices",
        "workers",
        "accumulate",
        "checkpoint_activations",
        "compile",
        "resume",
        "out",
        "copy_to",
        "log",
        "log_every",
        "sample_every",
        "checkpoint_every",
        "keep",
        "guard",
    )
)
"""Settings that ``--resume`` may change; a run keeps all others."""


class Settings(pydantic.BaseModel):
    """The settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    plugin: tuple[str, ...] = Field(
        min_length=1,
        description="method to train: its name, FILE.py or FILE.py:NAME; each further FILE.py provides other parts",
    )
    preset: str | None = Field(None, description="named set of the method's arguments")
    set: dict[str, Any] = Field({}, description="arguments of the method, KEY=VALUE; part.option sets a part's option")
    content: Path | str | None = Field(
        None, description="folder of content images (domain a), or shards, as 'shards/{000..099}.tar'"
    )
    style: Path | str | None = Field(None, description="folder of style images (domain b), or shards")
    data: str | dict[str, Any] | None = Field(
        None,
        description="folder that contains both, a data set's name, or its options: '{name: folders, data: DIR, crop: 1.5}' "
        "(default: drawn scenes)",
    )
    init: str | None = Field(None, description="model to start from: a run, a model file, or a shipped model's name")
    size: int = Field(256, ge=1, le=2**16, description="side of the training images, in pixels")
    batch_size: int = Field(1, ge=1, le=10**9, description="items per step, over all devices")
    steps: int = Field(10_000, ge=1, le=10**12, description="steps of the whole run")
    accumulate: int = Field(
        1,
        ge=1,
        le=10**4,
        description="number of parts of each batch, computed one after the other: less memory, same updates",
    )
    checkpoint_activations: bool = Field(
        False,
        description="compute features of sequences of layers again for gradients: about half the memory, a third slower",
    )
    seed: int = Field(0, ge=0, description="seed of all random numbers")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="device to train on")
    devices: int = Field(1, ge=1, description="number of devices, or processes on a CPU, that share a batch")
    precision: Literal["32", "bf16"] = Field("32", description="32 for float32, or bf16 for bfloat16 where it is safe")
    compile: bool = Field(False, description="compile the networks: a slower start, then faster steps")
    workers: int | None = Field(None, ge=0, description="processes that load images (default: depends on the machine)")
    out: Path | None = Field(None, description="folder of the run (default: a new one in runs/)")
    resume: bool = Field(False, description="resume the run in --out")
    copy_to: str | None = Field(
        None,
        description="address such as s3://bucket/runs/mine to which the run is copied with each checkpoint; --resume fetches "
        "it from there if --out lacks it",
    )
    log: tuple[str, ...] = Field((), description="plugins that follow the run, such as tensorboard")
    log_every: int | None = Field(
        None,
        ge=1,
        description="steps between updates of the log, which contains every step (default: 1 on a CPU, 20 on a GPU)",
    )
    sample_every: int = Field(500, ge=1, description="steps between sample grids")
    checkpoint_every: int = Field(1000, ge=1, description="steps between checkpoints")
    keep: int = Field(3, ge=1, description="number of checkpoints to keep")
    eval_every: int | None = Field(
        None, ge=1, description="steps between evaluations on 16 held-out images (default: none)"
    )
    eval_metric: str | dict[str, Any] | None = Field(
        None,
        description="metric of the evaluations, whose best model is kept as best.safetensors (default: psnr if the true "
        "outputs are known, otherwise mind)",
    )
    patience: int | None = Field(
        None, ge=1, description="number of evaluations without a better one after which training ends (default: never)"
    )
    guard: Literal["warn", "rollback", "off"] = Field(
        "warn",
        description="if training goes wrong: warn once; rollback also returns to the last checkpoint before, with half the "
        "learning rate; off looks for nothing",
    )

    @pydantic.field_validator("content", "style", "out")
    @classmethod
    def _absolute(cls, folder: Path | str | None) -> Path | str | None:
        """Makes paths absolute, so that a run can be resumed from any working directory."""
        return folder and absolute_source(folder)

    @pydantic.field_validator("copy_to")
    @classmethod
    def _address(cls, place: str | None) -> str | None:
        if place is not None and not is_address(place):
            raise ValueError("must be an address such as s3://bucket/runs/mine")
        return place

    @pydantic.field_validator("plugin", "log", mode="before")
    @classmethod
    def _several(cls, names: Any) -> Any:
        return (names,) if isinstance(names, str) else names

    @pydantic.field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, precision: Any) -> Any:
        """Accepts the number 32, which is what YAML reads."""
        return str(precision)

    @pydantic.field_validator("plugin", "log")
    @classmethod
    def _absolute_files(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_absolute_plugin, names))

    @pydantic.field_validator("init")
    @classmethod
    def _absolute_model(cls, name: str | None) -> str | None:
        return str(absolute_path(name)) if name and os.path.exists(absolute_path(name)) else name

    @pydantic.field_validator("*", mode="wrap")
    @classmethod
    def _numbers(cls, value: Any, validate: Callable[[Any], Any]) -> Any:
        """``steps: yes`` in YAML is not one step."""
        result = validate(value)
        require_no_bool(value, result)
        return result

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values.

        Raises:
            StylekitError: one of them cannot be stored, such as a class that was passed in Python.
        """
        try:
            return self.model_dump(mode="json")
        except PydanticSerializationError as error:
            raise StylekitError(
                f"A run cannot store one of its settings ({error}). Pass numbers, texts, lists and mappings, or a method "
                "object: stylekit.train(MyMethod(...))."
            ) from None


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
        # An unknown name is reported first: it may be a misspelling of the missing one.
        problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            raise StylekitError(f"There is no setting {name!r}. {suggest(name, Settings.model_fields)}") from None
        if problem["type"] == "missing" or (name == "plugin" and not problem["input"]):
            raise StylekitError(
                "No method to train. Give one with --plugin NAME; `stylekit plugins` lists what is available."
            ) from None
        description = Settings.model_fields[name].description
        raise StylekitError(
            f"The setting {name!r} ({description}) cannot be {problem['input']!r}: {problem['msg']}."
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """Reads the settings in a YAML file.

    Raises:
        StylekitError: the file cannot be read, or does not contain settings by name.
    """
    try:
        with path.open("rb") as file:  # a pipe, too
            content = file.read(CONFIG_LIMIT + 1)
        if len(content) > CONFIG_LIMIT:
            raise StylekitError(f"The config file {path} is larger than {CONFIG_LIMIT // 2**10} KiB.")
        values = read_yaml(content.decode())
    except OSError as error:
        raise StylekitError(f"The config file {path} cannot be read: {error.strerror}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise StylekitError(f"The config file {path} is not valid YAML{place}: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StylekitError(f"The config file {path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise StylekitError(f"The config file {path} must contain lines such as `plugin: cyclegan`.")
    if not isinstance(values.get("set", {}), dict):
        raise StylekitError(f"Below `set:`, the config file {path} must contain lines such as `cycle: 5`.")
    return {str(key).replace("-", "_"): value for key, value in values.items()}


def read_part(text: str, option: str, example: str) -> str | dict[str, Any]:
    """Parses an option such as ``--data``: a name, or options in braces, as YAML.

    Args:
        text: what the user wrote
        option: the option, for messages
        example: what it could be, for messages

    Raises:
        StylekitError: the braces do not contain options in YAML.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        options = read_yaml(text)
    except yaml.YAMLError:
        options = None
    if not isinstance(options, dict):
        raise StylekitError(f"{option} {text} is not valid YAML. Write options as in {option} '{example}'.")
    return {str(key): value for key, value in options.items()}


def read_data(text: str) -> str | dict[str, Any]:
    """Parses ``--data``: a folder, a data set's name, or its options in braces, as YAML.

    Raises:
        StylekitError: the braces do not contain options in YAML.
    """
    return read_part(text, "--data", "{name: folders, data: DIR}")


def read_metric(text: str, option: str) -> str | dict[str, Any]:
    """Parses an option that chooses a metric: its name, or its options in braces, as YAML.

    Raises:
        StylekitError: the braces do not contain options in YAML.
    """
    return read_part(text, option, "{name: ssim, channels: y}")
