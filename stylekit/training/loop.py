"""The steps of a session, one after the other, with returns to a checkpoint when training goes wrong."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stylekit.errors import NotFinite, ProcessError, StylekitError, explain
from stylekit.method import Batch, Method
from stylekit.seeding import seeded
from stylekit.training import checkpoint
from stylekit.training.connection import ConnectionLost
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import PlayerState
from stylekit.training.recorder import Recorder
from stylekit.training.sentinel import NOTICED, Sentinel, Trouble
from stylekit.training.settings import Settings
from stylekit.training.steps import step, to_device

MOST_FIXES = 5
"""How often a run returns to a checkpoint before it gives up."""
AGAIN = 2 * NOTICED
"""Number of steps after a return within which further trouble means that the checkpoint was bad."""
REMEDY = (
    "Try a lower learning rate, --precision 32 instead of bf16, or gradient clipping, as in --set "
    "'players={generator: {clip: 1}}'. With other settings, a run starts from the beginning."
)


@dataclass
class Loop:
    """The steps of a session.

    Attributes:
        method: the method
        players: its players
        load: the batches of a range of steps
        layout: memory format of the images
        recorder: writes what the run leaves
        settings: settings of the run
        runtime: the processes
        interrupted: whether the user wants the session to end
    """

    method: Method
    players: Sequence[PlayerState]
    load: Callable[[range], Iterable[Batch]]
    layout: torch.memory_format
    recorder: Recorder
    settings: Settings
    runtime: Runtime
    interrupted: Callable[[], bool]

    @property
    def rolls_back(self) -> bool:
        """Whether to return to a checkpoint when training goes wrong."""
        return self.settings.guard == "rollback"

    def run(self) -> None:
        """Trains until the run is complete or interrupted.

        Raises:
            StylekitError: training went wrong, too often if returns are wanted.
        """
        index, fixes, returned = self.recorder.done, 0, -math.inf
        if self.rolls_back:
            self.recorder.begin_at(index)
        while trouble := self._until_trouble(index):
            fixes += 1
            if fixes > MOST_FIXES:
                raise StylekitError(f"{trouble.told} Training went wrong {fixes} times. {self.recorder.last_good()}")
            # If training goes wrong soon after a return, the checkpoint was bad already, and half the rate is still too high.
            soon = trouble.since <= returned + AGAIN
            until, divisor = (returned - 1, 4) if soon else (trouble.since, 2)
            returned = index = self._roll_back(trouble, until, divisor)

    def _until_trouble(self, index: int) -> Trouble | None:
        """Trains from a step on, until the session ends or until something goes wrong that a return may mend."""
        sentinel = Sentinel(self.method, self.runtime.average)
        batches = self.recorder.timed(self.load(range(index, self.settings.steps)))
        with contextlib.closing(batches) as loader, own_errors(self.runtime), _explained(self.recorder):
            for batch in loader:
                index += 1
                trouble, stop = self._step(batch, index, sentinel)
                if trouble or stop:
                    return trouble
        return None

    def _step(self, batch: Batch, number: int, sentinel: Sentinel) -> tuple[Trouble | None, bool]:
        """Trains one step, counted from one; returns a trouble that a return may mend, and whether the session ends."""
        moved, troubles = to_device(batch, self.runtime.device, self.layout), list[Trouble]()

        def watch(batch: Batch, made: Any) -> None:
            if self.settings.guard != "off" and sentinel.due(number):
                troubles.extend(filter(None, [sentinel.look(number, batch, made)]))

        rank = self.runtime.rank
        with seeded(self.settings.seed, "step", number - 1, rank), self.runtime.shared_buffers(self.method):
            total, parts = self.settings.steps, self.settings.accumulate
            losses = step(self.method, self.players, moved, number - 1, total, self.runtime, watch, parts)
        stop = self.runtime.any(self.interrupted())
        try:
            stop |= self.recorder.record(number, losses, last=stop or number == self.settings.steps)
        except NotFinite as error:
            if not self.rolls_back:
                raise
            return Trouble("finite", number, str(error)), stop
        for trouble in troubles:
            self.recorder.warn(trouble.told)
            if self.rolls_back:
                return trouble, stop
        return None, stop

    def _roll_back(self, trouble: Trouble, until: float, divisor: int) -> int:
        """Returns to the last checkpoint up to a step, or to the first, and divides the learning rates; returns its step.

        Raises:
            StylekitError: there is no such checkpoint.
        """
        run = self.recorder.run
        path = Path(self.runtime.decided_by_main(lambda: str(run.latest(max(until, 0)) or "")) or "")
        if not path.name:
            raise StylekitError(f"{trouble.told} There is no checkpoint before, to which training could return.")
        scales = [player.scale / divisor for player in self.players]
        done, states = checkpoint.load_checkpoint(path, self.method)
        for player, scale in zip(self.players, scales, strict=True):
            player.restore(states[player.name], path / "players.safetensors")
            player.scale = scale
        self.recorder.roll_back(path, done, trouble.told, scales[0])
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
def own_errors(runtime: Runtime) -> Iterator[None]:
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
