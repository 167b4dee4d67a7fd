"""The benchmark of losses for steadiness: it trains, resumes, measures, and makes a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import figures, steadiness, steady_losses
from benchmarks.tables import large_and_video
from stylekit.training.runs import Run


@pytest.mark.slow
def test_models_that_differ_in_their_losses_become_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steadiness, "SIZE", 64)
    monkeypatch.setattr(steadiness, "COUNT", 12)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    for name, value in {"SIDE": 32, "BATCH": 1, "SIZE": 64, "RESULTS": tmp_path}.items():
        monkeypatch.setattr(steady_losses, name, value)
    monkeypatch.setattr(steady_losses, "SCENES", {"lake": (7, "strokes")})
    monkeypatch.setattr(steady_losses, "LOSSES", {"none": [], "warp": [steady_losses.WARP]})
    assert large_and_video.steady_losses() == "Not yet recorded."
    for steps in ("1", "2"):
        steady_losses.main(["--runs", str(tmp_path / "runs"), "--steps", steps, "--record"])
        terms = [Run(tmp_path / "runs" / name).metrics()[-1] for name in ("0", "1")]
        assert [each["step"] for each in terms] == [int(steps)] * 2
        assert ["extra/warp-consistency" in each for each in terms] == [False, True]
    rows = json.loads((tmp_path / "steady_losses.json").read_text())["rows"]
    assert rows["none"]["short"] != rows["warp"]["short"]
    assert "| warp | " in large_and_video.steady_losses()
    assert "2 steps of 1 drawn scenes" in large_and_video.steady_losses()
