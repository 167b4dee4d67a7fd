"""``stylekit video``: raw frames on pipes, live clips, and previews."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from stylekit.errors import StylekitError
from stylekit.images.video.live import Camera
from stylekit.registry import extras
from tests.cli.pixels import pixels
from tests.clips import pictures, read_clip, read_times, write_clip
from tests.facts import assert_mentions, raises

if TYPE_CHECKING:
    from tests.cli.conftest import Program

PLUGIN = """
import os
import time
from stylekit import Method, hookimpl

print("imported")

class Invert(Method):
    def stylize(self, content, style=None):
        print("stylising")
        time.sleep(float(os.environ.get("SECONDS", 0)))
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"invert": Invert}
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The beginning of a command line, with a plugin that prints."""
    path = tmp_path_factory.mktemp("plugin") / "talkative.py"
    path.write_text(PLUGIN)
    return ["video", "--plugin", path, "--model", "invert"]


def call(line: list[object], *arguments: object) -> list[str]:
    return [sys.executable, "-m", "stylekit", *map(str, line), *map(str, arguments)]


def bytes_of(frames: list[np.ndarray]) -> bytes:
    return b"".join(frame.tobytes() for frame in frames)


def inverted(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [255 - frame for frame in frames]


# Pipes


@pytest.mark.slow
def test_raw_frames_go_through_a_pipe_and_nothing_else_does(line: list[object], environment: dict[str, str]) -> None:
    frames = pictures(7)
    arguments = call(line, "-", "--raw", "64x48", "-o", "-", "--every", 2)
    done = subprocess.run(arguments, input=bytes_of(frames), env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == bytes_of(inverted(frames[::2]))
    assert_mentions(done.stderr.decode(), "4 frames", "imported", "stylising")


@pytest.mark.slow
def test_raw_frames_become_a_video_at_their_rate(
    line: list[object], environment: dict[str, str], tmp_path: Path
) -> None:
    frames = pictures(5)
    cut = bytes_of(frames)[:-100]
    arguments = call(line, "-", "--raw", "64x48", "--fps", 10, "-o", tmp_path / "out.mkv")
    done = subprocess.run(arguments, input=cut, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert_mentions(done.stderr.decode(), "within frame 5", "64x48")
    made = read_clip(tmp_path / "out.mkv")
    assert len(made) == 4
    assert read_times(tmp_path / "out.mkv")[:4] == [Fraction(number, 10) for number in range(4)]
    assert (
        max(
            np.abs(one.astype(int) - other)[20:, 20:].max()
            for one, other in zip(made, inverted(frames[:4]), strict=True)
        )
        < 8
    )


@pytest.mark.slow
def test_a_reader_that_ends_is_one_sentence(line: list[object], environment: dict[str, str], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", pictures(200))
    arguments, pipe = call(line, clip, "-o", "-"), subprocess.PIPE
    with subprocess.Popen(arguments, env=environment, stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert len(running.stdout.read(64 * 48 * 3)) == 64 * 48 * 3
        running.stdout.close()
        told = running.stderr.read().decode()
    assert running.returncode == 2
    assert_mentions(told, "standard output", "ended")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("- -o out.mp4", ["-", "--raw 640x360"]),
        ("clip.mp4 --raw 64x48 -o out.mp4", ["--raw", "clip.mp4"]),
        ("- --raw 64 -o out.mp4", ["--raw", "'64'", "640x360"]),
        ("- --raw 64x48 -o out.mp4 --resume", ["--resume", "stream"]),
        ("- --raw 64x48 -o out.mp4 --steady statistics", ["twice", "--steady flow"]),
        ("- --raw 64x48 -o out.png --preview", ["--preview", "length"]),
        ("clip.mp4 -o - --json", ["--json", "--out -"]),
        ("clip.mp4 -o - --preview", ["--preview", "preview.png"]),
        ("clip.mp4 -o - --quality 50", ["--quality", "-"]),
        ("clip.mp4 -o out.mp4 --preview", ["--preview", "out.mp4", "preview.png"]),
        ("clip.mp4 -o exists.png --preview", ["exists.png exists", "--overwrite"]),
        ("clip.mp4 -o out.png --preview --from 9", ["clip.mp4", "no frame"]),
        ("clip.mp4 -o out.mp4 --live --resume", ["--resume", "stream"]),
        ("0 -o out.mp4", ["no clip 0", "--live"]),
        ("97 -o out.mp4 --live", ["no camera 97"]),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, facts: list[object]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    write_clip(tmp_path / "clip.mp4")
    Path("exists.png").write_text("mine")
    before = {path.name for path in tmp_path.iterdir()}
    result = program(*line, *arguments.split())
    assert (result.code, result.err.count("Error: ")) == (2, 1), result
    assert_mentions(result.err.splitlines()[-1], *facts)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert Path("exists.png").read_text() == "mine"


# Live


def test_a_live_clip_drops_the_frames_that_come_too_fast(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands for a camera: 25 frames per second, of which the method makes 5."""
    clip = write_clip(tmp_path / "clip.mp4", pictures(20))
    monkeypatch.setenv("SECONDS", "0.2")
    result = program(*line, clip, "--live", "-o", tmp_path / "out.mkv")
    assert result.code == 0, result
    made = read_clip(tmp_path / "out.mkv")
    wanted = inverted(read_clip(clip))
    numbers = [
        min(range(20), key=lambda other: abs(int(wanted[other][-4, -4, 0]) - int(one[-4, -4, 0]))) for one in made
    ]
    assert 2 <= len(numbers) < 12
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19  # the newest of all
    assert_mentions(result.err, f"{len(made)} frames", f"dropped {20 - len(made)}")
    shown = [Fraction(round(1000 * time), 1000) for time in read_times(tmp_path / "out.mkv")[: len(made)]]
    assert shown == [Fraction(40 * number, 1000) for number in numbers]


