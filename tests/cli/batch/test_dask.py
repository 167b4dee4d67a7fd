"""The document's example for Dask gives the same files as the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.reader import ROOT, blocks

if TYPE_CHECKING:
    from tests.cli.conftest import Paint

pytestmark = pytest.mark.slow


def test_dask_runs_the_same_function(paint: Paint, environment: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("dask.bag")
    for number in range(20):
        paint(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", seed=number)
    (tmp_path / "photos" / "bad.png").write_bytes(b"no picture")
    style = paint(tmp_path / "style.png", seed=100)
    [code] = [code for _, code in blocks(ROOT / "docs" / "scale.md") if code.startswith("# dask_batch.py\n")]
    (tmp_path / "dask_batch.py").write_text(code)

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *map(str, words)]
        return subprocess.run(line, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=180)

    assert call("-m", "stylekit", "stylize", "photos", "--style", style, "-o", "one", "--device", "cpu").returncode == 1
    first, second = (call("dask_batch.py", "photos", style, "out") for _ in range(2))
    assert (first.stdout.count(" written "), first.stdout.count(" failed ")) == (20, 1), first.stderr
    assert (second.stdout.count(" skipped "), second.stdout.count(" failed ")) == (20, 1), second.stderr
    made = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.png")}
    assert len(made) == 20
    assert {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.png")} == made
