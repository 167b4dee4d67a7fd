"""``stylekit video``: clips in and out, what goes on after a kill, and bad input."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stylekit.images.video import parts
from stylekit.registry import extras
from tests.cli.pixels import pixels
from tests.clips import packets, pictures, read_clip, read_times, write_clip
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program

PLUGIN = '''
import os
import time
import torch
from stylekit import Method, hookimpl
from stylekit.method import Capabilities

class Invert(Method):
    """Inverts frames; fails at a shade, and takes a while, if the environment says so."""

    def stylize(self, content, style=None):
        if round(float(content[..., -1, -1].mean()) * 255) == int(os.environ.get("FAIL_AT", -1)):
            raise RuntimeError("the machine is on fire")
        time.sleep(float(os.environ.get("SECONDS", 0)))
        return 1 - content

class Cover(Method):
    """Shows a picture in place of each frame."""

    def __init__(self, file: str = "") -> None:
        super().__init__()

    def stylize(self, content, style=None, *, picture: torch.Tensor | None = None):
        return content if picture is None else picture.expand_as(content)

class Noise(Method):
    """Draws each frame."""

    def stylize(self, content, style=None):
        return torch.rand_like(content)

class Trail(Method):
    """Each frame is the mean of itself and of the frame that was made before."""

    def stylize(self, content, style=None):
        return content

    def frames(self, contents, style=None):
        before = None
        for content in contents:
            before = content if before is None else torch.lerp(content, before, 0.5)
            yield before

class Even(Method):
    """Gives every image the same mean brightness and contrast."""

    def stylize(self, content, style=None):
        mean, std = content.mean((1, 2, 3), keepdim=True), content.std((1, 2, 3), keepdim=True)
        return (0.5 + 0.1 * (content - mean) / (std + 0.01)).clamp(0, 1)

class Larger(Method):
    """Doubles the sides."""

    scale = 2

    def stylize(self, content, style=None):
        return content.repeat_interleave(2, 2).repeat_interleave(2, 3)

@hookimpl
def stylekit_methods():
    return {"invert": Invert, "noise": Noise, "trail": Trail, "larger": Larger, "even": Even, "cover": Cover}
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "inverting.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def line(plugin: Path) -> list[object]:
    """The beginning of a command line."""
    return ["video", "--plugin", plugin, "--model", "invert"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four frames."""
    monkeypatch.setattr(parts, "SEGMENT", 4)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of ten frames with sound."""
    return write_clip(tmp_path / "clip.mp4", sound="aac")


def difference(path: Path, wanted: list[np.ndarray]) -> float:
    """The largest difference between the frames of a video and others, where they are smooth."""
    pairs = zip(read_clip(path), wanted, strict=True)
    return float(max(np.abs(one.astype(int) - other)[20:, 20:].max() for one, other in pairs))


def shades(path: Path) -> list[int]:
    return [int(frame[-4, -4, 0]) for frame in read_clip(path)]


def inverted(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [255 - frame for frame in frames]


def test_a_video_is_stylised_and_keeps_its_times_and_sound(
    program: Program, line: list[object], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out.mp4"
    result = program(*line, clip, "-o", out)
    assert (result.code, result.out) == (0, ""), result
    assert_mentions(result.err, "10 frames", out)
    assert difference(out, inverted(pictures())) < 8
    assert read_times(out) == read_times(clip)
    assert packets(out, "audio") == packets(clip, "audio")
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.mp4"]


def test_it_reports_as_json(program: Program, line: list[object], clip: Path, tmp_path: Path) -> None:
    result = program(*line, clip, "-o", tmp_path / "out.mkv", "--json", "--quiet")
    told = json.loads(result.out)
    assert told.pop("seconds") >= 0
    assert told == {
        "source": str(clip), "target": str(tmp_path / "out.mkv"), "frames": 10, "resumed": 0, "width": 64, "height": 48,
        "duration": 0.4,
    }  # fmt: skip
    assert result.err == ""


def test_a_shipped_model_stylises_with_a_style(program: Program, clip: Path, place: Path) -> None:
    line = ["video", clip, "--style", place / "red.png", "--to", "0.12", "-o"]
    assert program(*line, place / "plain").code == 0
    assert program(*line, place / "steady", "--steady", "flow").code == 0
    plain, steady = ([pixels(path) for path in sorted((place / name).iterdir())] for name in ("plain", "steady"))
    assert len(plain) == len(steady) == 3
    assert np.abs(plain[2].astype(int) - pictures()[2]).mean() > 10
    assert (plain[0] == steady[0]).all()
    assert (plain[2] != steady[2]).any()


def test_an_optimisation_stylises_each_frame_by_itself(program: Program, clip: Path, place: Path) -> None:
    small = ["--set", "encoder={name: random, scales: 2, width: 8}", "--set", "levels=1", "--set", "steps=10"]
    line = ["video", clip, "--style", place / "red.png", "--model", "gatys", *small, "--to", "0.06"]
    assert program(*line, "-o", place / "optimised").code == 0
    made = [pixels(path).astype(int) for path in sorted((place / "optimised").iterdir())]
    assert len(made) == 2
    changes = [abs(one - other).mean() for one, other in zip(made, read_clip(clip)[:2], strict=True)]
    assert min(changes) > 3


def test_the_frames_of_a_shot_share_their_statistics(program: Program, line: list[object], tmp_path: Path) -> None:
    """Otherwise, what stays the same would change when something enters the picture. A new shot has its own statistics."""
    folder = tmp_path / "frames"
    folder.mkdir()
    left, shot = (
        np.random.default_rng(0).integers(60, 120, (48, 64, 3), dtype=np.uint8),
        np.full((48, 64, 3), 250, np.uint8),
    )
    shot[:24] = 130
    entered = left.copy()
    entered[:, 58:] = 250
    for number, frame in enumerate([left, entered, shot]):
        Image.fromarray(frame).save(folder / f"{number}.png")

    def made(name: str, *options: str) -> list[np.ndarray]:
        assert program(*line[:3], "--model", "even", folder, "-o", tmp_path / name, *options).code == 0
        return [pixels(path).astype(int) for path in sorted((tmp_path / name).iterdir())]

    own, shared = made("own", "--steady", "off"), made("shared")
    assert np.abs(own[0] - own[1])[:, :50].mean() > 2
    assert (shared[0] == shared[1])[:, :50].all()
    assert (shared[2] == own[2]).all()


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out.png", "frames"])
def test_other_kinds_of_outputs(program: Program, line: list[object], clip: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    result = program(*line, clip, "-o", out)
    assert result.code == 0, result
    warning, _ = result.err.splitlines()
    assert_mentions(warning, "audio", clip, out)  # is lost
    if out.is_dir():
        files = sorted(out.iterdir())
        made = [np.asarray(Image.open(path)) for path in files]
    else:
        with Image.open(out) as animation:
            made = []
            for number in range(animation.n_frames):
                animation.seek(number)
                made.append(np.asarray(animation.convert("RGB")))
                assert animation.info["duration"] == 40
    assert len(made) == 10
    for one, other in zip(made, inverted(pictures()), strict=True):
        assert np.abs(one.astype(int) - other)[20:, 20:].max() < 10


def test_an_animation_and_a_folder_become_videos(program: Program, line: list[object], tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in pictures(4)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 50, 200, 100])
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        frame.save(tmp_path / "frames" / f"{number}.png")
    assert program(*line, tmp_path / "a.gif", "-o", tmp_path / "a.mp4").code == 0
    assert read_times(tmp_path / "a.mp4") == [0, Fraction(1, 10), Fraction(3, 20), Fraction(7, 20)]
    assert program(*line, tmp_path / "frames", "--fps", 10, "-o", tmp_path / "b.mp4").code == 0
    assert read_times(tmp_path / "b.mp4") == [Fraction(number, 10) for number in range(4)]
    for name in ("a.mp4", "b.mp4"):
        assert difference(tmp_path / name, inverted(pictures(4))) < 12


def test_a_part_of_a_clip_in_fewer_and_smaller_frames(program: Program, line: list[object], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", pictures(60))
    options = ["--from", "0:00:01", "--to", "1.4", "--every", 2, "--max-size", 32]
    assert program(*line, clip, *options, "-o", tmp_path / "out.mp4").code == 0
    made = read_clip(tmp_path / "out.mp4")
    assert [frame.shape for frame in made] == [(24, 32, 3)] * 5
    assert shades(tmp_path / "out.mp4") == pytest.approx(
        [255 - frame[-1, -1, 0] for frame in pictures(60)[25:35:2]], abs=4
    )
    assert read_times(tmp_path / "out.mp4") == [Fraction(2 * number, 25) for number in range(5)]


def test_a_method_may_enlarge(program: Program, line: list[object], clip: Path, tmp_path: Path) -> None:
    for name, options in {"plain.mp4": (), "steady.mp4": ("--steady", "flow")}.items():
        done = program(*line[:3], "--model", "larger", clip, *options, "-o", tmp_path / name, "--json")
        assert (json.loads(done.out)["width"], json.loads(done.out)["height"]) == (128, 96)
        assert [frame.shape for frame in read_clip(tmp_path / name)] == [(96, 128, 3)] * 10


def test_a_higher_quality_is_closer_and_larger(program: Program, line: list[object], tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), np.uint8).repeat(4, 1).repeat(4, 2))
    clip = write_clip(tmp_path / "a.mp4", noise)
    sizes = []
    for quality in (1, 66, 100):
        out = tmp_path / f"{quality}.mp4"
        assert program(*line, clip, "--quality", quality, "-o", out).code == 0
        sizes.append(out.stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]


def test_several_models_are_applied_one_after_the_other_or_blended(
    program: Program, line: list[object], clip: Path, tmp_path: Path
) -> None:
    several = {
        "alone": ["invert"],
        "larger": ["invert", "larger"],
        "blended": ["invert:3", "even:0"],
    }
    found = {}
    for name, models in several.items():
        given = [text for model in models for text in ("--model", model)]
        assert program(*line[:3], *given, clip, "-o", tmp_path / name).code == 0
        found[name] = [pixels(path) for path in sorted((tmp_path / name).iterdir())]
    for alone, larger, blended in zip(*found.values(), strict=True):
        assert (larger == alone.repeat(2, 0).repeat(2, 1)).all()
        assert (blended == alone).all()


def test_another_model_of_the_same_method_is_not_resumed(
    program: Program, clip: Path, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["video", clip, "-o", tmp_path / "out.mp4", "--model"]
    with monkeypatch.context() as patched:
        patched.setattr(parts.Segments, "finish", lambda *given: 1 / 0)
        assert program(*line, "stylekit-restore-x2").code == 1
    error = program(*line, "stylekit-restore-x4", "--resume").error
    assert_mentions(error, "models was", "stylekit-restore-x2", "stylekit-restore-x4")


def test_one_frame_is_a_clip(program: Program, line: list[object], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", pictures(1))
    done = program(*line, clip, "-o", tmp_path / "out.mp4")
    assert (done.code, done.err) == (0, f"Wrote 1 frame to {tmp_path / 'out.mp4'}\n")
    assert len(read_clip(tmp_path / "out.mp4")) == 1


def test_a_failure_keeps_what_is_finished_and_resume_goes_on(
    program: Program, line: list[object], clip: Path, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program(*line, clip, "-o", tmp_path / "whole.mp4").code == 0
    out = tmp_path / "out.mp4"
    monkeypatch.setenv("FAIL_AT", str(shades(clip)[9]))
    failed = program(*line, clip, "-o", out)
    assert failed.code == 1
    assert_mentions(failed.err, "the machine is on fire")
    assert not out.exists()
    assert (tmp_path / "out.mp4.part" / "00000008.mkv").exists()
    monkeypatch.delenv("FAIL_AT")
    assert_mentions(program(*line, clip, "-o", out).error, "out.mp4.part", "--resume", "--overwrite")
    assert_mentions(program(*line, clip, "-o", out, "--resume", "--max-size", 20).error, "max_size", "None", 20)
    resumed = program(*line, clip, "-o", out, "--resume", "--json")
    assert resumed.code == 0, resumed
    assert json.loads(resumed.out)["resumed"] == 8
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not (tmp_path / "out.mp4.part").exists()


@pytest.mark.long
def test_another_style_or_clip_is_not_resumed(
    program: Program, clip: Path, place: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["video", clip, "--style", place / "red.png", "-o", place / "out.mp4"]
    with monkeypatch.context() as patched:
        patched.setattr(parts.Segments, "finish", lambda *given: 1 / 0)
        assert program(*line).code == 1
    red, data = (place / "red.png").read_bytes(), clip.read_bytes()
    (place / "red.png").write_bytes((place / "blue.png").read_bytes())
    assert_mentions(program(*line, "--resume").error, "style was", place / "red.png")
    (place / "red.png").write_bytes(red)
    clip.write_bytes(data + b"0")
    assert_mentions(program(*line, "--resume").error, "clip was")
    clip.write_bytes(data)
    done = program(*line, "--resume", "--json")
    assert json.loads(done.out)["resumed"] == 8
    assert len(read_clip(place / "out.mp4")) == 10


@pytest.mark.parametrize("name", ["--with", "--set", "frames"])
def test_a_file_whose_content_has_changed_is_not_resumed(
    program: Program, line: list[object], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Even if its size is the same: the new frames would not be like the finished ones."""
    frames = tmp_path / "frames"
    frames.mkdir()
    changed = frames / "1.bmp"
    for path in (frames / "0.bmp", changed):
        Image.new("RGB", (64, 48), "red").save(path)
    option = {"--with": ["--with", f"picture={changed}"], "--set": ["--set", f"file={changed}"], "frames": []}[name]
    source = frames if name == "frames" else clip
    call = [*line[:3], "--model", "cover", source, *option, "-o", tmp_path / "out"]
    with monkeypatch.context() as patched:
        patched.setattr(parts.FrameFiles, "finish", lambda *given: 1 / 0)
        assert program(*call).code == 1
    before = changed.read_bytes()
    Image.new("RGB", (64, 48), "blue").save(changed)
    assert len(changed.read_bytes()) == len(before)
    assert_mentions(program(*call, "--resume").error, f"{'clip' if name == 'frames' else name[2:]} was", "--overwrite")
    changed.write_bytes(before)
    assert program(*call, "--resume").code == 0
    assert len(list((tmp_path / "out").iterdir())) == (2 if name == "frames" else 10)


