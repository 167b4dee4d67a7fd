"""Copies of runs at addresses: runs go on from them, whenever copying was cut off."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import stylekit
from stylekit.datasets.places import Place
from stylekit.training.copies import RunCopy
from stylekit.training.runs import Run
from tests.facts import assert_mentions, raises
from tests.training.test_launchers import SMALL

SETTINGS: dict[str, Any] = {
    "size": 32, "batch_size": 2, "workers": 0, "device": "cpu", "checkpoint_every": 1, "keep": 2, "data": "scenes",
    "set": SMALL,
}  # fmt: skip


@pytest.fixture
def address() -> Iterator[str]:
    """A folder in memory."""
    yield "memory://stylekit-tests/run"
    fsspec.filesystem("memory").store.clear()


def train(out: Path, **settings: Any) -> Path:
    return stylekit.train(None if settings.get("resume") else "cyclegan", out=out, **{**SETTINGS, **settings})


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file that is not hidden."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_copy_is_the_run(tmp_path: Path, address: str) -> None:
    run = train(tmp_path / "run", steps=3, copy_to=address)
    place = Place(address)
    assert {name: place.read(name) for name in place.find()} == files(run)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"2", "3"}  # the first was removed there, too


def test_a_run_goes_on_from_its_copy_to_the_same_weights(tmp_path: Path, address: str) -> None:
    unbroken = train(tmp_path / "unbroken", steps=4)
    here = train(tmp_path / "here", steps=2, copy_to=address)
    shutil.rmtree(here)
    there = train(tmp_path / "there", steps=4, resume=True, copy_to=address)
    assert (there / "model.safetensors").read_bytes() == (unbroken / "model.safetensors").read_bytes()
    assert [line["step"] for line in Run(there).metrics()] == [1, 2, 3, 4]
    assert Place(address).read("model.safetensors") == (there / "model.safetensors").read_bytes()
    # The first machine comes back with what it has: an earlier state of the same run.
    train(here, steps=5, resume=True, copy_to=address)
    assert json.loads((here / "run.json").read_text())["sessions"][-1]["from"] == 4


@pytest.mark.parametrize("cut", range(12))
def test_wherever_copying_stops_there_is_a_whole_checkpoint(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    run = tmp_path / "run"
    for number in (1, 2):
        folder = run / "checkpoints" / str(number)
        folder.mkdir(parents=True)
        for name in ("method.safetensors", "players.safetensors", "state.json"):
            (folder / name).write_text(f"{name} {number}")
        (run / "run.json").write_text(f"run {number}")
        (run / "metrics.jsonl").write_text(f"metrics {number}")
        if number == 1:
            RunCopy(address).push(run)
    shutil.rmtree(run / "checkpoints" / "1")
    calls = 0

    def counted(method: str) -> None:
        done = getattr(Place, method)

        def call(place: Place, name: Any, *content: bytes) -> None:
            nonlocal calls
            for each in [name] if isinstance(name, str) else name:
                calls += 1
                if calls > cut:
                    raise stylekit.StylekitError("the connection is lost")
                done(place, each if isinstance(name, str) else [each], *content)

        monkeypatch.setattr(Place, method, call)

    counted("write")
    counted("remove")
    try:
        RunCopy(address).push(run)
    except stylekit.StylekitError:
        assert cut < 8  # five files, and the three of the old checkpoint
    names = set(Place(address).find())
    assert "run.json" in names
    whole = {name.split("/")[1] for name in names if name.endswith("state.json")}
    assert whole
    for step in whole:
        assert {f"checkpoints/{step}/{name}" for name in ("method.safetensors", "players.safetensors")} <= names


def test_an_address_that_fails_later_does_not_stop_training(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def push(copy: RunCopy, folder: Path) -> None:
        calls.append(folder)
        if len(calls) in (2, 4):
            raise stylekit.StylekitError(f"{address} cannot be used: no route to host.")

    monkeypatch.setattr(RunCopy, "push", push)
    with raises(stylekit.StylekitError, "no route to host", tmp_path / "run", "copy this folder"):
        train(tmp_path / "run", steps=2, copy_to=address, progress=True)
    assert len(calls) == 4  # at the start, at two checkpoints, at the end
    assert_mentions("".join(capsys.readouterr()), "no route to host", "the next checkpoint tries")
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_what_is_at_the_address_is_not_replaced(tmp_path: Path, address: str) -> None:
    train(tmp_path / "run", steps=1, copy_to=address)
    with raises(stylekit.StylekitError, address, "already contains a run", "--resume"):
        train(tmp_path / "other", steps=1, copy_to=address)
    assert not (tmp_path / "other").exists()
    other = train(tmp_path / "other", steps=1)
    with raises(stylekit.StylekitError, other, address, "another run"):
        train(other, steps=2, resume=True, copy_to=address)


@pytest.mark.parametrize("name", ["../outside.txt", "samples/../../outside.txt", ".hidden"])
def test_files_outside_the_folder_are_not_fetched(tmp_path: Path, address: str, name: str) -> None:
    train(tmp_path / "run", steps=1, copy_to=address)
    store = fsspec.filesystem("memory").store
    store[f"/stylekit-tests/run/{name}"] = store["/stylekit-tests/run/run.json"]
    RunCopy(address).fetch(tmp_path / "fetched" / "run")
    assert files(tmp_path / "fetched") == {f"run/{each}": content for each, content in files(tmp_path / "run").items()}


@pytest.mark.parametrize(
    ("address", "facts"),
    [
        ("nothing://bucket/run", ["nothing://bucket/run", "fsspec"]),
        ("runs/mine", ["copy_to", "s3://bucket"]),
        ("s3://", ["s3://", "s3://bucket/folder"]),
        ("memory:///", ["memory:///", "memory://bucket/folder"]),
    ],
)
def test_wrong_addresses_are_refused_before_training(tmp_path: Path, address: str, facts: list[str]) -> None:
    with raises(stylekit.StylekitError, *facts):
        train(tmp_path / "run", steps=1, copy_to=address)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_is_copied_to_an_object_store(store: dict[str, str], tmp_path: Path) -> None:
    options = "--size 32 --device cpu --workers 0 --checkpoint-every 1 --copy-to s3://pictures/runs/mine --steps"
    common = [sys.executable, "-m", "stylekit", "train", *options.split()]
    method = ["--plugin", "cyclegan", "--preset", "tiny", "--out", str(tmp_path / "here")]
    subprocess.run([*common, "1", *method], env=store, check=True)
    again = [*common, "2", "--resume", "--out", str(tmp_path / "there")]
    subprocess.run(again, env=store, check=True)
    assert [line["step"] for line in Run(tmp_path / "there").metrics()] == [1, 2]
    missing = [*common, "1", "--plugin", "cyclegan", "--preset", "tiny", "--copy-to", "s3://nowhere/run"]
    told = subprocess.run(missing, env=store, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 2
    assert_mentions(told.stderr, "s3://nowhere/run")
    assert "Traceback" not in told.stderr
