"""Images on standard input and output, and patterns on Windows."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stylekit.cli.wildcards import expand
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def run(environment: dict[str, str], sent: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "stylekit", *map(str, arguments)]
    return subprocess.run(line, input=sent, env=environment, capture_output=True, check=False)


@pytest.mark.slow
def test_an_image_goes_from_standard_input_to_standard_output(
    environment: dict[str, str], invert: tuple[Path, Path], place: Path
) -> None:
    plugin, model = invert
    line = ["stylize", "-", "--model", model, "--plugin", plugin, "-o", "-"]
    done = run(environment, (place / "photo.png").read_bytes(), *line)
    assert done.returncode == 0, done.stderr
    written = Image.open(io.BytesIO(done.stdout))
    assert written.format == "PNG"
    assert (np.asarray(written) == 255 - pixels(place / "photo.png")).all()
    done = run(environment, (place / "photo.png").read_bytes(), *line, "--format", "jpg")
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"
    assert_mentions(done.stderr.decode(), "wrote 1 of 1 images to standard output")
    done = run(environment, (place / "photo.png").read_bytes(), *line[:-1], place / "out.png", "--json")
    assert json.loads(done.stdout)["written"][0]["source"] == "-"
    done = run(environment, b"text", *line)
    assert (done.returncode, done.stdout) == (1, b"")
    assert_mentions(done.stderr.decode().splitlines()[-1], "standard input cannot be read")


def test_streams_that_cannot_be_used_are_refused(
    program: Program, invert: tuple[Path, Path], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, model = invert
    line = ["stylize", place / "photo.png", "--model", model, "--plugin", plugin, "-o"]
    assert_mentions(program(*line, "-", "--json").error, "--json", "standard output")
    assert_mentions(program(*line, "-", place / "red.png").error, 2, "one file", "standard output")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    line[1] = "-"
    assert_mentions(program(*line, place / "out.png").error, "standard input", "empty")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert_mentions(program(*line, place / "out.png").error, "standard input", "terminal")


def test_patterns_are_expanded_on_windows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.png", "[1].jpg", "1.jpg", "deep/er/d.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    patterns = ["*.jpg", "[1].jpg", "**/d.jpg", "none*.jpg", "c.png"]
    assert expand(patterns) == patterns
    monkeypatch.setattr("sys.platform", "win32")
    expanded = [Path(each).as_posix() for each in expand(patterns)]
    assert expanded == ["1.jpg", "[1].jpg", "a.jpg", "b.jpg", "[1].jpg", "deep/er/d.jpg", "none*.jpg", "c.png"]
