"""A script that trains works with every start method if it has the guard, and says in one sentence if it lacks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing
import stylekit

{guard}
    multiprocessing.set_start_method("{method}", force=True)
    open("started", "a").write("once ")
    generator = {{"name": "resnet", "blocks": 1, "width": 4}}
    networks = {{"generator": generator, "discriminator": {{"name": "patch", "layers": 1, "width": 4}}}}
    stylekit.train("cyclegan", set=networks, size=32, steps=1, batch_size=2, device="cpu", out="run", {settings})
"""
WAYS = [
    pytest.param("spawn", "workers=1", marks=pytest.mark.long),
    ("forkserver", "workers=1"),
    pytest.param("spawn", "workers=0, devices=2", marks=pytest.mark.long),
]


def run_script(folder: Path, guard: str, method: str, settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT.format(guard=guard, method=method, settings=settings))
    line = [sys.executable, "script.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "settings"), WAYS)
def test_with_the_guard_the_script_trains_once(tmp_path: Path, method: str, settings: str) -> None:
    done = run_script(tmp_path, 'if __name__ == "__main__":', method, settings)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "started").read_text() == "once "


@pytest.mark.slow
@pytest.mark.parametrize(("method", "settings"), WAYS)
def test_without_the_guard_one_sentence_says_to_add_it(tmp_path: Path, method: str, settings: str) -> None:
    done = run_script(tmp_path, "if True:", method, settings)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("stylekit.errors.StylekitError: ")
    assert 'if __name__ == "__main__":' in last
    assert done.stderr.count("stylekit.errors.StylekitError") == 1, done.stderr  # nothing of the other processes
    assert not (tmp_path / "run" / "model.safetensors").exists()
