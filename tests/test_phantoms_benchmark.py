"""The benchmark of phantoms: its figures and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import figures, phantoms
from benchmarks.tables import rasters
from stylekit import images
from stylekit.training.runs import Run


def test_lost_lesions_count_in_phantoms_that_have_some_and_invented_ones_in_the_others() -> None:
    """The first and third phantoms have two lesions each; one of four is lost, and the second phantom gets one."""
    truth = torch.full((4, 3, 16, 16), 0.4)
    for number in (0, 2):
        truth[number, :, 2:5, 2:5] = truth[number, :, 10:13, 10:13] = 0.95
    output = truth.clone()
    output[0, :, 2:5, 2:5] = 0.4
    output[1, :, 8:12, 8:12] = 0.95
    found = phantoms.measure(output, truth)
    assert (found["lost"], found["invented"]) == (0.25, 0.5)


@pytest.mark.slow
def test_runs_become_rows_and_a_sheet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(phantoms, "SETS", {"half of both": (0.5, 0.5)})
    for name, value in {"SIZE": 32, "HELD_OUT": 6, "RESULTS": tmp_path}.items():
        monkeypatch.setattr(phantoms, name, value)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert rasters.phantoms() == "Not yet recorded."
    line = ["--runs", str(tmp_path / "runs"), "--sheet", str(tmp_path / "sheet.png"), "--record"]
    for steps in (1, 2, 2):  # a run that has all its steps is used
        phantoms.main([*line, "--steps", str(steps)])
        assert Run(tmp_path / "runs/0").metrics()[-1]["step"] == steps
    assert json.loads((tmp_path / "phantoms.json").read_text())["rows"]["half of both"]["psnr"] > 0
    assert "half of both" in rasters.phantoms()
    assert images.size(tmp_path / "sheet.png")[1] > 3 * 128
