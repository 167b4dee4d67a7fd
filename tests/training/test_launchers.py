"""Runs whose processes a launcher starts: torchrun, or SLURM's srun."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit.training.launchers import External, external
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from tests.facts import assert_mentions
from tests.training.signals import stopper

SMALL = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
    "ema": 0.9,
    "pool": 3,
}
SETTINGS: dict[str, Any] = {"size": 32, "steps": 3, "batch_size": 4, "workers": 0, "device": "cpu", "set": SMALL}
PREFIXES = ("TORCHELASTIC_", "SLURM_", "MASTER_")
NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


def clean() -> dict[str, str]:
    """The environment without a launcher's variables, and with one thread."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES) and name not in NAMES}
    return {**own, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


Launcher = Callable[..., tuple[int, str]]
"""Runs ``stylekit`` with arguments in two processes of a folder; returns an exit code and all that they printed."""


def torchrun(folder: Path, *arguments: str) -> tuple[int, str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "stylekit"]
    done = subprocess.run(
        [*line, *arguments], cwd=folder, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def srun(folder: Path, *arguments: str) -> tuple[int, str]:
    """What srun does: it starts the processes, with their places in variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NNODES": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "interactive",  # as srun in an interactive allocation
        "SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "stylekit", *arguments],
            cwd=folder,
            env={**clean(), **job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        output = "".join(process.communicate(timeout=300)[0] for process in processes)
    finally:
        for process in processes:
            process.kill()
    return max(process.returncode for process in processes), output


LAUNCHERS = pytest.mark.parametrize("launcher", [torchrun, pytest.param(srun, marks=pytest.mark.long)])


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that stylekit starts itself. No test writes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return stylekit.train("cyclegan", out=tmp_path_factory.mktemp("spawned") / "run", devices=2, **SETTINGS)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of that run in a file, without a folder."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"plugin": "cyclegan", **SETTINGS}))
    return path


@pytest.mark.slow
@LAUNCHERS
def test_launched_processes_train_like_those_that_stylekit_starts(
    launcher: Launcher, spawned: Path, config: Path, tmp_path: Path
) -> None:
    code, output = launcher(tmp_path, "train", "--config", str(config), "--out", "run")
    assert code == 0, output
    run = tmp_path / "run"
    (session,) = json.loads((run / "run.json").read_text())["sessions"]
    assert (session["processes"], session["ended"]) == (2, "complete")
    ours, theirs = (read_tensors(each / "model.safetensors")[0] for each in (run, spawned))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-6, msg=name)
    for line, expected in zip(Run(run).metrics(), Run(spawned).metrics(), strict=True):
        assert line == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@LAUNCHERS
def test_launched_processes_agree_on_one_new_folder_and_resume_it(
    launcher: Launcher, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "cyclegan").mkdir(parents=True)  # taken
    code, output = launcher(tmp_path, "train", "--config", str(config))
    assert code == 0, output
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["cyclegan", "cyclegan-2"]
    assert output.count("model: ") == 1  # the main process alone prints
    assert_mentions(output, "runs/cyclegan-2/model.safetensors")
    code, output = launcher(tmp_path, "train", "--resume", "--out", "runs/cyclegan-2", "--steps", "4")
    assert code == 0, output
    run = Run(tmp_path / "runs" / "cyclegan-2")
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4]
    assert run.latest() == run.checkpoints / "4"


@pytest.mark.long
def test_a_signal_to_one_launched_process_saves_a_checkpoint_and_ends_all(config: Path, tmp_path: Path) -> None:
    stop = stopper(tmp_path, 1, signal.SIGTERM)  # which is noticed after the next step
    code, output = srun(tmp_path, "train", "--config", str(config), "--out", "run", "--log", stop)
    assert code == 130, output
    assert output.count("interrupted and saved") == 1
    run = Run(tmp_path / "run")
    assert run.interrupted
    assert run.latest() == run.checkpoints / "2"
    code, output = srun(tmp_path, "train", "--resume", "--out", "run", "--log", stop)
    assert code == 0, output
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "arguments", "facts"),
    [
        # met by all, before they are connected
        pytest.param(torchrun, ["--set", "cycel=5"], ["'cycel'", "did you mean 'cycle'"], marks=pytest.mark.long),
        pytest.param(
            torchrun, ["--out", "taken"], ["taken", "--resume"], marks=pytest.mark.long
        ),  # met by the main process
        (srun, ["--devices", "3"], ["--devices 3", "2 processes"]),
        pytest.param(
            srun, ["--batch-size", "3"], ["batch of 3", "2 processes"], marks=pytest.mark.long
        ),  # met by all, afterwards
    ],
    ids=["option", "folder", "devices", "batch"],
)
def test_an_error_of_launched_processes_is_printed_once(
    launcher: Launcher, config: Path, spawned: Path, tmp_path: Path, arguments: list[str], facts: list[str]
) -> None:
    (tmp_path / "taken").symlink_to(spawned, target_is_directory=True)
    code, output = launcher(tmp_path, "train", "--config", str(config), *arguments)
    assert code != 0
    errors = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, output
    assert_mentions(errors[0], *facts)
    assert not (tmp_path / "runs").exists()


def place(monkeypatch: pytest.MonkeyPatch, **variables: str) -> External | None:
    for name in [name for name in os.environ if name.startswith(PREFIXES) or name in NAMES]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return external()


def test_a_launcher_is_known_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(monkeypatch) is None
    ranks = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert place(monkeypatch, **ranks) is None  # not torchrun
    assert place(monkeypatch, TORCHELASTIC_RUN_ID="x", **ranks) == External(3, 4, 2, "torchrun")
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    assert place(monkeypatch, TORCHELASTIC_RUN_ID="x", **alone) is None
    job = {"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_NNODES": "2"}
    assert place(monkeypatch, **job) is None  # the script of a job: srun has started nothing
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2"}
    assert place(monkeypatch, **job, **step) == External(1, 4, 2, "srun")
    assert place(monkeypatch, **job, SLURM_STEP_NUM_TASKS="1", SLURM_STEP_NUM_NODES="1") is None  # srun --pty bash
