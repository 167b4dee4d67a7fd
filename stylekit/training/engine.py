"""Training: builds what a run needs, rehearses every turn once, and trains."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stylekit._files import absolute_path
from stylekit.errors import StylekitError
from stylekit.inference.model_headers import json_arguments
from stylekit.method import Batch, Method
from stylekit.native.compiling import find_compiler
from stylekit.registry import lookup
from stylekit.registry.provenance import require_packages
from stylekit.registry.schema import unwrap_partial, validate_arguments
from stylekit.seeding import seeded
from stylekit.training import checkpoint, guard
from stylekit.training.activations import checkpoint_sequences
from stylekit.training.claim import locked, new_folder, require_outside
from stylekit.training.copies import RunCopy
from stylekit.training.data_files import data_facts
from stylekit.training.distributed import Runtime, launch
from stylekit.training.limits import require_possible
from stylekit.training.loader import batches
from stylekit.training.loop import Loop, own_errors
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.recorder import Recorder
from stylekit.training.rehearsal import rehearse
from stylekit.training.resuming import require_plugins, require_same_arguments, require_same_data, resumed_settings
from stylekit.training.runs import Run
from stylekit.training.settings import Settings, validate_settings
from stylekit.training.setup import (
    build_method,
    check_data,
    check_sizes,
    init_from_model,
    open_data,
    open_preview,
    prepare,
    prepare_arguments,
    resolve,
)
from stylekit.training.steps import compile_networks, memory_format, to_device


def train(plugin: str | Sequence[str] | Method | None = None, /, *, progress: bool = False, **settings: Any) -> Path:
    """Trains a method and returns the run's folder, which :func:`stylekit.load` accepts.

    Args:
        plugin: name of a method, a ``.py`` file that provides one, several of these, or a method object; optional when
            resuming a run
        progress: show a progress bar, and messages about what is written
        settings: any field of :class:`stylekit.training.settings.Settings`, such as ``content``, ``style``, ``steps``

    Raises:
        StylekitError: a setting is invalid, data is missing, or a loss became NaN; the message says which.
    """
    guard.leave_while_importing()
    built = plugin if isinstance(plugin, Method) else None
    values = settings if plugin is None else {**settings, "plugin": type(built).__name__ if built else plugin}
    run = None
    if values.get("out") and Run(absolute_path(values["out"])).restarted():
        values = {**values, "resume": True}
    if values.get("resume"):
        if not values.get("out"):
            raise StylekitError("--resume needs --out, the folder of the run to resume.")
        folder = absolute_path(values["out"])
        if values.get("copy_to"):
            RunCopy(values["copy_to"]).fetch(folder)
        run = Run.open(folder)
        require_plugins(run, values)
        require_packages(run.packages(), f"The run in {run.folder}")
        values = {**values, "plugin": values.get("plugin", run.settings().plugin)}
    requested = validate_settings(values)
    factory = type(built) if built else lookup.find_method(requested.plugin)[1]
    final = resumed_settings(run, values, partial(resolve, method=factory)) if run else resolve(requested, factory)
    final.as_json()  # refused here, before anything is written
    if final.compile and find_compiler() is None:
        raise StylekitError(
            "--compile needs a C++ compiler, but none was found. Install g++ or clang, or leave --compile out."
        )
    try:
        require_possible(final, getattr(unwrap_partial(factory), "batch_keys", Method.batch_keys))
    except StylekitError as error:
        raise StylekitError(f"The run in {run.folder} cannot resume here. {error}" if run else str(error)) from None
    return launch(_train, final, built, progress)


def _train(runtime: Runtime, settings: Settings, built: Method | None, progress: bool) -> Path:
    """Runs a whole training session, in each process; returns the run's folder."""
    with contextlib.ExitStack() as held:
        run = Run(Path(runtime.decided_by_main(partial(_claim, settings, held))))
        _train_in(run, runtime, settings, built, progress)
    return run.folder