def test_a_process_that_was_killed_before_its_first_frame_is_no_obstacle(
    program: Program, line: list[object], clip: Path, tmp_path: Path
) -> None:
    part = tmp_path / "out.mp4.part"
    part.mkdir()
    (part / ".lock").touch()
    assert program(*line, clip, "-o", tmp_path / "out.mp4", "--resume").code == 0
    assert not part.exists()


@pytest.mark.parametrize(
    "options",
    [("--steady", "flow"), ("--model", "noise"), ("--model", "trail"), ("--model", "even")],
    ids=["steady", "drawn", "state", "statistics"],
)
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.png"])
def test_a_resumed_clip_is_the_same(
    program: Program, line: list[object], clip: Path, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...], name: str,
) -> None:  # fmt: skip
    """Whatever depends on earlier frames or on their numbers."""
    line = line if "--model" not in options else line[:3]
    assert program(*line, *options, clip, "-o", tmp_path / f"whole-{name}").code == 0
    add, added = parts.Segments.add if name != "out.png" else parts.FrameFiles.add, []

    def fail(self: parts.Parts, picture: object) -> None:
        added.append(picture)
        if len(added) == 7:
            raise RuntimeError("killed")
        add(self, picture)

    with monkeypatch.context() as patched:
        patched.setattr(parts.Segments if name != "out.png" else parts.FrameFiles, "add", fail)
        assert program(*line, *options, clip, "-o", tmp_path / name).code == 1
    resumed = program(*line, *options, clip, "-o", tmp_path / name, "--resume")
    assert resumed.code == 0, resumed
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    if "trail" in options:
        assert_mentions(resumed.err, "'trail'", "state", "from its start")


