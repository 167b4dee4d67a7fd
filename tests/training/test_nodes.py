"""Runs on several nodes, each with its own torchrun: the same weights as one process, and runs of which a process is killed.

The nodes are two on this machine, connected by gloo.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit.training.launchers import restarted, shares_store
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from tests.facts import assert_mentions, raises
from tests.training.test_launchers import SMALL, clean

SETTINGS: dict[str, Any] = {
    "size": 32, "steps": 6, "batch_size": 4, "workers": 0, "device": "cpu", "checkpoint_every": 2, "set": SMALL,
}  # fmt: skip
NODES = 2
MORTAL = """
import os, signal
from pathlib import Path
import torch
from torch.utils.data import Dataset
from stylekit import hookimpl

class Mortal(Dataset):
    item_keys = ("content", "style")

    def __init__(self, mark: str, size=64, seed=0, split="train"):
        self.mark, self.size, self.loaded = Path(mark), size, 0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.loaded += 1
        # Two items for the rehearsal, and two for each step: this one is for the fourth step.
        if os.environ.get("RANK") == "1" and self.loaded == 10 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {key: torch.rand(3, self.size, self.size) for key in self.item_keys}

@hookimpl
def stylekit_datasets():
    return {"mortal": Mortal}
"""


def on_nodes(folder: Path, *arguments: str, nodes: int = NODES, restarts: int = 0) -> tuple[int, str]:
    """Runs ``stylekit`` with arguments in one process on each node; returns an exit code and all that they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1"),
        *("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test", f"--max-restarts={restarts}"),
        *("-m", "stylekit", *arguments),
    ]
    environment = {**clean(), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    agents = [
        subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(nodes)
    ]
    try:
        output = "".join(agent.communicate(timeout=300)[0] for agent in agents)
    finally:
        for agent in agents:
            agent.kill()
    return max(abs(agent.returncode) for agent in agents), output


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "mortal.py"
    path.write_text(MORTAL)
    return path


@pytest.fixture(scope="module")
def unbroken(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing stops. No test writes there."""
    out = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        data = {"name": "mortal", "mark": str(out / "mark")}
        return stylekit.train(["cyclegan", str(plugin)], out=out / "run", data=data, **SETTINGS)


@pytest.fixture
def config(plugin: Path, tmp_path: Path) -> Path:
    """The settings of that run in a file, without a folder."""
    data = {"name": "mortal", "mark": str(tmp_path / "mark")}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"plugin": ["cyclegan", str(plugin)], "data": data, **SETTINGS}))
    return path


def assert_equal(run: Path, other: Path) -> None:
    """Weights and losses are those of another run but for rounding."""
    ours, theirs = (read_tensors(each / "model.safetensors")[0] for each in (run, other))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5, msg=name)
    for line, expected in zip(Run(run).metrics(), Run(other).metrics(), strict=True):
        assert line == pytest.approx(expected, rel=1e-5, abs=1e-5)


def sessions(run: Path) -> list[tuple[int, int, str, int]]:
    """From, to, how it ended and the number of processes of each session."""
    content = json.loads((run / "run.json").read_text())["sessions"]
    return [(each["from"], each["to"], each["ended"], each["processes"]) for each in content]


@pytest.mark.slow
def test_two_nodes_train_like_one_process(config: Path, unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "mark").touch()  # nobody is killed
    code, output = on_nodes(tmp_path, "train", "--config", str(config), "--out", "run")
    assert code == 0, output
    assert sessions(tmp_path / "run") == [(0, 6, "complete", 2)]
    assert output.count("model: ") == 1
    assert_equal(tmp_path / "run", unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, pytest.param(2, marks=pytest.mark.long)])
def test_when_a_process_is_killed_as_many_or_fewer_go_on(
    config: Path, plugin: Path, unbroken: Path, tmp_path: Path, nodes: int
) -> None:
    code, output = on_nodes(tmp_path, "train", "--config", str(config), "--out", "run")
    assert code != 0
    assert_mentions(output, "another process of this run failed or was killed")
    run = Run(tmp_path / "run")
    assert run.latest() == run.checkpoints / "2"
    resume = ("train", "--resume", "--plugin", "cyclegan", "--plugin", str(plugin), "--out", "run")
    code, output = on_nodes(tmp_path, *resume, nodes=nodes)
    assert code == 0, output
    assert sessions(run.folder)[-1] == (2, 6, "complete", nodes)
    assert_equal(run.folder, unbroken)


@pytest.mark.long
def test_more_processes_go_on(config: Path, plugin: Path, unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    arguments = ("train", "--config", str(config), "--out", "run")
    # The schedule of the learning rate needs the number of steps from the beginning, so the run is cut afterwards.
    code, output = on_nodes(tmp_path, *arguments, "--keep", "9", nodes=1)
    assert code == 0, output
    for step in (4, 6):
        for path in (tmp_path / "run" / "checkpoints" / str(step)).iterdir():
            path.unlink()
        (tmp_path / "run" / "checkpoints" / str(step)).rmdir()
    code, output = on_nodes(tmp_path, *arguments, "--resume")
    assert code == 0, output
    assert sessions(tmp_path / "run") == [(0, 6, "complete", 1), (2, 6, "complete", 2)]
    assert_equal(tmp_path / "run", unbroken)


@pytest.mark.long
def test_processes_that_torchrun_starts_again_resume_the_run(config: Path, unbroken: Path, tmp_path: Path) -> None:
    code, output = on_nodes(tmp_path, "train", "--config", str(config), "--out", "run", restarts=2)
    assert code == 0, output
    assert (tmp_path / "mark").exists()
    assert sessions(tmp_path / "run")[-1] == (2, 6, "complete", 2)
    assert_equal(tmp_path / "run", unbroken)


def test_processes_know_that_torchrun_started_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    assert not restarted(None)
    # torchrun's default is no name: it may be that of another job.
    for name, count, made_by, expected in (
        ("mine", "0", None, False),
        ("mine", "0", "mine", True),
        ("mine", "0", "other", False),
        ("none", "0", None, False),
        ("none", "0", "none", False),
        ("none", "2", None, True),
    ):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        assert restarted(made_by) is expected, (name, count, made_by)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"TORCHELASTIC_USE_AGENT_STORE": "False"}, False),
        ({"TORCHELASTIC_MAX_RESTARTS": "0"}, False),
        ({"GROUP_WORLD_SIZE": "1"}, False),
        ({"TORCHELASTIC_RUN_ID": None}, False),
    ],
)
def test_a_store_of_the_round_before_is_known(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None], expected: bool
) -> None:
    several = {"GROUP_WORLD_SIZE": "2", "TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in ({"TORCHELASTIC_RUN_ID": "mine"} | several | changed).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert shares_store() is expected


def test_a_job_goes_on_with_its_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, number in (
        ("TORCHELASTIC_RUN_ID", "mine"),
        ("RANK", "0"),
        ("WORLD_SIZE", "1"),
        ("LOCAL_WORLD_SIZE", "1"),
    ):
        monkeypatch.setenv(name, number)
    settings = {**SETTINGS, "data": "scenes", "out": tmp_path / "run"}
    stylekit.train("cyclegan", **{**settings, "steps": 1})
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "other")
    with raises(stylekit.StylekitError, "already contains a run"):
        stylekit.train("cyclegan", **{**settings, "steps": 2})
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    stylekit.train("cyclegan", **{**settings, "steps": 2})
    assert [each[:2] for each in sessions(tmp_path / "run")] == [(0, 1), (1, 2)]
