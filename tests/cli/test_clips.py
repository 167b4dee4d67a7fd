"""``stylekit stylize --clip``: the images of each folder are the frames of one clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program

TRAIL = '''
import torch
from stylekit import Method, hookimpl

class Trail(Method):
    """Each frame is the mean of itself and of the frame that was made before."""

    def stylize(self, content, style=None, *, keep: float = 0.5):
        return content

    def frames(self, contents, style=None, *, keep: float = 0.5):
        before = None
        for content in contents:
            assert content.mean() != 1, "white"
            before = content if before is None else torch.lerp(content, before, keep)
            yield before

class Short(Method):
    """Ends after two frames."""

    def stylize(self, content, style=None):
        return content

    def frames(self, contents, style=None):
        yield from [content for _, content in zip(range(2), contents)]

class Noise(Method):
    """Draws each frame."""

    def stylize(self, content, style=None):
        return torch.rand_like(content)

@hookimpl
def stylekit_methods():
    return {"trail": Trail, "short": Short, "noise": Noise}
'''


@pytest.fixture
def trail(tmp_path: Path) -> tuple[str, ...]:
    """The arguments for a method with a state along a clip."""
    (tmp_path / "trail.py").write_text(TRAIL)
    return ("--plugin", str(tmp_path / "trail.py"), "--model", "trail", "--clip")


def clip(folder: Path, *shades: int) -> Path:
    """A folder of frames of one shade each."""
    folder.mkdir(parents=True)
    for number, shade in enumerate(shades):
        Image.new("RGB", (5, 4), (shade, shade, shade)).save(folder / f"{number:03}.png")
    return folder


def shades(folder: Path) -> list[int]:
    made = [pixels(path) for path in sorted(folder.glob("*.png"))]
    assert all((image == image[0, 0]).all() for image in made)
    return [int(image[0, 0, 0]) for image in made]


def test_each_folder_is_a_clip_with_a_state_of_its_own(
    program: Program, trail: tuple[str, ...], tmp_path: Path
) -> None:
    clip(tmp_path / "in" / "one", 100, 200, 0)
    clip(tmp_path / "in" / "two", 40, 80)
    clip(tmp_path / "in" / "two" / "deep", 0, 240)
    result = program("stylize", tmp_path / "in", *trail, "-o", tmp_path / "out")
    assert (result.code, result.out, result.err.count("\n")) == (0, "", 1), result
    assert_mentions(result.err, "7 of 7", tmp_path / "out")
    assert shades(tmp_path / "out" / "one") == [100, 150, 75]
    assert shades(tmp_path / "out" / "two") == [40, 60]
    assert shades(tmp_path / "out" / "two" / "deep") == [0, 120]


def test_several_folders_and_single_images_are_grouped_by_their_folders(
    program: Program, trail: tuple[str, ...], tmp_path: Path
) -> None:
    one, two = clip(tmp_path / "one", 100, 200), clip(tmp_path / "two", 0, 40, 240)
    line = ["stylize", one, two / "002.png", two / "000.png", *trail, "-o", tmp_path / "out"]
    assert program(*line).code == 0
    assert pixels(tmp_path / "out" / "001.png")[0, 0, 0] == 150
    made = {path.name: int(pixels(path)[0, 0, 0]) for path in (tmp_path / "out").iterdir()}
    assert made["002.png"] == 240  # in the order of the command line
    assert made["000-2.png"] == 120


def test_options_and_controls_apply_to_every_frame(program: Program, trail: tuple[str, ...], tmp_path: Path) -> None:
    clip(tmp_path / "in", 100, 200, 0)
    line = ["stylize", tmp_path / "in", *trail, "--overwrite", "-o", tmp_path / "out"]
    assert program(*line, "--with", "keep=0").code == 0
    assert shades(tmp_path / "out") == [100, 200, 0]
    assert_mentions(program(*line, "--with", "kep=0").error, "method 'trail'", "'kep'", "did you mean 'keep'")
    mask = np.zeros((4, 5), np.uint8)
    mask[:, :2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert program(*line, "--mask", tmp_path / "mask.png").code == 0
    second = pixels(tmp_path / "out" / "001.png")
    assert (second[:, :2] == 150).all()
    assert (second[:, 2:] == 200).all()


def test_without_clip_every_image_is_stylised_alone(program: Program, trail: tuple[str, ...], tmp_path: Path) -> None:
    clip(tmp_path / "in", 100, 200, 0)
    assert program("stylize", tmp_path / "in", *trail[:-1], "-o", tmp_path / "out").code == 0
    assert shades(tmp_path / "out") == [100, 200, 0]


def test_a_frame_that_fails_ends_its_clip_alone(program: Program, trail: tuple[str, ...], tmp_path: Path) -> None:
    clip(tmp_path / "in" / "bad", 100, 200, 0, 40)
    (tmp_path / "in" / "bad" / "002.png").write_text("not an image")
    clip(tmp_path / "in" / "good", 40, 80)
    clip(tmp_path / "in" / "white", 40, 255, 80)
    result = program("stylize", tmp_path / "in", *trail, "-o", tmp_path / "out")
    assert (result.code, result.out) == (1, "")
    first, _, *failures = result.err.splitlines()
    assert_mentions(first, "5 of 9", tmp_path / "out")
    assert len(failures) == 2
    assert_mentions(failures[0], tmp_path / "in" / "bad" / "002.png")
    assert_mentions(failures[1], tmp_path / "in" / "white", "AssertionError: white", "in line 14", "trail.py")
    assert shades(tmp_path / "out" / "good") == [40, 60]
    assert shades(tmp_path / "out" / "bad") == [100, 150]  # the frames before
    assert shades(tmp_path / "out" / "white") == [40]


def test_a_method_that_ends_before_the_clip_is_reported(
    program: Program, trail: tuple[str, ...], tmp_path: Path
) -> None:
    clip(tmp_path / "in" / "long", 100, 200, 0)
    clip(tmp_path / "in" / "pair", 40, 80)
    result = program("stylize", tmp_path / "in", *trail[:2], "--clip", "--model", "short", "-o", tmp_path / "out")
    assert result.code == 1
    first, _, failed = result.err.splitlines()
    assert_mentions(first, "4 of 5", tmp_path / "out")
    assert_mentions(failed, tmp_path / "in" / "long", "method 'short'", "frames()")
    assert shades(tmp_path / "out" / "long") == [100, 200]
    assert shades(tmp_path / "out" / "pair") == [40, 80]


def test_frames_of_another_size_fail_their_clip_and_masks_are_scaled(
    program: Program, trail: tuple[str, ...], tmp_path: Path
) -> None:
    clip(tmp_path / "in" / "a", 100, 200)
    clip(tmp_path / "in" / "b", 100, 200)
    Image.new("RGB", (9, 9)).save(tmp_path / "in" / "a" / "001.png")
    Image.new("L", (10, 8), 255).save(tmp_path / "mask.png")
    result = program("stylize", tmp_path / "in", *trail, "--mask", tmp_path / "mask.png", "-o", tmp_path / "out")
    assert result.code == 1
    assert_mentions(result.err.splitlines()[-1], tmp_path / "in" / "a" / "001.png", "5x4", "9x9")
    assert shades(tmp_path / "out" / "b") == [100, 150]


def test_a_method_without_a_state_stylises_frames_one_by_one(program: Program, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / "red.png"]
    assert program(*line, "-o", place / "alone.png").code == 0
    assert program(*line, "--clip", "-o", place / "clip.png").code == 0
    assert (pixels(place / "clip.png") == pixels(place / "alone.png")).all()


def test_alpha_is_kept(program: Program, trail: tuple[str, ...], tmp_path: Path) -> None:
    folder = clip(tmp_path / "in", 100, 200)
    Image.new("RGBA", (5, 4), (200, 200, 200, 51)).save(folder / "001.png")
    assert program("stylize", folder, *trail, "-o", tmp_path / "out").code == 0
    assert (pixels(tmp_path / "out" / "001.png") == (150, 150, 150, 51)).all()


def test_frames_that_are_drawn_differ_and_depend_on_the_seed(
    program: Program, trail: tuple[str, ...], tmp_path: Path
) -> None:
    folder = clip(tmp_path / "in", 100, 100)
    made = {}
    for name, seed in {"one": 0, "again": 0, "other": 1}.items():
        line = ["--model", "noise", "--seed", seed, "-o", tmp_path / name]
        assert program("stylize", folder, *trail[:2], "--clip", *line).code == 0
        made[name] = [pixels(tmp_path / name / f"00{number}.png").tobytes() for number in range(2)]
    assert made["one"] == made["again"]
    assert len({*made["one"], *made["other"]}) == 4


def test_a_clip_has_no_previews(program: Program, trail: tuple[str, ...], tmp_path: Path) -> None:
    folder = clip(tmp_path / "clip", 0, 100)
    result = program("stylize", folder, *trail, "-o", tmp_path / "out", "--preview", tmp_path / "steps")
    assert result.code == 2
    assert_mentions(result.error, "--preview", "--clip")
    assert not (tmp_path / "steps").exists()


def test_frames_that_do_not_fit_into_memory_are_refused(
    program: Program, trail: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clip(tmp_path / "clip", 0, 100)
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 0)
    result = program("stylize", folder, *trail, "-o", tmp_path / "out")
    assert result.code == 1
    assert_mentions(result.err, folder, "5x4", "MiB")
