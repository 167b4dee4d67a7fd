"""Every setting of a training run: its name, type, default and meaning, once, for the command line, files and Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import ConfigDict, Field

from stylekit.errors import StylekitError, suggest
from stylekit.registry.lookup import parts_of_kind, visible_plugins

MAY_CHANGE = frozenset(
    ("steps", "device", "workers", "compile", "resume", "out", "log", "sample_every", "checkpoint_every", "keep")
)
"""What ``--resume`` may give anew; the other settings belong to the run."""


class Settings(pydantic.BaseModel):
    """The settings of a training run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str = Field(description="method to train, or a .py file that offers one")
    preset: str | None = Field(None, description="named set of the method's arguments")
    set: dict[str, Any] = Field({}, description="arguments of the method, KEY=VALUE; part.option reaches into a part")
    content: Path | None = Field(None, description="folder of content pictures (domain a)")
    style: Path | None = Field(None, description="folder of style pictures (domain b)")
    data: str | dict[str, Any] | None = Field(
        None, description="folder with trainA/trainB, A/B or content/style, or a data set (none: scenes, drawn here)"
    )
    init: str | None = Field(None, description="model to begin with: a run, a model file, or a shipped model's name")
    size: int = Field(256, ge=1, description="side of the training pictures, in pixels")
    batch_size: int = Field(1, ge=1, description="pictures a step, over all devices")
    steps: int = Field(10_000, ge=1, description="steps of the whole run")
    seed: int = Field(0, ge=0, description="seed of everything random")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to compute")
    devices: int = Field(1, ge=1, description="how many devices, or processes on a CPU, share a batch")
    precision: Literal["32", "bf16"] = Field("32", description="float32, or bfloat16 where that is safe")
    compile: bool = Field(False, description="compile the networks: slow to start, then quicker")
    workers: int | None = Field(None, ge=0, description="processes that load pictures (none: chosen for the machine)")
    out: Path | None = Field(None, description="folder of the run (none: a new one below runs/)")
    resume: bool = Field(False, description="go on with the run in --out")
    log: tuple[str, ...] = Field((), description="plugins that follow the run, such as tensorboard")
    sample_every: int = Field(500, ge=1, description="steps between sample sheets")
    checkpoint_every: int = Field(1000, ge=1, description="steps between checkpoints")
    keep: int = Field(3, ge=1, description="checkpoints kept")

    @pydantic.field_validator("content", "style", "out")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        """A run goes on from wherever it is resumed."""
        return folder and _absolute(folder)

    @pydantic.field_validator("plugin")
    @classmethod
    def _absolute_file(cls, name: str) -> str:
        return str(_absolute(name)) if name.endswith(".py") else name

    @pydantic.field_validator("init")
    @classmethod
    def _absolute_model(cls, name: str | None) -> str | None:
        return str(_absolute(name)) if name and _absolute(name).exists() else name

    @pydantic.field_validator("log")
    @classmethod
    def _absolute_files(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cls._absolute_file, names))

    @pydantic.field_validator("data")
    @classmethod
    def _absolute_data(cls, data: Any) -> Any:
        """A bare name is a data set's, or else that of a folder which is there."""
        if isinstance(data, dict):
            folders = ("data", "content", "style") if data.get("name") == "folders" else ()
            return {key: str(_absolute(value)) if key in folders and value else value for key, value in data.items()}
        if data is None or (Path(data).name == data and (not _absolute(data).is_dir() or _is_data_set(data))):
            return data
        return str(_absolute(data))

    @pydantic.field_validator("set")
    @classmethod
    def _absolute_values(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The method's arguments name files too: pictures of styles, weights of an encoder."""
        absolute: dict[str, Any] = _with_absolute_files(given)
        return absolute

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return self.model_dump(mode="json")


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _with_absolute_files(value: Any) -> Any:
    """The value with absolute paths for what is, by a name with a suffix, a file here."""
    if isinstance(value, dict):
        return {key: _with_absolute_files(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_absolute_files(each) for each in value]
    named = isinstance(value, str | Path) and Path(value).suffix and _absolute(value).is_file()
    return str(_absolute(value)) if named else value


def _is_data_set(name: str) -> bool:
    return any(name in parts_of_kind(plugin, "dataset") for plugin in visible_plugins() if plugin.name == name)


def validate_settings(given: dict[str, Any]) -> Settings:
    """Builds settings from raw values.

    Raises:
        StylekitError: an unknown name, or a value of the wrong type or range.
    """
    try:
        return Settings(**given)
    except pydantic.ValidationError as error:
        # A misspelt name is told before the one that is missing for it.
        problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            raise StylekitError(f"There is no setting {name!r}. {suggest(name, Settings.model_fields)}") from None
        if problem["type"] == "missing":
            raise StylekitError("Say what to train: --plugin NAME. `stylekit plugins` lists what there is.") from None
        meaning = Settings.model_fields[name].description
        raise StylekitError(
            f"The setting {name!r} ({meaning}) cannot be {problem['input']!r}: {problem['msg']}."
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        StylekitError: no such file, or it does not hold settings by name.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except OSError as error:
        raise StylekitError(f"The config file {path} cannot be read: {error.strerror}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise StylekitError(f"The config file {path} is no YAML{place}: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StylekitError(f"The config file {path} is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(given, dict):
        raise StylekitError(f"The config file {path} must hold lines such as `plugin: cyclegan`.")
    if not isinstance(given.get("set", {}), dict):
        raise StylekitError(f"Below `set:` the config file {path} must hold lines such as `cycle: 5`.")
    return {str(key).replace("-", "_"): value for key, value in given.items()}


def read_assignments(items: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` strings as a dict; values are read as YAML, so ``6``, ``true`` and ``[1, 2]`` have their types.

    Raises:
        StylekitError: an item without ``=``, or a value that is no YAML.
    """
    found: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise StylekitError(f"--set takes KEY=VALUE, not {item!r}.")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise StylekitError(f"The value in --set {item} cannot be read. Quote it like a YAML value.") from None
        if isinstance(found[key], str):
            found[key] = _number(found[key])
    return found


def _number(text: str) -> Any:
    """YAML reads 1e-4 as a string; people mean a number."""
    try:
        return float(text) if text[:1] in "+-.0123456789" else text
    except ValueError:
        return text
