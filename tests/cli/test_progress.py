"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from stylekit.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the program sees: the last entry."""
    times = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: times[-1])
    return times


def test_without_a_terminal_a_line_is_printed_from_time_to_time(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in progress.track(range(40), "images", 40):
        clock.append(clock[-1] + 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["2 of 40 images", "12 of 40 images", "22 of 40 images", "32 of 40 images"]


def test_a_short_run_and_a_quiet_one_print_none(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "images", 3)) == [0, 1, 2]
    for _ in progress.track(range(40), "images", 40, quiet=True):
        clock.append(clock[-1] + 1)
    assert capsys.readouterr().err == ""
