"""The judge judges rightly, and a small share of ``make fuzz`` runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stylekit.errors import StylekitError
from tests.fuzz.cases import Attempt, Case, Kind, Outcome, run_case
from tests.fuzz.judge import BAD, CLEAR, RIGHT, Bad, Result, require_clear, require_clear_result
from tests.fuzz.material import Material
from tests.fuzz.workers import available_kinds, kind_named

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "photo.png cannot\nbe read",
        "photo.png: \x1b[31m",
        "photo.png: \u202egnp.exe",
        "KeyError: 'photo.png'",
        "photo.png: 'NoneType' object is not iterable",
        "photo.png cannot be read, in line 3 of /some/file.py",
        "photo.png is damaged. " * 100,
        "The picture is damaged.",
    ],
)
def test_such_an_error_is_not_clear(text: str) -> None:
    with pytest.raises(Bad):
        require_clear(text, ["photo.png"])


def test_one_sentence_that_names_the_file_is_clear() -> None:
    require_clear("photo.png cannot be read: it is truncated.", ["photo.png"])
    require_clear(r"photo\n2.png cannot be read: it is truncated.", ["photo\n2.png"])
    require_clear_result(Result(2, b"", "Error: photo.png cannot be read.\n"), ["photo.png"])
    require_clear_result(Result(1, b"", "wrote 0 of 1 images to out\nFailed:\nphoto.png: it is empty\n"), ["photo.png"])


@pytest.mark.parametrize("code", [0, -9, 3, 120, 134])
def test_other_exit_codes_than_1_and_2_are_bad_for_errors(code: int) -> None:
    with pytest.raises(Bad):
        require_clear_result(Result(code, b"", "Error: photo.png cannot be read.\n"))


def judged(attempt: Attempt) -> Outcome:
    kind = Kind("sample", 1)
    kind(attempt)
    return run_case(kind, 0, 0, Material(Path()))


def test_what_happens_in_a_case_is_its_verdict() -> None:
    def works(case: Case) -> None:
        case.measured(sum, [1, 2])

    def refused(case: Case) -> None:
        raise StylekitError("The picture is damaged.")

    def refused_without_need(case: Case) -> None:
        case.expected = RIGHT
        raise StylekitError("The picture is damaged.")

    def fails(case: Case) -> None:
        raise KeyError("picture")

    assert judged(works).verdict == RIGHT
    assert judged(refused).verdict == CLEAR
    assert judged(refused_without_need).verdict == BAD
    assert judged(fails).verdict == BAD


def test_a_lost_file_much_memory_and_leftovers_are_bad() -> None:
    def loses(case: Case) -> None:
        path = case.folder / "thesis.txt"
        path.write_text("years of work")
        case.keep(path)
        path.unlink()

    def takes_memory(case: Case) -> None:
        case.measured(lambda: bytes(b"1" * (1100 << 20)))

    def leaves(case: Case) -> None:
        (case.folder / ".out.png.part").touch()

    def is_run(case: Case) -> None:
        case.marker.touch()

    assert "thesis.txt" in judged(loses).said
    assert "MB" in judged(takes_memory).said
    assert ".part" in judged(leaves).said
    assert "code" in judged(is_run).said


def test_an_index_is_always_the_same_case() -> None:
    drawn: list[float] = []

    def draws(case: Case) -> None:
        drawn.append(case.random.random())

    judged(draws), judged(draws)
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", available_kinds())
def test_every_attempt_says_what_it_is(name: str) -> None:
    attempts = kind_named(name).attempts
    assert attempts
    assert len({attempt.__name__ for attempt in attempts}) == len({id(attempt) for attempt in attempts})


@pytest.mark.long
@pytest.mark.parametrize("name", available_kinds())
def test_nothing_bad_comes_of_a_share_of_the_cases(name: str, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "tests.fuzz", "--kind", name, "--scale", "0.02", "--workers", "1"]
    done = subprocess.run([*line, "--out", str(tmp_path / "counts.json")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [counts] = json.loads((tmp_path / "counts.json").read_text())["kinds"].values()
    assert counts["cases"] == counts[RIGHT] + counts[CLEAR] > 0
