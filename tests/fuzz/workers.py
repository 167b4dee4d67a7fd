"""Runs cases in worker processes. A case that hangs, crashes or takes all memory costs its worker, and nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fuzz.cases import Kind, Outcome, peak, run_case
from tests.fuzz.judge import BAD
from tests.fuzz.material import Material

PR_SET_PDEATHSIG = 1
"""From Linux's prctl.h: the signal that a process receives when its parent ends."""
BUSY = 20.0
"""Seconds of processor time of one case, after which it is taken to be endless."""
LARGEST = 6000.0
"""Memory in megabytes at which a worker is killed, before it takes all of the machine's."""
KINDS = ("pictures", "model_files", "style_files", "run_folders", "command_lines", "api_calls", "clips", "kills")
PROCESSES = 12
"""Number of processes started by one case at which it is ended, before they slow down the machine for everybody."""
Task = tuple[str, int, int]
"""A case to run: kind, seed and index."""


def kind_named(name: str) -> Kind:
    kind: Kind = importlib.import_module(f"tests.fuzz.{name}").kind
    return kind


def available_kinds() -> list[str]:
    return [name for name in KINDS if (Path(__file__).parent / f"{name}.py").exists()]


def run_cases(tasks: Iterable[Task], material: Material, workers: int) -> Iterator[Outcome]:
    """Runs cases, and yields what comes of them as they end."""
    waiting = deque(tasks)
    pool = [Worker(material) for _ in range(min(workers, len(waiting)))]
    try:
        for worker in pool:
            worker.begin(waiting.popleft())
        while busy := [worker for worker in pool if worker.task]:
            wait([worker.pipe for worker in busy], timeout=0.2)
            for worker in busy:
                if outcome := worker.outcome():
                    yield outcome
                    if waiting:
                        worker.begin(waiting.popleft())
    finally:
        for worker in pool:
            worker.kill()


class Worker:
    """A process that runs one case after another, and its watchdog."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.task: Task | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self.material))
        self.process.start()
        theirs.close()
        self.ready = self.pipe.poll(120) and self.pipe.recv()

    def begin(self, task: Task) -> None:
        self.task, self.began, self.used = task, time.monotonic(), processor_time(self.process.pid or 0)
        self.pipe.send(task)

    def outcome(self) -> Outcome | None:
        """What came of the case, if it has ended, or must end now."""
        assert self.task
        try:
            outcome: Outcome | None = self.pipe.recv() if self.pipe.poll() else None
            fault = "" if outcome else self._fault()
        except (EOFError, OSError):
            self.process.join(10)
            outcome, fault = None, f"the process died with code {self.process.exitcode}"
        if fault:
            name, seed, index = self.task
            attempt = kind_named(name).attempt(seed, index).__name__
            seconds = round(time.monotonic() - self.began, 2)
            outcome = Outcome(name, seed, index, attempt, verdict=BAD, said=fault, seconds=seconds)
            self.kill()
            self._start()
        if outcome:
            self.task = None
        return outcome

    def _fault(self) -> str:
        """Why the case must be ended, if so."""
        limit = kind_named(self.task[0]).seconds if self.task else 0
        if time.monotonic() - self.began > limit:
            return f"it hangs: not finished after {limit:.0f} s"
        with contextlib.suppress(OSError):
            if processor_time(self.process.pid or 0) - self.used > BUSY:
                return f"it is endless: not finished after {BUSY:.0f} s of processor time"
            if (count := len(children(self.process.pid or 0))) > PROCESSES:
                return f"it started {count} processes"
            if peak(self.process.pid or 0) > LARGEST:
                return f"it took more than {LARGEST:.0f} MB"
        return ""

    def kill(self) -> None:
        """Kills the process, and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def processor_time(process: int) -> float:
    """The seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def children(process: int | str) -> list[int]:
    """The processes that a process has started and that still run, from any of its threads."""
    listed = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for each in listed for child in each.read_text().split()]


def _work(pipe: Connection, material: Material) -> None:
    os.setsid()  # so that what it starts can be killed together
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # when the main process ends, however it ends
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # libraries in C write to them directly
        os.dup2(quiet, stream)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    prepare_process()
    pipe.send(True)
    while True:
        try:
            name, seed, index = pipe.recv()
        except EOFError:
            return
        pipe.send(run_case(kind_named(name), seed, index, material))


def prepare_process() -> None:
    """One thread, here and in the processes that are started; and what training imports, which no case is to pay for."""
    import lightning_fabric  # noqa: F401
    import torch
    import torch._dynamo

    import stylekit.training  # noqa: F401

    torch.set_num_threads(1)
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