@pytest.mark.slow
def test_after_a_kill_the_clip_is_resumed(line: list[object], tmp_path: Path, environment: dict[str, str]) -> None:
    clip, out = write_clip(tmp_path / "clip.mp4", pictures(110), sound="aac"), tmp_path / "out.mp4"
    call = [sys.executable, "-m", "stylekit", *map(str, line), str(clip)]
    subprocess.run([*call, "-o", str(tmp_path / "whole.mp4")], env=environment, check=True, capture_output=True)
    segment = tmp_path / "out.mp4.part" / "00000048.mkv"
    running = subprocess.Popen([*call, "-o", str(out)], env={**environment, "SECONDS": "0.02"})
    while not segment.exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)  # it holds the lock
    second = subprocess.run([*call, "-o", str(out), "--resume"], env=environment, capture_output=True, text=True)
    assert second.returncode == 2
    assert_mentions(second.stderr, "another process", out)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not out.exists()
    done = subprocess.run(
        [*call, "-o", str(out), "--resume", "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] in (48, 96)
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4", "whole.mp4"]


@pytest.mark.slow
def test_ctrl_c_ends_soon_and_says_how_to_go_on(
    line: list[object], tmp_path: Path, environment: dict[str, str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", pictures(110))
    call = [sys.executable, "-m", "stylekit", *map(str, line), str(clip), "-o", str(tmp_path / "out.mp4")]
    running = subprocess.Popen(call, env={**environment, "SECONDS": "0.02"}, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "out.mp4.part" / "00000048.mkv").exists():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=20)
    assert running.returncode == 130
    assert_mentions(told, "interrupted", "out.mp4.part", "--resume")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.7], ids=["a segment", "the output"])
def test_a_full_disk_leaves_what_there_was(
    program: Program, line: list[object], tmp_path: Path, environment: dict[str, str], share: float
) -> None:
    """A limit on the size of files stands for a full disk; Python ignores its signal."""
    noise = np.random.default_rng(0).integers(0, 256, (144, 12, 16, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    clip, out = write_clip(tmp_path / "clip.mp4", noise), tmp_path / "out.mp4"
    assert program(*line, clip, "-o", out).code == 0
    room = int(share * out.stat().st_size)
    out.write_text("mine")
    call = [sys.executable, "-m", "stylekit", *map(str, line), str(clip), "-o", str(out)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    full = subprocess.run([*call, "--overwrite"], env=environment, capture_output=True, text=True, preexec_fn=limit)
    assert full.returncode == 2, full.stderr
    assert_mentions(full.stderr, "no space", tmp_path)
    assert out.read_text() == "mine"
    kept = (tmp_path / "out.mp4.part").exists()
    assert kept == (share > 0.5)
    if kept:
        assert_mentions(full.stderr, 144, "--resume")
        again = subprocess.run(
            [*call, "--overwrite", "--resume", "--json"], env=environment, capture_output=True, text=True
        )
        assert json.loads(again.stdout)["resumed"] == 144
        assert len(read_clip(out)) == 144


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("nowhere.mp4 -o out.mp4", ["nowhere.mp4"]),
        ("clip.mp4 -o clip.mp4", ["clip.mp4", "input", "--out"]),
        (
            "clip.mp4 -o out.txt",
            ["out.txt cannot hold a clip", ".mp4, .m4v, .mov, .mkv, .webm, .avi", ".gif", "a folder"],
        ),
        ("clip.mp4 -o out.ogv", ["out.ogv cannot hold a clip", ".webm", ".png"]),
        ("clip.mp4 -o out.jpg", ["out.jpg cannot hold a clip", ".mp4", ".webp"]),
        ("clip.mp4 -o exists.mp4", ["exists.mp4 exists", "--overwrite"]),
        ("clip.mp4 -o mine", ["mine", "other files than frames"]),
        ("clip.mp4 -o mine --overwrite", ["mine", "other files than frames"]),
        ("clip.mp4 -o out.gif --quality 50", ["--quality", "out.gif"]),
        ("clip.mp4 -o out.mp4 --from later", ["--from", "'later'", "H:MM:SS"]),
        ("clip.mp4 -o out.mp4 --from 2 --to 1", ["--to 1", "--from 2"]),
        ("clip.mp4 -o out.mp4 --from 9", ["clip.mp4", "no frame", "9"]),
        ("clip.mp4 -o out.mp4 --steady flwo", ["'flwo'", "did you mean 'flow'"]),
        ("clip.mp4 -o out.mp4 --strength 2", ["strength", "2.0"]),
        ("clip.mp4 -o out.mp4 --with depth=3", ["'depth'"]),
        ("clip.mp4 -o out.mp4 --style mine", ["--style", "folder"]),
        ("clip.mp4 -o out.mp4 --style clip.mp4 --model color-pca", ["clip.mp4", "not a picture", "one frame"]),
        ("empty.mp4 -o out.mp4", ["empty.mp4", "is empty"]),
        ("text.mp4 -o out.mp4", ["text.mp4", "damaged", "not a video"]),
        ("still.png -o out.mp4", ["still.png", "one image", "`stylekit stylize`"]),
        ("still.mp4 -o out.mp4", ["still.mp4", "cannot be read", "not a video"]),
        ("nothing -o out.mp4", ["nothing", "no frames"]),
        ("clip.mp4 -o taken.mp4", ["taken.mp4.part", "in the way"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    program: Program, line: list[object], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: str, facts: list[object],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "exists.mp4", "taken.mp4.part"):
        Path(name).write_text("mine")
    Path("nothing").mkdir()
    Path("mine").mkdir()
    for name in ("still.png", "mine/photo.png"):
        Image.new("RGB", (20, 20)).save(name)
    Path("still.mp4").write_bytes(Path("still.png").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert_mentions(program(*line, *arguments.split()).error, *facts)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_of_frames_is_replaced_only_if_wanted(
    program: Program, line: list[object], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "frames"
    assert program(*line, clip, "-o", out).code == 0
    assert_mentions(program(*line, clip, "-o", out).error, out, "--overwrite")
    assert program(*line, clip, "-o", out, "--overwrite", "--every", 5).code == 0
    assert len(list(out.iterdir())) == 2


def test_a_video_is_not_an_image(program: Program, line: list[object], clip: Path, tmp_path: Path) -> None:
    result = program("stylize", *line[1:], clip, "-o", tmp_path / "out.png")
    assert result.code == 1
    assert_mentions(result.err.splitlines()[-1], clip, "video", "`stylekit video`")


def test_without_pyav_animations_still_work(
    program: Program, line: list[object], clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extras.importlib.import_module

    def missing(name: str) -> object:
        if name.partition(".")[0] in ("av", "cv2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return whole(name)

    frames = [Image.fromarray(frame) for frame in pictures(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    monkeypatch.setattr(extras.importlib, "import_module", missing)
    assert program(*line, tmp_path / "a.gif", "-o", tmp_path / "b.gif").code == 0
    install = "pip install 'stylekit-torch[video]'"
    assert_mentions(program(*line, clip, "-o", tmp_path / "b.mp4").error, "needs av", install)
    assert_mentions(program(*line, tmp_path / "a.gif", "-o", tmp_path / "b.mp4").error, "needs av", install)
    steady = program(*line, tmp_path / "a.gif", "--steady", "flow", "-o", tmp_path / "c.gif")
    assert_mentions(steady.error, "needs cv2", install)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif", "clip.mp4"]
