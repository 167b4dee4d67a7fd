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
    left = {2: 38, 12: 28, 22: 18, 32: 8}
    assert lines == [f"{done} of 40 images, {seconds} s left" for done, seconds in left.items()]


def test_the_time_left_counts_from_what_was_done_before(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress() as shown:
        for done in (500, 501, 510):
            shown.update("frames", done, 1000)
            clock.append(clock[-1] + 20)
    assert capsys.readouterr().err.splitlines() == [
        "501 of 1000 frames, 2 h 46 min left",
        "510 of 1000 frames, 33 min left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (7500, "2 h 5 min")]
)
def test_a_duration_is_in_its_largest_unit(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_a_short_run_and_a_quiet_one_print_none(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "images", 3)) == [0, 1, 2]
    for _ in progress.track(range(40), "images", 40, quiet=True):
        clock.append(clock[-1] + 1)
    assert capsys.readouterr().err == ""
