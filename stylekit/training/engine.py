"""Training: rehearses every turn once, then trains step by step."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit._files import absolute_path
from stylekit.errors import NotFinite, ProcessError, StylekitError, explain
from stylekit.inference.model_headers import json_arguments
from stylekit.method import Batch, Method, Turn
from stylekit.native.compiling import find_compiler
from stylekit.native.devices import computes_bf16
from stylekit.registry import lookup
from stylekit.registry.provenance import require_packages
from stylekit.registry.schema import unwrap_partial, validate_arguments
from stylekit.seeding import seeded
from stylekit.training import checkpoint, guard
from stylekit.training.claim import locked, new_folder, require_outside
from stylekit.training.common_options import extra_terms, waits
from stylekit.training.connection import ConnectionLost
from stylekit.training.data_files import data_facts
from stylekit.training.distributed import Runtime, launch
from stylekit.training.limits import require_possible
from stylekit.training.loader import batches
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.recorder import Recorder
from stylekit.training.rehearsal import rehearse
from stylekit.training.resuming import require_plugins, require_same_arguments, require_same_data, resumed_settings
from stylekit.training.runs import Run
from stylekit.training.sentinel import NOTICED, Sentinel, Trouble
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

MOST_FIXES = 5
"""How often a run returns to a checkpoint before it gives up."""
AGAIN = 2 * NOTICED
"""Number of steps after a return within which further trouble means that the checkpoint was bad."""


def step(
    method: Method,
    players: Sequence[PlayerState],
    batch: Batch,
    index: int,
    total: int,
    runtime: Runtime,
    watch: Callable[[Any], None] = lambda made: None,
) -> dict[str, Tensor]:
    """Trains one step and returns its loss terms by ``turn/term``, on the device, without waiting for them.

    ``watch`` gets what ``forward`` returned.
    """
    for part in method.modules():
        if hasattr(part, "progress"):
            part.progress = index / total  # type: ignore[assignment]
    with runtime.autocast():
        made = method(batch)
    watch(made)
    due = [(player, turns) for player in players if (turns := player.due(index))]
    losses: dict[str, Tensor] = {}
    for player, turns in due:
        with runtime.autocast():
            played = {turn: turn.play(method, batch, made) for turn in turns}
            further = extra_terms(method, player.name, batch, made)
        losses |= _loss_terms(played) | {name: _logged(term) for name, term in further.items()}
        scaled = [turn.interval * term.reshape(()) for turn, terms in played.items() for term in terms.values()]
        scaled += further.values()
        # Only this player's parameters receive gradients, so the other players are not affected.
        shared = method.simultaneous and player is not due[-1][0]
        if waits(method, player.spec.modules, runtime.average):
            continue
        loss = torch.stack(scaled).sum()
        loss.backward(inputs=player.parameters, retain_graph=shared)
        if player.plateau:
            player.plateau.observe(loss, runtime.average)
        runtime.average_gradients(player.parameters)
        if not method.simultaneous:
            player.update(index, method.progress)
    for player, _ in due if method.simultaneous else ():
        player.update(index, method.progress)
    return losses


def _loss_terms(played: Mapping[Turn, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{turn.name}/{term}": _logged(value) for turn, terms in played.items() for term, value in terms.items()}


def _logged(term: Tensor) -> Tensor:
    return term.detach().to(torch.float32, copy=True).reshape(())  # a term may be a parameter


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
    if values.get("resume"):
        if not values.get("out"):
            raise StylekitError("--resume needs --out, the folder of the run to resume.")
        run = Run.open(absolute_path(values["out"]))
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
    return str(held.enter_context(new_folder(settings.out, _stem(settings.plugin[0]))))


def _train_in(run: Run, runtime: Runtime, settings: Settings, built: Method | None, progress: bool) -> None:
    with seeded(settings.seed, "setup"):
        name, method, preparation = _from_object(built, settings) if built else build_method(settings)
        stored = json_arguments(method.arguments)  # refused here, before anything is written
        if settings.resume:
            require_same_arguments(run, stored)
        dataset = _open_data(settings)
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
    with seeded(settings.seed, "rehearsal"), _own_errors(runtime):
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
    if settings.compile:
        compile_networks(players)

    def load(steps: range) -> Iterable[Batch]:
        pinned = runtime.device.type == "cuda"
        return batches(dataset, settings.batch_size, settings.seed, steps, share, _workers(settings), pinned)

    with recorder, runtime.interruptible() as interrupted:
        _run_steps(method, players, load, layout, recorder, settings, runtime, interrupted)


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


def _run_steps(
    method: Method,
    players: Sequence[PlayerState],
    load: Callable[[range], Iterable[Batch]],
    layout: torch.memory_format,
    recorder: Recorder,
    settings: Settings,
    runtime: Runtime,
    interrupted: Callable[[], bool],
) -> None:
    """Trains until the run is complete or interrupted; returns to a checkpoint when training goes wrong, if that is wanted."""
    index, fixes, returned = recorder.done, 0, -math.inf
    if settings.guard == "rollback":
        recorder.begin_at(index)
    while True:
        sentinel = Sentinel(method, runtime.average)
        with contextlib.closing(recorder.timed(load(range(index, settings.steps)))) as loader:
            trouble = _until_trouble(
                method, players, loader, index, layout, recorder, settings, runtime, interrupted, sentinel
            )
        if trouble is None:
            return
        fixes += 1
        if fixes > MOST_FIXES:
            raise StylekitError(f"{trouble.told} Training went wrong {fixes} times. {recorder.last_good()}")
        # A checkpoint after which the same happens soon was bad already.
        soon = trouble.since <= returned + AGAIN
        returned = index = _roll_back(
            trouble, returned - 1 if soon else trouble.since, method, players, recorder, runtime
        )


def _until_trouble(
    method: Method,
    players: Sequence[PlayerState],
    loader: Iterable[Batch],
    index: int,
    layout: torch.memory_format,
    recorder: Recorder,
    settings: Settings,
    runtime: Runtime,
    interrupted: Callable[[], bool],
    sentinel: Sentinel,
) -> Trouble | None:
    """Trains until the run ends, or until something goes wrong that a return to a checkpoint may mend."""
    mends = settings.guard == "rollback"
    with _own_errors(runtime), _explained(recorder):
        for batch in loader:
            moved, troubles = to_device(batch, runtime.device, layout), list[Trouble]()

            def watch(made: Any, index: int = index, batch: Batch = moved, troubles: list[Trouble] = troubles) -> None:
                if settings.guard != "off" and sentinel.due(index + 1):
                    troubles += filter(None, [sentinel.look(index + 1, batch, made)])

            with seeded(settings.seed, "step", index, runtime.rank), runtime.shared_buffers(method):
                losses = step(method, players, moved, index, settings.steps, runtime, watch)
            index += 1
            stop = runtime.any(interrupted())
            try:
                recorder.record(index, losses, last=stop or index == settings.steps)
            except NotFinite as error:
                if not mends:
                    raise
                return Trouble("finite", index, str(error))
            for trouble in troubles:
                recorder.warn(trouble.told)
                if mends:
                    return trouble
            if stop:
                break
    return None


def _roll_back(
    trouble: Trouble,
    until: float,
    method: Method,
    players: Sequence[PlayerState],
    recorder: Recorder,
    runtime: Runtime,
) -> int:
    """Returns to the last checkpoint up to a step, or to the first, with half the learning rates; returns its step.

    Raises:
        StylekitError: there is no such checkpoint.
    """
    path = Path(runtime.decided_by_main(lambda: str(recorder.run.latest(max(until, 0)) or "")) or "")
    if not path.name:
        raise StylekitError(f"{trouble.told} There is no checkpoint before, to which training could return.")
    scales = [player.scale / 2 for player in players]
    done, states = checkpoint.load_checkpoint(path, method)
    for player, scale in zip(players, scales, strict=True):
        player.restore(states[player.name], path / "players.safetensors")
        player.scale = scale
    recorder.roll_back(path, done, trouble.told, scales[0])
    return done


@contextlib.contextmanager
def _explained(recorder: Recorder) -> Iterator[None]:
    """Adds to an error of a step what the user needs to know.

    Raises:
        StylekitError: a loss or a weight is not finite, perhaps at a step before the one that failed.
    """
    try:
        yield
    except NotFinite as error:
        raise NotFinite(f"{error} {recorder.last_good()} {REMEDY}") from None
    except Exception as error:
        if reason := recorder.pending_failure():
            raise StylekitError(f"{reason} {recorder.last_good()} {REMEDY}") from error
        raise


@contextlib.contextmanager
def _own_errors(runtime: Runtime) -> Iterator[None]:
    """Marks errors that the main process, whose errors alone are always shown, may not meet.

    Raises:
        ProcessError: this is another process, and its error is not one that all meet at once: a loss that is not finite.
    """
    try:
        yield
    except Exception as error:
        if runtime.main or isinstance(error, ConnectionLost | NotFinite):
            raise
        raise ProcessError(f"Process {runtime.rank} of {runtime.world} failed: {explain(error)}") from error


REMEDY = (
    "Try a lower learning rate, --precision 32 instead of bf16, or gradient clipping in the method's players. With other "
    "settings, a run starts from the beginning."
)


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


def memory_format(settings: Settings, device: torch.device) -> torch.memory_format:
    """The memory format of feature maps: bfloat16 convolutions on a CPU need a pixel's channels next to each other."""
    channels_last = settings.precision == "bf16" and computes_bf16(device)
    return torch.channels_last if channels_last else torch.preserve_format


def to_device(batch: Batch, device: torch.device, layout: torch.memory_format) -> dict[str, Tensor]:
    """Moves a batch to the device, and its images to the memory format."""
    return {
        key: values.to(device, non_blocking=True, memory_format=layout if values.ndim == 4 else torch.preserve_format)
        for key, values in batch.items()
    }


def compile_networks(players: Sequence[PlayerState]) -> None:
    """Marks the players' modules for compilation, in place; they are compiled when they are first called."""
    for player in players:
        assert isinstance(player.spec.modules, list)
        for module in player.spec.modules:
            if isinstance(module, nn.Module):
                module.compile()


def _workers(settings: Settings) -> int:
    if settings.workers is not None:
        return settings.workers
    return min(4, max(1, (os.cpu_count() or 1) - 1))
