"""What a session of training leaves behind: log lines, sample sheets, checkpoints and the model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from stylekit.errors import StylekitError
from stylekit.inference import model_files
from stylekit.method import Batch, Method
from stylekit.registry import lookup, provenance
from stylekit.registry.callbacks import Callbacks
from stylekit.seeding import seeded
from stylekit.training import checkpoint
from stylekit.training.distributed import Runtime
from stylekit.training.loader import SeededItems
from stylekit.training.player_state import PlayerState
from stylekit.training.progress import Display
from stylekit.training.runs import Run
from stylekit.training.settings import Settings


def _packages(name: str, method: Method, dataset: Any, settings: Settings) -> dict[str, str]:
    """The packages that the run needs: those of the method, its parts, its preset and the data set, and of loggers."""
    preset = settings.preset if settings.preset not in method.presets else None
    added = lookup.preset(name, preset) if preset else None
    return provenance.packages(method, dataset, *(added or ())[:1], *map(lookup.find_plugin, settings.log))


PREVIEWS = 4
"""Pictures on a sample sheet."""


class Recorder:
    """Records one session of a run; only the main process writes.

    Args:
        run: the run's folder, made here if the session is its first
        name: the method's name
        method: the method
        players: its players
        settings: the run's settings
        runtime: this process
        preview: data set whose first items are shown on sample sheets
        done: steps made before
        progress: show a progress bar
    """

    def __init__(
        self,
        run: Run,
        name: str,
        method: Method,
        players: Sequence[PlayerState],
        settings: Settings,
        runtime: Runtime,
        preview: Any,
        done: int,
        progress: bool,
    ) -> None:
        self.run, self.name, self.method, self.players, self.settings = run, name, method, players, settings
        self.runtime, self.done, self.step, self.waited, self.images = runtime, done, done, 0.0, 0
        self.display = Display(done, settings.steps, progress and runtime.main)
        self.callbacks = Callbacks(settings.log if runtime.main else ())
        if runtime.main:
            self.preview = self._preview_batch(preview)
            self._begin(_packages(name, method, preview, settings))

    def _begin(self, packages: Mapping[str, str]) -> None:
        if self.settings.resume:
            before = self.run.settings().steps
            if before != self.settings.steps:
                self.display.say(
                    f"the run was to have {before} steps: schedules are stretched to {self.settings.steps}"
                )
            self.run.rewind(self.done)
        else:
            self.run.create(self.settings)
        settings = self.settings.as_json()
        played = {"name": self.name, "arguments": model_files.json_arguments(self.method.arguments)}
        self.run.describe(settings=settings, method=played, packages=packages)
        self.callbacks.call("run_started", run=self.run.folder, settings=settings)

    def _preview_batch(self, dataset: Any) -> dict[str, Tensor]:
        items = SeededItems(dataset, self.settings.seed)
        count = min(PREVIEWS, len(dataset))
        chosen = [items[index * len(dataset) // count] for index in range(count)]
        return {key: torch.stack([item[key] for item in chosen]).to(self.runtime.device) for key in chosen[0]}

    def __enter__(self) -> Recorder:
        self.started = time.perf_counter()
        self.display.__enter__()
        return self

    def timed(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """The loader's batches, counting the time that is spent on waiting for them."""
        batches = iter(loader)
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - before
            if batch is None:
                return
            self.images += self.runtime.world * sum(len(images) for images in batch.values())
            yield batch

    def record(self, step: int, losses: Mapping[str, float], last: bool) -> None:
        """Logs a step, counted from one, and makes the sample sheet and the checkpoint that are due."""
        self.step = step
        sample = last or step == 1 or step % self.settings.sample_every == 0
        save = last or step % self.settings.checkpoint_every == 0
        if save:
            self.runtime.from_main(self.method.buffers())
        if not self.runtime.main:
            return
        self.run.log({"step": step, **losses})
        self.callbacks.call("step_finished", step=step, metrics=losses)
        self.display.advance(losses)
        if sample or save:
            checkpoint.require_finite(self.method, step)
        if sample:
            self.display.say(f"step {step}: {self._sample(step)}")
        if save:
            self._save(step)

    @torch.no_grad()
    def _sample(self, step: int) -> str:
        self.method.eval()
        try:
            with (
                seeded(self.settings.seed, "sample"),
                self._averaged(),
                self.runtime.autocast(),
                torch.compiler.set_stance("force_eager"),
            ):
                return str(self.run.sample(step, self.method.preview(self.preview)))
        finally:
            self.method.train()

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Puts the averaged weights into the networks for the block."""
        pairs = [pair for player in self.players for pair in zip(player.parameters, player.average, strict=False)]
        kept = [parameter.detach().clone() for parameter, _ in pairs]
        for parameter, average in pairs:
            parameter.data.copy_(average)
        try:
            yield
        finally:
            for (parameter, _), own in zip(pairs, kept, strict=True):
                parameter.data.copy_(own)

    def _save(self, step: int) -> None:
        players = {player.name: player.state() for player in self.players}
        told = model_files.model_header(self.method, self.name)
        # The model first: whoever finds the last checkpoint of a run finds its model too.
        with self._averaged():
            model_files.save_model(self.method, self.name, self.run.model)
        path = checkpoint.save_checkpoint(self.run.checkpoints, step, self.method, players, told)
        checkpoint.prune(self.run.checkpoints, self.settings.keep)
        self.run.plot()
        self.callbacks.call("checkpoint_saved", step=step, path=path)

    def last_good(self) -> str:
        """What is left if the run stops here."""
        latest = self.run.latest()
        if latest is None:
            return "The run stops; it had saved no checkpoint yet."
        return f"The run stops; its last good checkpoint, {latest}, is kept."

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        if not self.runtime.main:
            return
        self.callbacks.call("run_finished", run=self.run.folder, step=self.step)
        seconds = time.perf_counter() - self.started
        whole = self.step == self.settings.steps
        facts = {
            "from": self.done,
            "to": self.step,
            "ended": "complete" if whole else "interrupted" if kind is None else "failed",
            "device": str(self.runtime.device),
            "processes": self.runtime.world,
            "seconds": round(seconds, 2),
            "images_per_second": round(self.images / seconds, 2),
            "share_of_time_waiting_for_data": round(self.waited / seconds, 4),
            "peak_memory_bytes": peak_memory(self.runtime.device),
        }
        with contextlib.suppress(StylekitError):  # a full disk has been reported already
            self.run.end_session(**facts)
        if kind is None:
            self._farewell(facts, whole)

    def _farewell(self, facts: Mapping[str, Any], whole: bool) -> None:
        rate, wait = facts["images_per_second"], facts["share_of_time_waiting_for_data"]
        self.display.say(f"{self.step} steps, {rate} images/s, {wait:.1%} of the time waiting for data")
        if whole:
            self.display.say(f"model: {self.run.model}")
        else:
            self.display.say(f"interrupted, and saved. To go on: {self.run.resume_command()}")


def peak_memory(device: torch.device) -> int:
    """The most memory that was in use, in bytes: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage would tell the peak of the launching process if that was higher
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
