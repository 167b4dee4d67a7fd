"""``stylekit video --mask``: pictures, folders, animations and videos as masks of a clip."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stylekit.images.video import parts
from tests.cli.conftest import INVERT
from tests.cli.pixels import pixels
from tests.clips import write_clip
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program

COUNT, HEIGHT, WIDTH = 6, 24, 32


def shown(number: int) -> np.ndarray:
    """A frame of noise."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def covered(number: int) -> np.ndarray:
    """Where a mask is white: in four columns, which move to the right."""
    return np.arange(WIDTH) // 4 == number


def save(folder: Path, frames: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


def drawn(count: int = COUNT, factor: int = 1) -> list[np.ndarray]:
    """Masks as pictures, perhaps of a larger size."""
    lines = [np.tile(255 * covered(number).astype(np.uint8), (HEIGHT, 1)) for number in range(count)]
    return [each.repeat(factor, 0).repeat(factor, 1) for each in lines]


@pytest.fixture
def line(tmp_path: Path) -> list[object]:
    """A command line that inverts a folder of frames."""
    (tmp_path / "inverting.py").write_text(INVERT)
    clip = save(tmp_path / "clip", [shown(number) for number in range(COUNT)])
    return ["video", clip, "--plugin", tmp_path / "inverting.py", "--model", "invert", "-o", tmp_path / "out", "--mask"]


def masked(number: int, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[None, :, None], 255 - shown(number), shown(number))


def made(folder: Path) -> list[np.ndarray]:
    return [pixels(path) for path in sorted(folder.iterdir())]


def assert_moving(frames: list[np.ndarray], numbers: list[int], tolerance: int = 0) -> None:
    """Each frame is inverted where its mask is white, up to a mean difference."""
    for frame, number in zip(frames, numbers, strict=True):
        difference = np.abs(frame.astype(int) - masked(number, covered(number)))
        assert difference.mean() <= tolerance


def test_one_picture_is_the_mask_of_all_frames(program: Program, line: list[object], tmp_path: Path) -> None:
    Image.fromarray(drawn()[2]).save(tmp_path / "mask.png")
    assert program(*line, tmp_path / "mask.png").code == 0
    for number, frame in enumerate(made(tmp_path / "out")):
        assert (frame == masked(number, covered(2))).all()


@pytest.mark.parametrize("options", [(), ("--steady", "off"), ("--steady", "flow")])
def test_a_folder_has_a_mask_for_each_frame(
    program: Program, line: list[object], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """What no mask covers stays as it is, also where frames are blended along their motion."""
    folder = save(tmp_path / "masks", drawn())
    assert program(*line, folder, *options).code == 0
    if options == ("--steady", "flow"):
        for number, frame in enumerate(made(tmp_path / "out")):
            assert (frame[:, ~covered(number)] == shown(number)[:, ~covered(number)]).all()
    else:
        assert_moving(made(tmp_path / "out"), [*range(COUNT)])


def test_animations_and_videos_are_masks(program: Program, line: list[object], tmp_path: Path) -> None:
    first, *others = [Image.fromarray(each) for each in drawn()]
    first.save(tmp_path / "masks.gif", save_all=True, append_images=others, duration=40)
    assert program(*line, tmp_path / "masks.gif").code == 0
    assert_moving(made(tmp_path / "out"), [*range(COUNT)])
    write_clip(tmp_path / "masks.mkv", [np.stack([each] * 3, -1) for each in drawn(factor=4)])
    assert program(*line, tmp_path / "masks.mkv", "--overwrite").code == 0
    assert_moving(made(tmp_path / "out"), [*range(COUNT)], tolerance=3)  # which is lossy, and larger


def test_a_part_of_the_clip_has_its_own_masks(program: Program, line: list[object], tmp_path: Path) -> None:
    folder = save(tmp_path / "masks", drawn())
    assert program(*line, folder, "--from", "0.04", "--to", "0.2", "--every", 2).code == 0
    assert_moving(made(tmp_path / "out"), [1, 3])
    assert program(*line, folder, "--preview", "-o", tmp_path / "preview.png").code == 0
    Image.fromarray(np.zeros_like(drawn()[0])).save(tmp_path / "black.png")
    assert program(*line, tmp_path / "black.png", "--preview", "-o", tmp_path / "black_preview.png").code == 0
    changed = (pixels(tmp_path / "preview.png") != pixels(tmp_path / "black_preview.png")).any(-1)
    assert changed.sum() == pytest.approx(COUNT * 4 * HEIGHT, rel=0.02)


def test_a_slower_mask_is_shown_for_longer(program: Program, line: list[object], tmp_path: Path) -> None:
    first, *others = [Image.fromarray(each) for each in drawn(3)]
    first.save(tmp_path / "masks.gif", save_all=True, append_images=others, duration=80)
    assert program(*line, tmp_path / "masks.gif").code == 0
    for number, frame in enumerate(made(tmp_path / "out")):
        assert (frame == masked(number, covered(number // 2))).all()


@pytest.mark.parametrize("kind", ["folder", "gif"])
def test_a_mask_that_is_too_short_is_named(program: Program, line: list[object], tmp_path: Path, kind: str) -> None:
    mask = save(tmp_path / "masks", drawn(4))
    if kind == "gif":
        first, *others = [Image.fromarray(each) for each in drawn(4)]
        first.save(mask := tmp_path / "masks.gif", save_all=True, append_images=others, duration=40)
    refused = program(*line, mask)
    assert refused.code == 2
    assert_mentions(refused.err, mask, "0.16 seconds", "--to 0.16")
    assert_mentions(refused.err, "out.part keeps 4 finished frames", "with others, --overwrite")
    assert not (tmp_path / "out").exists()
    assert_mentions(program(*line, mask, "--to", "0.16").error, "--resume", "settings of that run", "--overwrite")
    assert program(*line, mask, "--overwrite", "--to", "0.16").code == 0
    assert_moving(made(tmp_path / "out"), [*range(4)])


def test_styles_and_masks_must_match(program: Program, line: list[object], tmp_path: Path) -> None:
    folder = save(tmp_path / "masks", drawn())
    assert_mentions(program(*line, folder, "--mask", folder).error, "masks (2)", "styles (1)")
    assert_mentions(program(*line, tmp_path / "nowhere.png").error, "nowhere.png", "no such file")
    assert_mentions(program(*line, folder, "--live").error, folder, "live", "picture")
    assert not (tmp_path / "out").exists()


def test_a_resumed_clip_goes_on_with_its_masks(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, add, added = save(tmp_path / "masks", drawn()), parts.FrameFiles.add, []

    def fail(self: parts.FrameFiles, picture: object) -> None:
        added.append(picture)
        if len(added) == 4:
            raise RuntimeError("killed")
        add(self, picture)

    with monkeypatch.context() as patched:
        patched.setattr(parts.FrameFiles, "add", fail)
        assert program(*line, folder).code == 1
    shutil.copytree(folder, tmp_path / "others")
    (tmp_path / "others" / "5.png").unlink()
    assert_mentions(program(*line, tmp_path / "others", "--resume").error, "mask was")
    assert program(*line, folder, "--resume").code == 0
    assert_moving(made(tmp_path / "out"), [*range(COUNT)])
