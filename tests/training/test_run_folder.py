"""A run's folder: nothing of the user's is replaced or removed in it, and one process at a time trains there."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import StylekitError, images
from stylekit.training import checkpoint
from stylekit.training.claim import LOCK, locked, new_folder
from stylekit.training.runs import Run
from tests.facts import assert_mentions, raises
from tests.line import Line

TINY: dict[str, Any] = {"size": 32, "workers": 0, "data": "scenes"}


def train(out: Path | None, steps: int = 2, **settings: Any) -> Path:
    return stylekit.train(Line(), out=out, **{**TINY, "steps": steps, **settings})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps. No test writes there."""
    return train(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["checkpoints/1/thesis.txt", "model.safetensors", "losses.png", "samples/1.png", "a"])
def test_a_folder_with_files_of_the_user_is_refused_and_unchanged(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with raises(StylekitError, tmp_path, "not empty", repr(name.split("/")[0]), "--out"):
        train(tmp_path)
    assert content(tmp_path) == {name: b"mine"}


def test_a_folder_with_hidden_files_only_is_used_and_they_stay(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("mine")
    train(tmp_path, steps=1)
    assert content(tmp_path)[".DS_Store"] == b"mine"


def test_a_run_whose_run_json_is_missing_is_not_trained_over(run: Path) -> None:
    (run / "run.json").unlink()
    before = content(run)
    with raises(StylekitError, run, "not empty", "'checkpoints'"):
        train(run, seed=1)
    assert content(run) == before


@pytest.mark.parametrize("out", [None, "a/b/run"])
def test_a_run_that_does_not_begin_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    with raises(StylekitError, "size"):
        train(out and tmp_path / out, size=7)  # drawn scenes have 32 pixels or more
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_user_stays_if_the_run_does_not_begin(tmp_path: Path) -> None:
    with raises(StylekitError, "size"):
        train(tmp_path, size=7)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_of_another_run_are_neither_resumed_nor_pruned_nor_replaced(run: Path, tmp_path: Path) -> None:
    other = train(tmp_path / "other", steps=4, checkpoint_every=1, keep=9, seed=1)
    for step in (1, 3, 4):
        shutil.copytree(other / "checkpoints" / str(step), run / "checkpoints" / str(step))
    assert Run(run).latest() == run / "checkpoints" / "2"
    before = content(run / "checkpoints" / "1")
    with raises(StylekitError, run / "checkpoints" / "3", "not written by this run", "move"):
        stylekit.train(Line(), resume=True, out=run, steps=3)
    for step in (3, 4):
        shutil.rmtree(run / "checkpoints" / str(step))
    stylekit.train(Line(), resume=True, out=run, steps=5, checkpoint_every=1, keep=1)
    assert checkpoint.saved_steps(run / "checkpoints") == [1, 5]
    assert content(run / "checkpoints" / "1") == before


def test_a_checkpoint_with_a_file_of_the_user_is_not_pruned(run: Path) -> None:
    (run / "checkpoints" / "2" / "notes.txt").write_text("mine")
    stylekit.train(Line(), resume=True, out=run, steps=4, checkpoint_every=1, keep=1)
    assert checkpoint.saved_steps(run / "checkpoints") == [2, 4]
    assert (run / "checkpoints" / "2" / "notes.txt").read_text() == "mine"


def test_a_folder_without_a_state_is_no_checkpoint(run: Path) -> None:
    (run / "checkpoints" / "7").mkdir()
    (run / "checkpoints" / "7" / "thesis.txt").write_text("mine")
    stylekit.train(Line(), resume=True, out=run, steps=3)
    assert (run / "checkpoints" / "7" / "thesis.txt").read_text() == "mine"


def hold(folder: Path, held: Any, release: Any) -> None:
    with locked(folder):
        held.set()
        release.wait()


def test_a_second_run_in_a_folder_is_refused_while_the_first_lives_and_after_kill_9_it_is_not(run: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(run, held, release))
    process.start()
    held.wait()
    for resume in (True, False):
        with raises(StylekitError, run):
            stylekit.train(Line(), resume=resume, out=run, steps=3, **({} if resume else TINY))
    with raises(StylekitError, run, "another training run", f"process {process.pid} on"):
        stylekit.train(Line(), resume=True, out=run, steps=3)
    stylekit.load(run, "cpu", method=Line)  # reading needs no lock
    process.kill()
    process.join()
    assert (run / LOCK).exists()
    stylekit.train(Line(), resume=True, out=run, steps=3)


def test_two_threads_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "run", "line"):
        errors: list[str] = []

        def second() -> None:
            try:
                train(tmp_path / "run")
            except StylekitError as error:
                errors.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert_mentions(errors[0], tmp_path / "run", f"process {os.getpid()} on")
    assert list(tmp_path.iterdir()) == []


def test_where_locks_are_not_supported_a_run_warns_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(self: object, timeout: float) -> None:
        raise NotImplementedError

    monkeypatch.setattr("stylekit.training.claim.FileLock.acquire", unsupported)
    with pytest.warns(stylekit.StylekitWarning, match="no locks"):
        train(tmp_path / "run", steps=1)


@pytest.mark.slow
def test_runs_that_start_at_once_without_out_get_a_folder_each(tmp_path: Path) -> None:
    line = ["train", "--plugin", "cyclegan", "--preset", "tiny", "--size", "32", "--steps", "1", "--workers", "0"]
    processes = [subprocess.Popen([sys.executable, "-m", "stylekit", *line, "--quiet"], cwd=tmp_path) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    folders = sorted((tmp_path / "runs").iterdir())
    assert [folder.name for folder in folders] == ["cyclegan", "cyclegan-2", "cyclegan-3"]
    assert all([line["step"] for line in Run(folder).metrics()] == [1] for folder in folders)


@pytest.mark.parametrize("place", ["", "run", "a/run", ".hidden/run"])
def test_a_run_inside_its_own_images_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    images.write(tmp_path / "images" / "a" / "1.png", torch.rand(1, 3, 40, 40))
    out = tmp_path / "images" / place
    with raises(StylekitError, out, "inside", tmp_path / "images", "--out"):
        train(out, data=None, content=tmp_path / "images")
    with raises(StylekitError, out, "inside", tmp_path / "images", "--out"):
        train(out, data={"name": "folders", "data": str(tmp_path / "images")})


def test_a_run_that_a_link_in_its_own_images_reaches_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "deep").mkdir(parents=True)
    images.write(tmp_path / "images" / "deep" / "1.png", torch.rand(1, 3, 40, 40))
    (tmp_path / "images" / "deep" / "loop").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "images" / "deep" / "link").symlink_to(tmp_path / "runs", target_is_directory=True)
    (tmp_path / "runs").mkdir()
    with raises(StylekitError, "inside", tmp_path / "images"):
        train(tmp_path / "runs" / "run", data=None, content=tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    with raises(StylekitError, tmp_path / "runs", "inside", tmp_path):
        train(None, data=None, content=Path("."))
    assert list((tmp_path / "runs").iterdir()) == []


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    mine = path.parent.parent / "mine"
    mine.touch()
    path.symlink_to(mine)


def make_hard_link(path: Path) -> None:
    mine = path.parent.parent / "mine"
    mine.touch()
    path.hardlink_to(mine)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("make", [make_pipe, make_folder, make_link, make_hard_link])
def test_a_lock_file_that_is_no_file_of_its_own_is_refused_and_stays(
    run: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (run / LOCK).unlink(missing_ok=True)
    (tmp_path / "new").mkdir()
    for folder in (run, tmp_path / "new"):
        make(folder / LOCK)
        with raises(StylekitError, folder / LOCK, "cannot be locked", "Move it"):
            stylekit.train(
                Line(), out=folder, **({"resume": True, "steps": 3} if folder == run else {**TINY, "steps": 1})
            )
        assert os.path.lexists(folder / LOCK)
    assert not (tmp_path / "mine").exists() or (tmp_path / "mine").read_bytes() == b""


def test_a_lock_file_of_the_user_is_refused_and_unchanged(run: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for folder in (run, tmp_path / "new"):
        (folder / LOCK).write_text("mine")
        with raises(StylekitError, folder / LOCK, "not written by stylekit", "--out"):
            stylekit.train(
                Line(), out=folder, **({"resume": True, "steps": 3} if folder == run else {**TINY, "steps": 1})
            )
        assert (folder / LOCK).read_text() == "mine"


@pytest.mark.parametrize("text", ["", "process 12 on laptop"])
def test_a_lock_file_that_a_killed_process_left_in_an_empty_folder_is_used(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize("name", ["samples", "checkpoints"])
def test_a_link_instead_of_a_folder_of_the_run_is_refused_and_what_it_leads_to_is_unchanged(
    run: Path, tmp_path: Path, name: str
) -> None:
    (run / name).rename(tmp_path / "mine")
    (run / name).symlink_to(tmp_path / "mine", target_is_directory=True)
    before = content(tmp_path / "mine")
    with raises(StylekitError, run / name, "is a link or a file"):
        stylekit.train(Line(), resume=True, out=run, steps=3)
    assert content(tmp_path / "mine") == before


def test_deleted_folders_of_a_run_are_made_again_when_it_resumes(run: Path) -> None:
    shutil.rmtree(run / "samples")
    stylekit.train(Line(), resume=True, out=run, steps=3, sample_every=1)
    assert (run / "samples" / "0000003.png").exists()
    shutil.rmtree(run / "checkpoints")
    stylekit.train(Line(), resume=True, out=run, steps=2)
    assert checkpoint.saved_steps(run / "checkpoints") == [2]


EVIL = "from pathlib import Path\nPath(__file__).with_name('executed').touch()\n"


@pytest.mark.parametrize("named", ["{file}", "{file}:x", "evil.py"])
@pytest.mark.parametrize("key", ["plugin", "log"])
def test_a_received_run_executes_no_code(run: Path, monkeypatch: pytest.MonkeyPatch, key: str, named: str) -> None:
    monkeypatch.chdir(run)
    (run / "evil.py").write_text(EVIL)
    stored = json.loads((run / "run.json").read_text())
    stored["settings"][key] = [named.format(file=run / "evil.py")]
    (run / "run.json").write_text(json.dumps(stored))
    facts = [run / "evil.py", "not run unless you pass it again", f"--{key} {run}/evil.py"]
    with raises(StylekitError, *facts):
        stylekit.train(resume=True, out=run, steps=3)
    assert not (run / "executed").exists()


LOGGER = """
from stylekit import hookimpl

@hookimpl
def stylekit_step_finished(step, metrics):
    print("step", step)
"""


def test_a_logger_file_is_given_again_and_may_have_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(LOGGER)
    run = train(tmp_path / "run", steps=1, log=[str(tmp_path / "mine.py")])
    with raises(StylekitError, f"--log {tmp_path}/mine.py"):
        stylekit.train(Line(), resume=True, out=run, steps=2)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").rename(tmp_path / "elsewhere" / "mine.py")
    stylekit.train(Line(), resume=True, out=run, steps=2, log=[str(tmp_path / "elsewhere" / "mine.py")])
    assert capsys.readouterr().out == "step 1\nstep 2\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["run.json", "checkpoints", ".", ".lock", "metrics.jsonl"])
def test_a_folder_without_permissions_is_one_sentence(run: Path, name: str) -> None:
    (run / LOCK).touch()
    (run / name).chmod(0)
    try:
        with raises(StylekitError, run, os.strerror(13)):
            stylekit.train(Line(), resume=True, out=run, steps=3)
    finally:
        (run / name).chmod(0o755)


@pytest.mark.slow
def test_sigkill_leaves_nothing_that_the_next_resume_does_not_remove(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "stylekit", "train", "--plugin", "cyclegan", "--preset", "tiny", "--size", "32"]
    out = tmp_path / "run"
    process = subprocess.Popen([*line, "--steps", "9999", "--checkpoint-every", "1", "--quiet", "--out", str(out)])
    while not checkpoint.saved_steps(out / "checkpoints"):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (newest := Run(out)).latest()
    steps = checkpoint.saved_steps(newest.checkpoints)[-1] + 1
    stylekit.train(resume=True, out=out, steps=steps)
    assert list(out.rglob("*.part")) == []
