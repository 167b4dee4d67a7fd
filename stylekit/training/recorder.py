"""Writes the results of a training session: log lines, sample grids, checkpoints and the model."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from stylekit.errors import NotFinite, StylekitError, counted
from stylekit.inference import model_files
from stylekit.inference.model_headers import json_arguments, model_header
from stylekit.method import Batch, Method
from stylekit.registry import lookup, provenance
from stylekit.registry.callbacks import Callbacks
from stylekit.seeding import seeded
from stylekit.training import checkpoint, launchers
from stylekit.training.copies import RunCopy
from stylekit.training.distributed import Runtime
from stylekit.training.held_out import HeldOut
from stylekit.training.loader import SeededItems
from stylekit.training.player_state import PlayerState
from stylekit.training.progress import Display
from stylekit.training.run_json import DataFacts
from stylekit.training.runs import Run
from stylekit.training.sentinel import NOTICED
from stylekit.training.settings import Settings


def _packages(name: str, method: Method, dataset: Any, settings: Settings) -> dict[str, str]:
    """The packages that the run needs: those of the method, its parts, its preset, the data set and the loggers."""
    preset = settings.preset if settings.preset not in method.presets else None
    added = lookup.preset(name, preset) if preset else None
    return provenance.packages(method, dataset, *(added or ())[:1], *map(lookup.find_plugin, settings.log))


PREVIEWS = 4
"""Number of images on a sample grid."""


class Recorder:
    """Records one session of a run; only the main process writes.

    Args:
        run: the run's folder, created if this is its first session
        name: name of the method
        method: the method
        players: players of the method
        settings: the run's settings
        runtime: this process
        preview: data set whose items are shown on sample grids
        data: facts about the files of the data set
        done: number of steps completed before
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
        data: DataFacts | None,
        done: int,
        progress: bool,
    ) -> None:
        self.run, self.name, self.method, self.players, self.settings = run, name, method, players, settings
        self.runtime, self.done, self.step, self.waited, self.images = runtime, done, done, 0.0, 0
        self.log_every = settings.log_every or (1 if runtime.device.type == "cpu" else 20)
        self.pending: list[tuple[int, Mapping[str, Tensor]]] = []
        self.display = Display(done, settings.steps, settings.batch_size, progress and runtime.main)
        self.callbacks = Callbacks(settings.log if runtime.main else ())
        self.copy = RunCopy(settings.copy_to) if settings.copy_to and runtime.main else None
        self.constants = checkpoint.not_finite(method)  # such as the -inf of an attention mask
        self.stopped_early = False
        if runtime.main:
            self.preview = self._preview_batch(preview)
            self.held_out = HeldOut(run, name, method, settings, preview) if settings.eval_every else None
            self._begin(_packages(name, method, preview, settings), data)

    def _begin(self, packages: Mapping[str, str], data: DataFacts | None) -> None:
        world = self.runtime.world
        if self.settings.resume:
            self.run.clean()
            before = self.run.settings().steps
            if before != self.settings.steps:
                self.display.say(
                    f"total steps changed from {before} to {self.settings.steps}; learning-rate schedules are rescaled"
                )
            if (processes := self.run.processes()) not in (None, world):
                self.display.say(
                    f"{processes} processes before, {world} now: the results differ from those of an unbroken run "
                    "by rounding errors"
                )
            self.run.rewind(self.done)
        else:
            self.run.create(self.settings)
        settings = self.settings.as_json()
        method = {"name": self.name, "arguments": json_arguments(self.method.arguments)}
        self.run.describe(
            settings=settings, method=method, packages=packages, processes=world, job=launchers.job(), data=data
        )
        self.id = self.run.id
        self.callbacks.call("run_started", run=self.run.folder, settings=settings)
        self._copy()  # so that an address that cannot be written is noticed before hours of training

    def _preview_batch(self, dataset: Any) -> dict[str, Tensor]:
        items = SeededItems(dataset, self.settings.seed)
        count = min(PREVIEWS, len(dataset))
        batch: dict[str, Tensor] = default_collate([items[index * len(dataset) // count] for index in range(count)])
        return {key: values.to(self.runtime.device) for key, values in batch.items()}

    def __enter__(self) -> Recorder:
        self.started = time.perf_counter()
        self.display.__enter__()
        return self

    def timed(self, loader: Iterable[Batch]) -> Generator[Batch]:
        """The loader's batches; measures the time spent waiting for them."""
        batches = iter(loader)
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - before
            if batch is None:
                return
            self.images += self.settings.batch_size
            yield batch

    def record(self, step: int, losses: Mapping[str, Tensor], last: bool) -> bool:
        """Records a step, counted from one, and writes the sample grid and the checkpoint if they are due.

        Losses stay on the device and are read for several steps at once, so that not every step waits for the device.

        Returns:
            Whether training ends early, because it no longer improves.

        Raises:
            NotFinite: a term became NaN or infinite; the message names the step and the term.
        """
        self.step = step
        self.pending.append((step, losses))
        self.display.advance()
        if self.settings.eval_every and step % self.settings.eval_every == 0:
            self._log_pending()
            self.stopped_early = self.runtime.any(self.runtime.main and self._evaluate(step))
            last = last or self.stopped_early
        sample = last or step == 1 or step % self.settings.sample_every == 0
        save = last or step % self.settings.checkpoint_every == 0
        if sample or save or step % self.log_every == 0:
            self._log_pending()
        if not self.runtime.main:
            return self.stopped_early
        if sample or save:
            checkpoint.require_finite(self.method, step, self.constants)
        if sample:
            with self._generating():
                path = self.run.sample(step, self.method.preview(self.preview))
            self.display.say(f"step {step}: {path}")
        if save:
            self._save(step)
        return self.stopped_early

    def _evaluate(self, step: int) -> bool:
        """Evaluates on held-out images; returns whether training no longer improves."""
        assert self.held_out is not None
        checkpoint.require_finite(self.method, step, self.constants)
        with self._generating():
            found, best = self.held_out.evaluate(step)
        self.callbacks.call("step_finished", step=step, metrics=found)
        told = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
        self.display.say(f"step {step}: {told}{', the best so far' if best else ''}")
        if stops := self.held_out.exhausted():
            self.display.say(f"no better model in {self.settings.patience} evaluations: the best is {self.run.best}")
        return stops

    def _log_pending(self) -> None:
        """Logs the steps since the last call. Every process takes part, because losses are averaged."""
        pending, self.pending = self.pending, []
        values = [term for _, losses in pending for term in losses.values()]
        numbers: Iterator[float] = iter(())
        if values:
            stacked = torch.stack(values)
            self.runtime.average([stacked])
            numbers = iter(stacked.tolist())
        lines = [(step, {name: next(numbers) for name in losses}) for step, losses in pending]
        bad = [
            (step, name, value) for step, losses in lines for name, value in losses.items() if not math.isfinite(value)
        ]
        good = lines if not bad else [line for line in lines if line[0] < bad[0][0]]
        if self.runtime.main:
            self.run.log({"step": step, **losses} for step, losses in good)
            for step, losses in good:
                self.callbacks.call("step_finished", step=step, metrics=losses)
            if good:
                self.display.show(good[-1][1])
        for step, name, value in bad:
            raise NotFinite(_not_finite(step, name, value))

    def pending_failure(self) -> str:
        """The first term of the steps not yet logged that is not finite, in a sentence; empty if there is none."""
        for step, losses in self.pending:
            for name, value in losses.items():
                if not math.isfinite(value):
                    return _not_finite(step, name, float(value))
        return ""

    @contextlib.contextmanager
    def _generating(self) -> Iterator[None]:
        """Within the block, the method is what the finished model would be: in evaluation mode, with averaged weights."""
        modes = [(module, module.training) for module in self.method.modules()]  # a frozen one is not in training mode
        self.method.eval()
        try:
            with (
                torch.no_grad(),
                seeded(self.settings.seed, "sample"),
                self._averaged(),
                self.runtime.autocast(),
                torch.compiler.set_stance("force_eager"),
            ):
                yield
        finally:
            self.method.train()
            for module, training in modes:
                if module.training != training:
                    module.train(training)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Swaps in the averaged weights of all players within the block."""
        with contextlib.ExitStack() as stack:
            for player in self.players:
                stack.enter_context(player.averaged())
            yield

    def _save(self, step: int) -> None:
        players = {player.name: player.state() for player in self.players}
        header = model_header(self.method, self.name)
        # The model first, so that it exists whenever the last checkpoint does.
        with self._averaged():
            model_files.save_model(self.method, self.name, self.run.model)
        path = checkpoint.save_checkpoint(self.run.checkpoints, step, self.method, players, header, self.id)
        since = step - NOTICED if self.settings.guard == "rollback" else math.inf
        checkpoint.prune(self.run.checkpoints, self.settings.keep, self.id, since)
        self.run.plot()
        self.callbacks.call("checkpoint_saved", step=step, path=path)
        try:
            self._copy()
        except StylekitError as error:
            self.warn(f"{error} The run goes on; the next checkpoint tries to copy it again.")

    def _copy(self) -> None:
        """Copies the run to its address, if it has one."""
        if self.copy:
            self.copy.push(self.run.folder)

    def warn(self, text: str) -> None:
        """Tells the user what goes wrong, and adds it to ``run.json``."""
        if self.runtime.main:
            self.display.say(f"Warning: {text}")
            self.run.add("warnings", {"step": self.step, "text": text})

    def roll_back(self, path: Path, step: int, reason: str, scale: float) -> None:
        """Forgets the steps after a checkpoint, to which training has returned."""
        self.pending = []
        if self.runtime.main:
            checkpoint.remove_after(self.run.checkpoints, step, self.id)
            self.run.close()  # its log is replaced
            self.run.rewind(step)
            self.run.add("rollbacks", {"from": self.step, "to": step, "reason": reason, "learning_rates": scale})
            self.display.say(
                f"returned from step {self.step} to {path.name}, with learning rates {scale:g} times as large as set"
            )
            self.display.rewind(step)
        self.step = step

    def begin_at(self, step: int) -> None:
        """Saves a checkpoint before the first step, to which training can return."""
        if self.runtime.main and self.run.latest() is None:
            self._save(step)

    def last_good(self) -> str:
        """Says which checkpoint remains if the run stops now."""
        try:
            latest = self.run.latest()
        except StylekitError:  # the failure that ends the run is reported instead
            latest = None
        if latest is None:
            return "The run stopped before it saved a checkpoint."
        return f"The run stopped; its last good checkpoint is {latest}."

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        if not self.runtime.main:
            return
        if self.runtime.world == 1:
            with contextlib.suppress(StylekitError):  # the failure that ended the run is reported instead
                self._log_pending()
        self.run.close()
        self.callbacks.call("run_finished", run=self.run.folder, step=self.step)
        seconds = time.perf_counter() - self.started
        whole = kind is None and (self.step == self.settings.steps or self.stopped_early)
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
            self._print_summary(facts, whole)
        try:
            self._copy()
        except StylekitError as failure:
            if kind is None:
                raise StylekitError(
                    f"{failure} The run is whole in {self.run.folder}: copy this folder there."
                ) from failure

    def _print_summary(self, facts: Mapping[str, Any], whole: bool) -> None:
        rate, wait = facts["images_per_second"], facts["share_of_time_waiting_for_data"]
        steps = counted(self.step, "step")
        self.display.say(f"{steps}, {rate} images/s, {wait:.1%} of the time waiting for data")
        if whole:
            self.display.say(f"model: {self.run.model}")
        else:
            self.display.say(f"interrupted and saved. To resume: {self.run.resume_command()}")


def _not_finite(step: int, name: str, value: float) -> str:
    turn, _, term = name.partition("/")
    return f"At step {step}, the term {term!r} of the turn {turn!r} became {value}."


def peak_memory(device: torch.device) -> int:
    """The peak memory use in bytes: of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage reports the peak of the launching process if that was higher
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
