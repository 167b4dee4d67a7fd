"""A case: one attempt with its own random numbers and its own folder, measured and judged."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from stylekit.errors import StylekitError, printable
from tests.fuzz.judge import (
    BAD,
    CLEAR,
    RIGHT,
    Bad,
    ClearError,
    Result,
    require_clear,
    require_clear_result,
    require_printable,
)
from tests.fuzz.material import Material

Value = TypeVar("Value")
SECONDS = 5.0
"""Maximum processor time of one call that ends in an error. (Not the time on the clock, as the machine may be busy.)"""
STARTING = 4.0
"""Processor time that a new process may use besides, to import torch."""
MEGABYTES = 1024.0
"""Maximum memory of one call, above the size of the file that it reads."""
STARTED = 500.0
"""Memory of a new process with torch, in megabytes."""
HANGS = 60.0
"""Seconds on the clock after which a process is killed."""

ENDS = 180.0
"""Seconds on the clock in which a process of some work ends, also on a busy machine."""

Attempt = Callable[["Case"], None]


class Kind:
    """A kind of input: a decorator that collects attempts.

    Args:
        name: its name on the command line and in the table
        count: number of cases of a whole run
        seconds: time on the clock after which a case is taken to hang
    """

    def __init__(self, name: str, count: int, seconds: float = 2 * HANGS) -> None:
        self.name, self.count, self.seconds = name, count, seconds
        self.attempts: list[Attempt] = []

    def __call__(self, attempt: Attempt) -> Attempt:
        self.attempts.append(attempt)
        return attempt

    def often(self, times: int) -> Callable[[Attempt], Attempt]:
        """Collects an attempt that has more to vary than others, and takes the place of several."""

        def collect(attempt: Attempt) -> Attempt:
            self.attempts += [attempt] * times
            return attempt

        return collect

    def attempt(self, seed: int, index: int) -> Attempt:
        """The attempt of a case. All take turns, in an order of the seed, so that every share of the cases is mixed."""
        order = list(range(len(self.attempts)))
        random.Random(f"{self.name} {seed}").shuffle(order)
        return self.attempts[order[index % len(order)]]


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        tried: what was tried, where the index alone does not say much
        verdict: right, clear error or bad
        said: the error, or what was bad
        seconds: processor time of the slowest call
        megabytes: memory of the largest call, above the size of the file
    """

    kind: str
    seed: int
    index: int
    attempt: str
    tried: str = ""
    verdict: str = RIGHT
    said: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Case:
    """One attempt.

    Attributes:
        random, numbers: its random numbers
        folder: its folder, which is empty and the working directory
        material: models, images and runs to damage copies of
        mentions: names of which an error must contain one
        expected: ``right`` or ``clear error``, where only one of them is acceptable
        consistent: whether all ways must agree; decoders may see different parts of a damaged file
        tried: what was tried, for the report of a bad case
    """

    kind: Kind
    seed: int
    index: int
    folder: Path
    material: Material
    mentions: tuple[str, ...] = ()
    expected: str = ""
    consistent: bool = True
    tried: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    _kept: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.kind.name} {self.seed} {self.index}")
        self.numbers = np.random.default_rng(self.random.getrandbits(64))

    def keep(self, *paths: Path) -> None:
        """Files and folders that are the user's: they must be the same at the end."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                self._kept[file] = digest(file)

    def measured(self, function: Callable[..., Value], *arguments: Any, size: int = 0, **options: Any) -> Value:
        """Calls a function that must not use much time or memory. Its errors are passed on.

        Args:
            function: the function
            arguments: its arguments
            size: size of the file that it reads, in bytes
            options: its keyword arguments
        """
        with self._watched(size):
            return function(*arguments, **options)

    @contextlib.contextmanager
    def _watched(self, size: int) -> Iterator[None]:
        before, start = _reset_peak(), time.process_time()
        try:
            yield
        finally:
            seconds = time.process_time() - start
            self._judge(seconds, peak() - before - size / 2**20, SECONDS, MEGABYTES)

    def _judge(self, seconds: float, megabytes: float, most_seconds: float, most_megabytes: float) -> None:
        self.seconds, self.megabytes = max(self.seconds, seconds), max(self.megabytes, megabytes)
        if seconds > most_seconds:
            raise Bad(f"it took {seconds:.1f} s of processor time")
        if megabytes > most_megabytes:
            raise Bad(f"it took {megabytes:.0f} MB")

    def program(self, *arguments: object, size: int = 0) -> Result:
        """Calls ``stylekit`` in this process.

        Raises:
            ClearError: it ended with an error that is clear.
        """
        line = [os.fsdecode(each) if isinstance(each, bytes | Path) else str(each) for each in arguments]
        self.tried = self.tried or f"stylekit {shlex.join(line)[:300]!r}"
        with self._watched(size):
            result = call_program(line)
        return self._checked(result, len(" ".join(map(str, line))))

    def process(self, *arguments: object, size: int = 0, **environment: str) -> Result:
        """Calls ``stylekit`` in a process of its own.

        Raises:
            ClearError: it ended with an error that is clear.
        """
        line = [each if isinstance(each, bytes) else str(each) for each in arguments]
        self.tried = self.tried or f"stylekit {line} in a process"[:300]
        result, usage = call_process([sys.executable, "-m", "stylekit", *line], environment)
        self._judge(
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024 - size / 2**20,
            SECONDS + STARTING,
            MEGABYTES + STARTED,
        )
        return self._checked(result, len(" ".join(map(str, line))))

    def _checked(self, result: Result, typed: int) -> Result:
        if result.code:
            require_clear_result(result, self.mentions, typed)
            raise ClearError(result.err or result.text)
        require_printable(result.err)
        if "Traceback (most recent" in result.err:
            raise Bad(f"a traceback: {result.err[-600:]!r}")
        return result

    def every(self, *ways: Callable[[], object]) -> None:
        """Tries several ways, even if some are refused.

        Raises:
            ClearError: one was refused.
        """
        errors: list[Exception] = []
        for way in ways:
            try:
                way()
            except StylekitError as error:
                require_clear(printable(str(error)), self.mentions)
                errors.append(error)
            except ClearError as error:
                errors.append(error)
        if errors and len(errors) < len(ways) and self.consistent and not self.expected:
            raise Bad(f"refused in one way and accepted in another: {errors[0]}")
        if errors:
            raise ClearError(str(errors[0]))

    def finish(self) -> None:
        """Checks that nothing was lost or left behind.

        Raises:
            Bad: something was.
        """
        for path, before in self._kept.items():
            if digest(path) != before:
                raise Bad(f"the user's {path.name!r} was {'changed' if os.path.lexists(path) else 'removed'}")
        parts = [name for _, folders, files in os.walk(self.folder) for name in (*folders, *files)]
        if left := [name for name in parts if name.endswith(".part") and name.startswith(".")]:
            raise Bad(f"left behind: {left[0]!r}")
        if self.marker.exists():
            raise Bad("code in a received file was run")

    @property
    def marker(self) -> Path:
        """What hostile code writes if it is run."""
        return self.folder / "hostile-code-was-here"


def run_case(kind: Kind, seed: int, index: int, material: Material, debug: bool = False) -> Outcome:
    """Runs one case in this process; what happens is its outcome."""
    attempt = kind.attempt(seed, index)
    outcome = Outcome(kind.name, seed, index, attempt.__name__)
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix=f"{kind.name}-{index}-", ignore_cleanup_errors=True) as folder:
        case = Case(kind, seed, index, Path(folder), material)
        os.chdir(folder)
        try:
            with warnings.catch_warnings():
                outcome.verdict, outcome.said = _verdict(case, attempt, debug)
        finally:
            os.chdir(before)
        outcome.tried = case.tried
        outcome.seconds, outcome.megabytes = round(case.seconds, 2), round(case.megabytes)
    return outcome


def _verdict(case: Case, attempt: Attempt, debug: bool) -> tuple[str, str]:
    verdict, said = RIGHT, ""
    try:
        try:
            attempt(case)
        except StylekitError as error:
            verdict, said = (
                CLEAR,
                printable(str(error)),
            )  # as callers must; names may have any characters
            require_clear(said, case.mentions)
        except ClearError as error:
            verdict, said = CLEAR, str(error)
        case.finish()
        if case.expected and verdict != case.expected:
            raise Bad(f"expected {case.expected}, not {verdict}: {said!r}")
    except Bad as error:
        return BAD, str(error)
    except Exception as error:  # any error is what this test looks for
        if debug:
            traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return BAD, f"{type(error).__name__}: {str(error)[:300]!r}, in line {frame.lineno} of {frame.filename}"
    return verdict, said


def call_program(line: list[str]) -> Result:
    """Calls the program in this process, as a shell would."""
    from stylekit.cli import main

    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8"),
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace"),
    )
    saved = sys.argv, warnings.showwarning, os.environ.get("COLUMNS")
    code: Any = 0
    try:
        sys.argv, os.environ["COLUMNS"] = ["stylekit", *line], "120"
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
    finally:
        sys.argv, warnings.showwarning, columns = saved
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    out.flush()
    err.flush()
    printed = err.buffer.getvalue().decode("utf-8", "backslashreplace")
    if not isinstance(code, int):
        code, printed = 1, f"{printed}{code}"
    return Result(code, out.buffer.getvalue(), printed)


def call_process(line: list[Any], environment: dict[str, str], seconds: float = HANGS) -> tuple[Result, Any]:
    """Calls a program; returns its result, and the time and memory that it used.

    Raises:
        Bad: it hangs, or a signal killed it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        variables = {**os.environ, "COLUMNS": "120", **environment}
        started = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=variables)
        deadline = time.monotonic() + seconds
        while True:
            pid, status, usage = os.wait4(started.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                started.kill()
                started.wait()
                raise Bad(f"it hangs: not finished after {seconds:.0f} s")
            time.sleep(0.02)
        started.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        result = Result(code, out.read(), err.read().decode("utf-8", "backslashreplace"))
    if code < 0:
        raise Bad(f"it was killed by signal {-code}: {result.err[-300:]!r}")
    return result, usage


def digest(path: Path) -> str:
    """A digest of a file's content; of anything else, what it is."""
    if path.is_symlink():
        return f"link to {os.readlink(path)}"
    if path.is_dir():
        return "folder"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other" if path.exists() else "nothing"


def _reset_peak() -> float:
    """Starts to measure the peak of this process's memory; returns the memory that it uses now."""
    from stylekit.native.malloc import release_freed_memory

    release_freed_memory()  # or new memory would take its place unseen
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak(process: int | str = "self") -> float:
    """The peak of a process's memory in megabytes, since it was last reset."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
