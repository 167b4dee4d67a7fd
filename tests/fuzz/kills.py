"""Kills and signals at random moments: what was saved is whole, and a resumed run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from tests.fuzz.cases import ENDS, Case, Kind, call_process
from tests.fuzz.judge import RIGHT, Bad, require_clear_result, require_printable
from tests.fuzz.material import NETWORKS
from tests.fuzz.pictures import some_image
from tests.fuzz.run_folders import same_tensors

kind = Kind("kills", 40, seconds=5 * ENDS)
STEPS = 24


def line(out: Path, devices: int, *more: object) -> list[str]:
    """The command of a tiny run."""
    networks = [f"--set={key}={json.dumps(value)}" for key, value in NETWORKS.items()]
    settings = (
        "--size",
        32,
        "--steps",
        STEPS,
        "--batch-size",
        2,
        "--checkpoint-every",
        4,
        "--devices",
        devices,
        "--seed",
        3,
    )
    words = (
        "train",
        "--plugin",
        "cyclegan",
        *settings,
        "--workers",
        0,
        "--device",
        "cpu",
        *networks,
        "--out",
        out,
        *more,
    )
    return [sys.executable, "-m", "stylekit", *map(str, words)]


def unbroken(case: Case, devices: int) -> Path:
    """A run that is never stopped; made once by each worker."""
    out = case.material.folder / f"unbroken-{devices}-{os.getpid()}"
    if not (out / "model.safetensors").exists():
        result, _ = call_process(line(out, devices), {}, ENDS)
        if result.code:
            raise Bad(f"a run that nobody stopped ended with {result.code}: {result.err[-500:]}")
    return out


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def steps_of(run: Path) -> int:
    """The number of steps that the log of a run has."""
    log = run / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def wait_for(process: subprocess.Popen[bytes], run: Path, step: int) -> None:
    """Waits until a run has made a number of steps, or has ended."""
    deadline = time.monotonic() + ENDS
    while process.poll() is None and steps_of(run) < step and time.monotonic() < deadline:
        time.sleep(0.005)


def living(group: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(status.parent.name)
    return found


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Waits for a process, and checks that it left none behind; returns its exit code and what it printed."""
    try:
        out, err = process.communicate(timeout=ENDS)
        time.sleep(0.1)
        deadline = time.monotonic() + 5
        while living(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left := living(process.pid):
            raise Bad(f"{len(left)} processes are left")
        return process.returncode, (err + out).decode(errors="backslashreplace")
    except subprocess.TimeoutExpired:
        raise Bad(f"it does not end within {ENDS:.0f} s") from None
    finally:
        if living(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def resume(run: Path, case: Case, devices: int) -> None:
    """Resumes the run, which must end as the one that was never stopped; nothing is left of the kill."""
    command = [sys.executable, "-m", "stylekit", "train", "--resume", "--out", str(run)]
    if not (run / "run.json").exists():  # it was killed before it began
        command = line(run, devices)
    result, _ = call_process(command, {}, ENDS)
    if result.code:
        require_clear_result(result)
        raise Bad(f"it cannot be resumed: {result.err[-500:]!r}")
    other = unbroken(case, devices)
    for name in (
        "model.safetensors",
        f"checkpoints/{STEPS}/method.safetensors",
        f"checkpoints/{STEPS}/players.safetensors",
    ):
        if not same_tensors(run / name, other / name):
            raise Bad(f"{name} differs from that of the run that was never stopped")
    if losses(run) != losses(other):
        raise Bad("the log differs from that of the run that was never stopped")


def losses(run: Path) -> list[Any]:
    return [json.loads(each) for each in (run / "metrics.jsonl").read_text().splitlines()]


# Kills


@kind.often(5)
def killed(case: Case) -> None:
    """``kill -9`` at a random step, and sometimes again while resuming."""
    case.expected = RIGHT
    devices = case.random.choice((1, 1, 1, 2))
    run = case.folder / "run"
    process = start(line(run, devices))
    wait_for(process, run, case.random.randint(0, STEPS - 1))
    time.sleep(case.random.uniform(0, 0.05))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if (run / "run.json").exists() and case.random.random() < 0.3:
        process = start([sys.executable, "-m", "stylekit", "train", "--resume", "--out", str(run)])
        wait_for(process, run, case.random.randint(0, STEPS - 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    resume(run, case, devices)


@kind.often(4)
def interrupted(case: Case) -> None:
    """A signal to the main process: it saves, says how to resume, and ends with all its processes."""
    case.expected = RIGHT
    devices, number = case.random.choice((1, 1, 2)), case.random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    run = case.folder / "run"
    process = start(line(run, devices))
    wait_for(process, run, case.random.randint(1, STEPS - 8))
    everybody = number == signal.SIGINT and case.random.random() < 0.5  # as a terminal does
    os.killpg(process.pid, number) if everybody else process.send_signal(number)
    code, printed = end(process)
    require_printable(printed)
    if "Traceback" in printed:
        raise Bad(f"{number.name} ended in a traceback: {printed[-500:]!r}")
    if code != 0 and code not in (130, 128 + number):
        raise Bad(f"{number.name} with {devices} devices ended with {code}: {printed[-500:]!r}")
    if code and (steps := steps_of(run)) < STEPS and not (run / "checkpoints" / str(steps)).is_dir():
        raise Bad(
            f"{number.name} with {devices} devices: no checkpoint of step {steps}, but {os.listdir(run / 'checkpoints')}"
        )
    resume(run, case, devices)


@kind.often(2)
def interrupted_twice(case: Case) -> None:
    """A second signal ends the run at once; nothing is left that the next resume does not clean."""
    case.expected = RIGHT
    devices, number = case.random.choice((1, 2)), case.random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    run = case.folder / "run"
    process = start(line(run, devices))
    wait_for(process, run, case.random.randint(1, STEPS - 8))
    process.send_signal(number)
    time.sleep(case.random.uniform(0, 0.2))
    process.send_signal(number)
    code, printed = end(process)
    if code not in (0, 130, 128 + number, -number):
        raise Bad(f"two {number.name} with {devices} devices ended with {code}: {printed[-500:]!r}")
    resume(run, case, devices)


@kind
def interrupted_early(case: Case) -> None:
    """Ctrl-C while the program starts: no traceback, and no crash of Python."""
    case.expected = RIGHT
    run = case.folder / "run"
    process = start(line(run, 1))
    time.sleep(case.random.uniform(0.3, 4))
    process.send_signal(signal.SIGINT)
    code, printed = end(process)
    if code not in (0, 130, -signal.SIGINT) or "Fatal Python error" in printed:
        raise Bad(f"Ctrl-C in start-up ended with {code}: {printed[-500:]!r}")
    if "Traceback" in printed and "stylekit/cli" in printed:
        raise Bad(f"Ctrl-C in start-up ended in a traceback: {printed[-800:]!r}")


@kind.often(3)
def killed_while_stylising(case: Case) -> None:
    """Every output is whole, no input is touched, and the next call does the rest."""
    case.expected = RIGHT
    photos, out = case.folder / "photos", case.folder / "out"
    photos.mkdir()
    for number in range(40):
        some_image(case).resize((200, 150)).save(photos / f"{number:02}.png")
    case.keep(photos)
    command = [
        sys.executable,
        "-m",
        "stylekit",
        "stylize",
        str(photos),
        "-o",
        str(out),
        "--model",
        str(case.material.cyclegan),
    ]
    process = start(command)
    deadline, wanted = time.monotonic() + ENDS, case.random.randint(0, 30)
    while (
        process.poll() is None and time.monotonic() < deadline and (not out.exists() or len(os.listdir(out)) < wanted)
    ):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()
    helped, _ = call_process([sys.executable, "-m", "stylekit", "stylize", "--help"], {}, ENDS)
    more = ["--overwrite"] if "--overwrite" in helped.text else []
    result, _ = call_process([*command, *more], {}, ENDS)
    if result.code or len(list(out.glob("*.png"))) != 40:
        raise Bad(f"the next call ended with {result.code}: {result.err[-500:]!r}")
    for left in out.glob(".*.part"):  # of the killed process
        left.unlink()
