"""Checks that a resumed run has the settings, arguments and data that it was started with."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylekit._files import absolute_path
from stylekit.datasets.shards import absolute_source, is_shards
from stylekit.errors import StylekitError
from stylekit.training.data_files import is_moved
from stylekit.training.plugin_files import plugin_files, same_plugins
from stylekit.training.run_json import DataFacts
from stylekit.training.runs import Run
from stylekit.training.settings import MAY_CHANGE, Settings, validate_settings


def require_plugins(run: Run, given: Mapping[str, Any]) -> None:
    """Checks that no plugin file would be imported only because ``run.json``, which may be another user's, names it.

    Args:
        run: the run to resume
        given: the settings that the user gave, by name

    Raises:
        StylekitError: a file was not given again; the message contains the whole command.
    """
    stored = run.settings()
    names = [] if given.get("plugin") else plugin_files(stored.plugin)
    names += [] if given.get("log") is not None else plugin_files(stored.log)
    if names:
        raise StylekitError(
            f"The run in {run.folder} uses the code in {' and '.join(names)}, which is not run unless you pass it "
            f"again. If you trust it: {run.resume_command()}"
        )


def resumed_settings(run: Run, given: Mapping[str, Any], resolve: Callable[[Settings], Settings]) -> Settings:
    """The run's settings, updated with those given when resuming.

    Args:
        run: the run to resume
        given: raw values by name
        resolve: converts settings to the form that a run stores

    Raises:
        StylekitError: a setting that cannot change was given another value.
    """
    stored = run.settings()
    base, given = stored.model_dump(), dict(given)
    if moved := _moved_folders(stored.data, given):
        base["data"] = {**base["data"], **moved}
        given = {key: value for key, value in given.items() if key not in moved}
    elif given.keys() & {"content", "style", "data"}:  # each of them specifies the whole data set
        base |= {"content": None, "style": None, "data": None}
    new = resolve(validate_settings({**base, **given, "resume": True, "out": run.folder}))
    before, now = stored.as_json(), new.as_json()
    kept = {"plugin": same_plugins, "data": is_moved}
    names = [name for name in Settings.model_fields if name not in MAY_CHANGE]
    changed = [name for name in names if not kept.get(name, _equal)(before[name], now[name])]
    if changed:
        changes = ", ".join(f"{name} was {before[name]!r}, now {now[name]!r}" for name in changed)
        raise StylekitError(
            f"The run in {run.folder} was started with other settings: {changes}. A resumed run keeps its settings: "
            "leave these out, or start a new run with another --out."
        )
    return new


def require_same_data(run: Run, facts: DataFacts | None, data: Any) -> None:
    """Checks that the data set is that of the run, even if it was moved.

    Args:
        run: the run to resume
        facts: about the files of the data set now
        data: the options of the data set now

    Raises:
        StylekitError: its files have other names or sizes, or it was moved and offers no facts.
    """
    stored, before = run.data(), run.settings().data
    advice = f"Start a new run with the weights of this one: --init {shlex.quote(str(run.folder))} --out FOLDER."
    if stored and facts and stored != facts:
        counts = f"{stored.files} files then, {facts.files} now"
        same = "as many files, but some have other names or sizes"
        raise StylekitError(
            f"The data of the run in {run.folder} has changed since it started: "
            f"{same if stored.files == facts.files else counts}. A resumed run needs the same data. {advice}"
        )
    if not (stored and facts) and before != data:
        raise StylekitError(
            f"The run in {run.folder} was started with other data: it was {before!r}, now {data!r}. It is not "
            f"known whether that is the same. {advice}"
        )


def require_same_arguments(run: Run, arguments: Mapping[str, Any]) -> None:
    """Checks that the method has the arguments of the run: a preset or a default may have changed in the meantime.

    Raises:
        StylekitError: an argument differs; the message names the first.
    """
    for name, value in run.arguments().items():
        if name in arguments and not _equal(arguments[name], value):
            raise StylekitError(
                f"The run in {run.folder} was started with {name}={value!r}, but its plugins now use "
                f"{arguments[name]!r}. Install the versions of the plugins that it was started with, or start a new run."
            )


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; NaN equals NaN."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _moved_folders(data: Any, given: Mapping[str, Any]) -> dict[str, str]:
    """The folders that replace those of a data set, if the data set has all of these options."""
    folders = {key: given[key] for key in ("content", "style", "data") if given.get(key) is not None}
    replaced = all(
        isinstance(folder, str | Path)
        and (is_shards(folder) or os.path.isdir(absolute_path(folder)))
        and isinstance(data, Mapping)
        and key in data
        for key, folder in folders.items()
    )
    return {key: str(absolute_source(folder)) for key, folder in folders.items()} if replaced else {}
