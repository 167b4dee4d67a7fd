"""The progress of a run without a terminal, and the form of warnings."""

from __future__ import annotations

import pickle
import warnings

import pytest

from stylekit import StylekitWarning
from stylekit.errors import PlainWarnings
from stylekit.training import progress
from stylekit.training.progress import Display


@pytest.mark.parametrize(
    ("total", "seconds", "reported"),
    [
        (100, 2.0, range(15, 101, 15)),
        (100, 0.5, range(60, 101, 60)),
        (10, 60.0, range(1, 11)),
    ],
)
def test_without_a_terminal_lines_replace_the_bar(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    seconds: float,
    reported: range,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Display(0, total, 4, visible=True) as display:
        for _ in range(total):
            clock[0] += seconds
            display.advance()
            display.show({"judge/real": 0.25, "judge/fake": 0.5, "translate/cycle": 1.0})
    lines = capsys.readouterr().err.splitlines()
    rate = f"{4 / seconds:.1f}"
    assert lines == [f"step {step} of {total}: judge 0.750  translate 1.000  {rate} images/s" for step in reported]


def test_a_resumed_run_counts_on_and_one_without_progress_prints_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown, silent = Display(90, 100, 1, visible=True), Display(90, 100, 1, visible=False)
    for _ in range(10):
        clock[0] += 4
        for display in (shown, silent):
            display.advance()
            display.show({"judge/real": 1.0})
    assert capsys.readouterr().err == "step 98 of 100: judge 1.000  0.2 images/s\n"


def test_each_warning_is_one_line_and_is_printed_once_in_other_processes_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for show in (PlainWarnings(), pickle.loads(pickle.dumps(PlainWarnings()))):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            monkeypatch.setattr(warnings, "showwarning", show)
            for _ in range(2):
                warnings.warn("[one] is left out", StylekitWarning, stacklevel=1)
        assert capsys.readouterr().err == "Warning: [one] is left out\n"


def test_losses_that_come_in_batches_are_reported_with_the_steps_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the losses of several steps are read at once."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Display(0, 60, 1, visible=True) as display:
        for step in range(1, 61):
            clock[0] += 1
            display.advance()
            if step % 20 == 0:
                display.show({"fit/square": float(step)})
    assert capsys.readouterr().err.splitlines() == [
        f"step {step} of 60: fit {step}.000  1.0 images/s" for step in (40,)
    ]
