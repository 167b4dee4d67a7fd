"""SIGINT, SIGTERM and SIGHUP save a checkpoint and end every process of a run; a second one ends it at once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import stylekit
from stylekit.training.checkpoint import saved_steps
from stylekit.training.runs import Run
from tests.facts import assert_mentions

pytestmark = pytest.mark.slow

LINE = [
    *(sys.executable, "-m", "stylekit", "train", "--plugin", "cyclegan", "--size", "32", "--batch-size", "2"),
    *("--steps", "100000", "--device", "cpu", "--set", "generator.blocks=1", "--set", "generator.width=4"),
    *("--set", "discriminator=pixel", "--checkpoint-every", "7", "--out", "run"),
]
PATIENCE = 90
"""Seconds after which a process counts as hanging."""


class Started:
    """A run in processes of its own, in a session of its own, so that all of them can be found."""

    def __init__(self, folder: Path, *options: str, terminal: int | None = None) -> None:
        self.run = Run(folder / "run")
        self.process = subprocess.Popen(
            [*LINE, *options],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)

    def step(self) -> int:
        return max((line["step"] for line in self.run.metrics()), default=0)  # type: ignore[return-value]

    def signal(self, number: signal.Signals, group: bool) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was printed; all other processes have ended a moment later."""
        output = self.process.communicate(timeout=PATIENCE)[1] or ""
        end = time.monotonic() + 5
        while left := processes(self.process.pid):
            assert time.monotonic() < end, left
            time.sleep(0.05)
        return self.process.returncode, output


def processes(session: int) -> list[int]:
    """The processes of a session, apart from those that have ended, and from multiprocessing's tracker of resources."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            tracker = b"resource_tracker" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(number) == session and state != "Z" and not tracker:
            found.append(int(folder.name))
    return found


@contextmanager
def started(folder: Path, *options: str, terminal: int | None = None) -> Iterator[Started]:
    run = Started(folder, *options, terminal=terminal)
    try:
        run.wait_for(lambda: run.step() >= 2)
        yield run
    finally:
        for process in processes(run.process.pid):
            os.kill(process, signal.SIGKILL)
        run.process.wait()
        if run.process.stderr:
            run.process.stderr.close()


ONE, TWO = ("--devices", "1", "--workers", "1"), ("--devices", "2", "--workers", "1")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize(
    ("options", "number", "group"),
    [
        (ONE, signal.SIGINT, True),
        (ONE, signal.SIGTERM, False),
        (ONE, signal.SIGHUP, True),
        pytest.param(TWO, signal.SIGTERM, True, marks=pytest.mark.long),
        (TWO, signal.SIGHUP, False),
    ],
    ids=lambda value: {True: "to all", False: "to the first", ONE: "one process", TWO: "two"}.get(value),
)
def test_a_signal_saves_a_checkpoint_and_ends_every_process(
    tmp_path: Path, options: tuple[str, ...], number: signal.Signals, group: bool
) -> None:
    with started(tmp_path, *options) as run:
        run.signal(number, group)
        code, output = run.end()
    assert code == 130, output
    assert_mentions(output.splitlines()[-1], "interrupted and saved", f"--out {tmp_path}/run")
    assert "Traceback" not in output
    assert run.run.interrupted
    assert saved_steps(run.run.checkpoints)[-1] == run.step()
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.long
@pytest.mark.parametrize("options", [ONE, TWO], ids=["one process", "two"])
def test_a_second_signal_ends_at_once_and_leaves_nothing_that_a_resume_does_not_remove(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with started(tmp_path, *options) as run:
        for _ in range(2):
            run.signal(signal.SIGINT, True)
            time.sleep(0.05)
        code, output = run.end()
    assert code == 130, output
    assert "Traceback" not in output
    steps = max([0, *saved_steps(run.run.checkpoints)]) + 1
    stylekit.train(resume=True, out=run.run.folder, steps=steps, devices=1, batch_size=2, workers=0)
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.long
def test_when_the_first_of_several_processes_is_killed_the_others_save_and_end(tmp_path: Path) -> None:
    with started(tmp_path, *TWO) as run:
        run.process.kill()
        run.process.wait()
        end = time.monotonic() + PATIENCE
        while processes(run.process.pid):
            assert time.monotonic() < end
            time.sleep(0.05)
    assert run.run.interrupted
    assert saved_steps(run.run.checkpoints)[-1] == run.step()


def test_a_run_whose_terminal_is_closed_is_saved(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with started(tmp_path, *ONE, terminal=theirs) as run:
        os.close(theirs)
        os.close(ours)
        time.sleep(1)  # the bar meets the closed terminal
        run.signal(signal.SIGHUP, True)
        code, _ = run.end()
    assert code == 130
    assert run.run.interrupted
    assert saved_steps(run.run.checkpoints)[-1] == run.step()


def test_a_run_whose_output_nobody_reads_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, *ONE, "--sample-every", "3") as run:
        assert run.process.stderr is not None
        run.process.stderr.close()
        step = run.step()
        run.wait_for(lambda: run.step() > step + 8)
        run.signal(signal.SIGTERM, False)
        assert run.process.wait(PATIENCE) == 130
    assert saved_steps(run.run.checkpoints)[-1] == run.step()