def test_what_a_live_clip_left_is_not_to_be_resumed(program: Program, line: list[object], tmp_path: Path) -> None:
    clip, part = write_clip(tmp_path / "clip.mp4"), tmp_path / "out.mkv.part"
    part.mkdir()
    (part / "settings.json").write_text("{}")
    error = program(*line, clip, "--live", "-o", tmp_path / "out.mkv").error
    assert_mentions(error, part, "--overwrite")
    assert "--resume" not in error


@pytest.mark.slow
def test_ctrl_c_finishes_a_live_clip(line: list[object], environment: dict[str, str], tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "clip.mp4", pictures(2000)), tmp_path / "out.gif"
    running = subprocess.Popen(
        call(line, clip, "--live", "-o", out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    while not [*tmp_path.glob("out.gif.part/frames/000002.png")]:
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 0, told
    assert_mentions(told, "frames", out)
    assert out.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.gif"]


def test_a_camera_is_read_by_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    class Capture:
        """A camera that takes three pictures of blue and a little red."""

        def __init__(self, number: int) -> None:
            assert number == 3
            self.left, self.released = 3, False

        def read(self) -> tuple[bool, Any]:
            self.left -= 1
            return self.left >= 0, np.full((6, 8, 3), (255, 0, 51), np.uint8)  # blue, green, red

        def get(self, name: int) -> float:
            return 0.0

        def release(self) -> None:
            self.released = True

    class OpenCV:
        VideoCapture, CAP_PROP_FPS, utils = Capture, 5, cv2.utils

    monkeypatch.setattr("stylekit.images.video.live.import_extra", lambda *names: OpenCV)
    camera = Camera(3, arrays=True)
    assert (camera.layout.size, camera.layout.rate) == ((6, 8), Fraction(30))
    frames = [*camera.frames()]
    assert len(frames) == 2  # the first one told the size
    assert np.allclose(frames[0].read().image[0, :, 2, 3], [0.2, 0, 1])
    assert camera._capture.released


def test_a_missing_camera_is_only_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    """OpenCV writes to standard error by itself, and does so again later."""
    level = cv2.utils.logging.getLogLevel()
    with raises(StylekitError, "no camera 97"):
        Camera(97)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


def test_without_opencv_a_camera_says_what_to_install(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extras.importlib.import_module

    def missing(name: str) -> object:
        if name == "cv2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return whole(name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    result = program(*line, "0", "--live", "-o", tmp_path / "out.mp4")
    assert result.code == 2
    assert_mentions(result.err, "stylekit-torch[video]")


# Previews


def test_a_preview_shows_six_frames_that_are_spread_over_the_clip(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    shades = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(24)]
    clip = write_clip(tmp_path / "clip.mp4", shades)
    result = program(*line, clip, "--preview", "-o", tmp_path / "sheet.png")
    assert result.code == 0, result
    assert_mentions(result.err, "preview of 6 frames", tmp_path / "sheet.png")
    sheet = pixels(tmp_path / "sheet.png").astype(int)
    # The middles of six equal parts of 24 frames, inverted.
    for number in (2, 6, 10, 14, 18, 22):
        near = (abs(sheet - (255 - 10 * number)).max(2) <= 4).sum()
        assert near > 0.9 * 48 * 64, number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "sheet.png"]


def test_a_preview_of_a_short_part_shows_each_frame_once(program: Program, line: list[object], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    result = program(*line, clip, "--preview", "-o", tmp_path / "sheet.jpg", "--from", "0.1", "--to", "0.2")
    assert result.code == 0, result
    assert_mentions(result.err, "preview of 2 frames")  # at 0.12 and 0.16 seconds


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--every", 5], [0, 5, 10]),
        (["--every", 4, "--from", "0.05"], [2, 6, 10]),
        (["--every", 30], [0]),
        (["--every", 2, "--from", "0.12", "--to", "0.3"], [3, 5, 7]),
    ],
)
def test_a_preview_shows_only_frames_that_would_be_stylised(
    program: Program, line: list[object], tmp_path: Path, options: list[object], numbers: list[int]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [np.full((48, 64, 3), 10 + 20 * number, np.uint8) for number in range(12)])
    assert program(*line, clip, "--preview", *options, "-o", tmp_path / "sheet.png").code == 0
    assert program(*line, clip, *options, "-o", tmp_path / "frames").code == 0
    sheet = pixels(tmp_path / "sheet.png").astype(int)
    shown = [number for number in range(12) if (abs(sheet - (245 - 20 * number)).max(2) <= 4).sum() > 0.9 * 48 * 64]
    assert shown == numbers
    made = [int(pixels(path)[20, 20, 0]) for path in sorted((tmp_path / "frames").iterdir())]
    assert made == pytest.approx([245 - 20 * number for number in numbers], abs=4)
