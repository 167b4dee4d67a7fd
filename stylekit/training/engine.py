"""Training: rehearse the game once, then play it step by step."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import NotFinite, StylekitError
from stylekit.inference import model, model_files
from stylekit.method import Batch, Method, Turn
from stylekit.native.compiling import find_compiler
from stylekit.registry.provenance import require_packages
from stylekit.seeding import seeded
from stylekit.training import checkpoint
from stylekit.training.distributed import Runtime, launch
from stylekit.training.loader import batches
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.recorder import Recorder
from stylekit.training.rehearsal import rehearse
from stylekit.training.runs import Run, next_free
from stylekit.training.settings import Settings, validate_settings
from stylekit.training.setup import build_method, check_sides, open_data, open_preview


def step(
    method: Method, players: Sequence[PlayerState], batch: Batch, index: int, total: int, runtime: Runtime
) -> dict[str, float]:
    """Plays one step and gives its loss terms by ``turn/term``.

    Raises:
        NotFinite: a term is NaN or infinite.
    """
    with runtime.autocast():
        made = method(batch)
    losses: dict[str, float] = {}
    for player in players:
        turns = player.due(index)
        if not turns:
            continue
        with runtime.autocast():
            played = {turn: turn.play(method, batch, made) for turn in turns}
        losses |= _read_losses(played, index, runtime)
        # The opponent keeps still because only this player's parameters receive gradients.
        scaled = [turn.interval * term.reshape(()) for turn, terms in played.items() for term in terms.values()]
        torch.stack(scaled).sum().backward(inputs=player.parameters)
        runtime.average_gradients(player.parameters)
        player.move(index, total)
    return losses


def _read_losses(played: Mapping[Turn, Mapping[str, Tensor]], index: int, runtime: Runtime) -> dict[str, float]:
    names = [f"{turn.name}/{term}" for turn, terms in played.items() for term in terms]
    values = torch.stack([term.detach().float().reshape(()) for terms in played.values() for term in terms.values()])
    runtime.average([values])
    losses = dict(zip(names, values.tolist(), strict=True))
    for name, value in losses.items():
        if not math.isfinite(value):
            turn, _, term = name.partition("/")
            raise NotFinite(f"At step {index + 1} the term {term!r} of the turn {turn!r} became {value}.")
    return losses


def train(plugin: str | Method | None = None, /, *, progress: bool = False, **settings: Any) -> Path:
    """Trains a method and returns the run's folder, which :func:`stylekit.load` takes.

    Args:
        plugin: name of a method, a ``.py`` file that offers one, or a method built by hand; to resume, it may be left out
        progress: show a progress bar and what is written
        settings: any field of :class:`stylekit.training.settings.Settings`, such as ``content``, ``style``, ``steps``

    Raises:
        StylekitError: a setting is wrong, data is missing, or a loss became NaN; the message says which.
    """
    built = plugin if isinstance(plugin, Method) else None
    given = settings if plugin is None else {**settings, "plugin": type(plugin).__name__ if built else plugin}
    if given.get("resume"):
        if not given.get("out"):
            raise StylekitError("--resume needs --out, the folder of the run to go on with.")
        run = Run.open(Path(given["out"]).expanduser())
        require_packages(run.packages(), f"The run in {run.folder}")
        final = run.resumed_settings(given)
    else:
        final = validate_settings(given)
        run = Run(final.out or next_free(Path("runs"), Path(final.plugin).stem))
        run.require_new()
    if final.compile and find_compiler() is None:
        raise StylekitError(
            "--compile needs a C++ compiler, and there is none here. Install g++ or clang, or leave it out."
        )
    launch(_train, final, run, built, progress)
    return run.folder


def _train(runtime: Runtime, settings: Settings, run: Run, built: Method | None, progress: bool) -> None:
    """The whole of a session, in each process."""
    with seeded(settings.seed, "setup"):
        name, method = ("", built) if built else build_method(settings)
        if settings.resume:
            run.require_same(model_files.json_arguments(method.arguments))
        dataset = open_data(settings, "train")
        preview = open_preview(settings) or dataset
        if settings.init and not (settings.resume and run.latest()):
            model.init_from_model(method, settings.init)
    check_sides(method, settings.size)
    share = (runtime.rank, runtime.world)
    (sample,) = batches(dataset, settings.batch_size, settings.seed, range(1), share)
    method.to(runtime.device)
    with seeded(settings.seed, "rehearsal"):
        rehearse(method, _to(sample, runtime.device))
    players = player_states(method)
    done = _restore(run, method, players) if settings.resume else 0
    runtime.from_main(method.state_dict().values())
    if done >= settings.steps:
        raise StylekitError(f"The run in {run.folder} has made {done} steps already. Ask for more in all with --steps.")
    recorder = Recorder(run, name or type(method).__name__, method, players, settings, runtime, preview, done, progress)
    if settings.compile:
        compile_networks(players)
    loader = batches(
        dataset, settings.batch_size, settings.seed, range(done, settings.steps), share, _workers(settings)
    )
    with recorder, _interruptible() as interrupted:
        _play(method, players, loader, recorder, settings, runtime, interrupted)


def _play(
    method: Method,
    players: Sequence[PlayerState],
    loader: Iterable[Batch],
    recorder: Recorder,
    settings: Settings,
    runtime: Runtime,
    interrupted: Callable[[], bool],
) -> None:
    index = recorder.done
    for batch in recorder.timed(loader):
        try:
            with seeded(settings.seed, "step", index, runtime.rank):
                losses = step(method, players, _to(batch, runtime.device), index, settings.steps, runtime)
            index += 1
            stop = runtime.any(interrupted())
            recorder.record(index, losses, last=stop or index == settings.steps)
        except NotFinite as error:
            raise StylekitError(f"{error} {recorder.last_good()} {REMEDY}") from None
        if stop:
            break


REMEDY = (
    "Then try a lower learning rate, --precision 32 if it was bf16, or gradient clipping in the method's players; a run with "
    "another setting starts anew."
)


def _restore(run: Run, method: Method, players: Sequence[PlayerState]) -> int:
    latest = run.latest()
    if latest is None:
        return 0
    done, states = checkpoint.load_checkpoint(latest, method)
    for player in players:
        if player.name not in states:
            raise StylekitError(
                f"{latest} has no state of the player {player.name!r}: it was written by another method."
            )
        player.restore(states[player.name], latest / "players.safetensors")
    return done


def _to(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    return {key: images.to(device, non_blocking=True) for key, images in batch.items()}


def compile_networks(players: Sequence[PlayerState]) -> None:
    """Compiles the players' modules in place, when they are first called."""
    for player in players:
        assert isinstance(player.player.modules, list)
        for module in player.player.modules:
            if isinstance(module, nn.Module):
                module.compile()


def _workers(settings: Settings) -> int:
    if settings.workers is not None:
        return settings.workers
    return min(4, max(1, (os.cpu_count() or 1) - 1))


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C, or a request to terminate, into a question that the loop asks; a second one is not held back."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
