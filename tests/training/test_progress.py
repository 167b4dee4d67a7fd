"""What is shown of a run where there is no terminal, and how warnings look."""

from __future__ import annotations

import pickle
import warnings

import pytest

from stylekit import StylekitWarning
from stylekit.errors import PlainWarnings
from stylekit.training import progress
from stylekit.training.progress import Display


@pytest.mark.parametrize(
    ("total", "seconds", "told"),
    [
        (100, 2.0, range(10, 101, 10)),  # every tenth
        (100, 0.5, range(20, 101, 20)),  # no more often than every ten seconds
        (10, 60.0, range(1, 11)),
    ],
)
def test_without_a_terminal_lines_take_the_place_of_the_bar(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    seconds: float,
    told: range,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Display(0, total, visible=True) as display:
        for _ in range(total):
            clock[0] += seconds
            display.advance({"judge/real": 0.25, "judge/fake": 0.5, "translate/cycle": 1.0})
    lines = capsys.readouterr().err.splitlines()
    rate = f"{1 / seconds:.1f}"
    assert lines == [f"step {step}/{total}: judge 0.750  translate 1.000  {rate}/s" for step in told]


def test_a_resumed_run_counts_on_and_one_without_progress_says_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown, silent = Display(90, 100, visible=True), Display(90, 100, visible=False)
    for _ in range(10):
        clock[0] += 4
        shown.advance({"judge/real": 1.0})
        silent.advance({"judge/real": 1.0})
    assert capsys.readouterr().err == "step 100/100: judge 1.000  0.2/s\n"


def test_warnings_are_one_line_each_once_in_other_processes_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for show in (PlainWarnings(), pickle.loads(pickle.dumps(PlainWarnings()))):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            monkeypatch.setattr(warnings, "showwarning", show)
            for _ in range(2):
                warnings.warn("[one] is left out", StylekitWarning, stacklevel=1)
        assert capsys.readouterr().err == "Warning: [one] is left out\n"
