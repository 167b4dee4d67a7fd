"""What commands take, as benchmarks measure it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.process import run

MEGABYTE = 2**20


def python(code: str) -> list[object]:
    return [sys.executable, "-S", "-c", code]


def test_the_peak_is_that_of_the_command_and_not_of_this_process(tmp_path: Path) -> None:
    held = np.ones(200 * MEGABYTE, np.uint8)  # more than the command needs
    used = run(python("import pathlib; pathlib.Path('here').touch(); print('silent')"), tmp_path)
    assert held.all()
    assert (tmp_path / "here").exists()
    assert 0 < used.peak < 60 * MEGABYTE
    assert 0 < used.busy < used.seconds + 1
    assert run(python("bytearray(b'1' * 100 * 2**20)")).peak > 100 * MEGABYTE


def test_a_command_that_fails_is_an_error_with_what_it_wrote() -> None:
    with pytest.raises(SystemExit, match="out of luck"):
        run(python("import sys; sys.exit('out of luck')"))