def _claim(settings: Settings, held: contextlib.ExitStack) -> str:
    """Holds the folder of the resumed run, or of a new run, until the stack is closed."""
    require_outside(settings.out or Path("runs").absolute(), [settings.data, settings.set])
    if settings.resume:
        assert settings.out is not None
        held.enter_context(locked(settings.out))
        Run(settings.out).make_folders()
        return str(settings.out)
    if settings.copy_to:
        RunCopy(settings.copy_to).require_new()
    return str(held.enter_context(new_folder(settings.out, _stem(settings.plugin[0]))))


def _train_in(run: Run, runtime: Runtime, settings: Settings, built: Method | None, progress: bool) -> None:
    with seeded(settings.seed, "setup"):
        name, method, preparation = _from_object(built, settings) if built else build_method(settings)
        stored = json_arguments(method.arguments)  # refused here, before anything is written
        if settings.resume:
            require_same_arguments(run, stored)
        dataset = _open_data(settings)
        method.intensities, method.results = (getattr(dataset, name, None) for name in ("intensities", "results"))
        facts = data_facts(dataset)
        if settings.resume:
            require_same_data(run, facts, settings.data)
        preview = open_preview(settings) or dataset
        if settings.init and not (settings.resume and run.latest()):
            init_from_model(method, settings.init)
    check_sizes(method, settings.size)
    check_data(method, name, dataset)
    share = (runtime.rank, runtime.world)
    first = batches(dataset, settings.batch_size, settings.seed, range(1), share)
    layout = memory_format(settings, runtime.device)
    method.to(runtime.device)
    with seeded(settings.seed, "rehearsal"), own_errors(runtime):
        (sample,) = first
        prepare(method, preparation)
        rehearse(method, to_device(sample, runtime.device, layout))
    # After the rehearsal, because lazy layers have no shapes before. torch documents this argument, but does not type it.
    method.to(memory_format=layout)  # type: ignore[call-overload]
    players = player_states(method, settings.batch_size)
    if not players:
        raise StylekitError(
            f"The method {name!r} has nothing to train: it has no players. Use it without training: stylekit stylize IMAGE "
            f"--model {name} --out FOLDER"
        )
    done = _restore(run, method, players) if settings.resume else 0
    runtime.from_main([*method.parameters(), *method.buffers()])
    if done >= settings.steps:
        raise StylekitError(f"The run in {run.folder} is already at step {done}. Set a higher total with --steps.")
    recorder = Recorder(run, name, method, players, settings, runtime, preview, facts, done, progress)
    if settings.checkpoint_activations:
        checkpoint_sequences(method)
    if settings.compile:
        compile_networks(players)

    def load(steps: range) -> Iterable[Batch]:
        pinned = runtime.device.type == "cuda"
        return batches(dataset, settings.batch_size, settings.seed, steps, share, _workers(settings), pinned)

    with recorder, runtime.interruptible() as interrupted:
        Loop(method, players, load, layout, recorder, settings, runtime, interrupted).run()


def _open_data(settings: Settings) -> Any:
    try:
        return open_data(settings, "train")
    except StylekitError as error:
        if not settings.resume:
            raise
        raise StylekitError(
            f"{error} If the images were moved, give their new place with --content, --style or --data."
        ) from None


def _stem(plugin: str) -> str:
    file, part = lookup.split_file(plugin)
    return part or Path(file).stem


def _from_object(method: Method, settings: Settings) -> tuple[str, Method, dict[str, Any]]:
    """Like ``build_method``, for a method object; ``set`` then holds the arguments of its ``prepare``."""
    name = type(method).__name__
    return name, method, validate_arguments(prepare_arguments(type(method)), settings.set, f"method {name!r}")


def _restore(run: Run, method: Method, players: Sequence[PlayerState]) -> int:
    latest = run.latest()
    if latest is None:
        return 0
    done, states = checkpoint.load_checkpoint(latest, method)
    for player in players:
        if player.name not in states:
            raise StylekitError(
                f"{latest} contains no state of the player {player.name!r}: it was written by another method."
            )
        player.restore(states[player.name], latest / "players.safetensors")
    return done


def _workers(settings: Settings) -> int:
    if settings.workers is not None:
        return settings.workers
    return min(4, max(1, (os.cpu_count() or 1) - 1))
