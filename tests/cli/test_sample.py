"""``stylekit sample``: images that a model draws without a content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import stylekit
from stylekit import Method, images
from stylekit.inference.model_files import save_model
from stylekit.registry import lookup
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

DRAWING = '''
import torch
from torch import Tensor, nn
from stylekit import Method, Player, hookimpl, turn

class Drawing(Method):
    """Draws noise, as bright as its label says."""

    batch_keys = ("content",)

    def __init__(self):
        super().__init__()
        self.color = nn.Parameter(torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1))

    def players(self):
        return {"color": Player(self.color, 0.1)}

    @turn("color")
    def match(self, batch, made):
        return {"far": (batch["content"] - self.color).square().mean()}

    def sample(self, count, *, label: int = 0, reach: float = 0.2):
        """Draws.

        Args:
            label: brightness, from 0 to 9
            reach: of the noise
        """
        return self.color + label / 10 + reach * (torch.rand(count, 3, 6, 7) - 0.5)

@hookimpl
def stylekit_methods():
    return {"drawing": Drawing}
'''


@pytest.fixture
def drawing(tmp_path: Path) -> tuple[str, ...]:
    """The arguments for a model that draws."""
    (tmp_path / "drawing.py").write_text(DRAWING)
    namespace: dict[str, type[Method]] = {}
    exec(DRAWING, namespace)
    save_model(namespace["Drawing"](), "drawing", tmp_path / "drawing.safetensors")
    return ("--model", str(tmp_path / "drawing.safetensors"), "--plugin", str(tmp_path / "drawing.py"))


CODES = DRAWING.replace(
    "def sample(self, count, *, label",
    "def codes(self, count):\n        return torch.randn(count, 3)\n\n    def sample_from(self, codes, *, label",
).replace("reach * (torch.rand(count, 3, 6, 7) - 0.5)", "reach * codes[:, :, None, None].expand(-1, -1, 6, 7)")


@pytest.fixture
def codes(tmp_path: Path) -> tuple[str, ...]:
    """The arguments for a model that draws colours from codes."""
    (tmp_path / "codes.py").write_text(CODES.replace("drawing", "codes"))
    namespace: dict[str, type[Method]] = {}
    exec(CODES, namespace)
    save_model(namespace["Drawing"](), "codes", tmp_path / "codes.safetensors")
    return ("--model", str(tmp_path / "codes.safetensors"), "--plugin", str(tmp_path / "codes.py"))


def drawn(folder: Path) -> list[np.ndarray]:
    return [pixels(path) for path in sorted(folder.iterdir())]


@pytest.mark.slow
def test_images_depend_on_the_seed_and_their_number_alone(
    program: Program, drawing: tuple[str, ...], tmp_path: Path
) -> None:
    for name, line in {
        "three": ["-n", 3],
        "five": ["-n", 5],
        "again": ["--count", 3],
        "other": ["-n", 3, "--seed", 1],
    }.items():
        result = program("sample", *drawing, *line, "-o", tmp_path / name)
        assert (result.code, result.out) == (0, ""), result
        assert_mentions(result.err, line[1], tmp_path / name)
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    three, five, again, other = (drawn(tmp_path / name) for name in ("three", "five", "again", "other"))
    assert len(five) == 5
    for one, longer, same, different in zip(three, five, again, other, strict=False):
        assert one.shape == (6, 7, 3)
        assert (one == longer).all()
        assert (one == same).all()
        assert (one != different).any()
    assert len({image.tobytes() for image in [*five, *other]}) == 8


def test_sixteen_images_are_the_default(program: Program, drawing: tuple[str, ...], tmp_path: Path) -> None:
    assert program("sample", *drawing, "-o", tmp_path / "out").code == 0
    assert len(list((tmp_path / "out").iterdir())) == 16


def test_python_and_the_command_line_agree(program: Program, drawing: tuple[str, ...], tmp_path: Path) -> None:
    lookup.add_file(tmp_path / "drawing.py")
    model = stylekit.load(tmp_path / "drawing.safetensors", "cpu")
    assert program("sample", *drawing, "-n", 2, "--seed", 5, "--with", "label=1", "-o", tmp_path / "out").code == 0
    levels = (model.sample(2, seed=5, label=1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert (np.stack(drawn(tmp_path / "out")) == levels).all()


def test_files_that_exist_are_replaced_only_on_request(
    program: Program, drawing: tuple[str, ...], tmp_path: Path
) -> None:
    mine = tmp_path / "out" / "00001.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    line = ["sample", *drawing, "-n", 2, "-o", tmp_path / "out"]
    assert_mentions(program(*line).error, mine, "--overwrite")
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]
    assert program(*line, "--overwrite", "--quiet").err == ""
    assert mine.read_bytes() != b"mine"


def test_options_are_typed_and_images_are_clamped(program: Program, drawing: tuple[str, ...], tmp_path: Path) -> None:
    line = ["sample", *drawing, "-n", 1, "--overwrite", "-o", tmp_path / "out", "--with"]
    assert program(*line, "label=9", "--with", "reach=0").code == 0
    assert (drawn(tmp_path / "out")[0] == np.array([255, 255, 255])).all()  # 1.1, 1.4 and 1.7
    assert program(*line, "label=1", "--with", "reach=0").code == 0
    assert np.abs(drawn(tmp_path / "out")[0] - 255 * np.array([0.3, 0.6, 0.9])).max() <= 1
    assert_mentions(program(*line, "lable=3").error, "method 'drawing'", "'lable'", "did you mean 'label'", "reach")
    assert_mentions(program(*line, "label=three").error, "'label'", "'three'", "integer")


def test_a_run_draws_after_training(program: Program, drawing: tuple[str, ...], folders: Path, tmp_path: Path) -> None:
    plugin, run = drawing[-1], tmp_path / "run"
    line = ["--size", 16, "--steps", 2, "--workers", 0, "--content", folders / "a", "--out", run]
    result = program("train", "--plugin", plugin, *line)
    assert result.code == 0, result
    assert pixels(run / "samples" / "0000002.png").shape[2] == 3  # the default preview is a column of samples
    assert program("sample", "--model", run, "--plugin", plugin, "-n", 2, "-o", tmp_path / "out").code == 0
    assert len(drawn(tmp_path / "out")) == 2


def test_a_method_that_stylises_does_not_draw_and_vice_versa(
    program: Program, paint: Paint, trained: Path, drawing: tuple[str, ...], tmp_path: Path
) -> None:
    error = program("sample", "--model", trained, "-o", tmp_path / "out").error
    assert_mentions(error, "method 'cyclegan'", "samples", "stylises")
    error = program("stylize", paint(tmp_path / "in.png"), *drawing, "-o", tmp_path / "out").error
    assert_mentions(error, "method 'drawing'", "samples", "`stylekit sample`")
    assert not (tmp_path / "out").exists()


def test_an_image_file_gets_a_sheet_of_all(program: Program, drawing: tuple[str, ...], tmp_path: Path) -> None:
    """Five samples of 6 x 7 pixels: three columns and two rows, with gaps of 4 pixels, on white."""
    sheet, folder = tmp_path / "sheet.png", tmp_path / "folder"
    for out in (sheet, folder):
        assert program("sample", *drawing, "-n", 5, "-o", out).code == 0
    shown = pixels(sheet)
    assert shown.shape == (2 * 6 + 3 * 4, 3 * 7 + 4 * 4, 3)
    for index, image in enumerate(drawn(folder)):
        top, left = 4 + 10 * (index // 3), 4 + 11 * (index % 3)
        assert (shown[top : top + 6, left : left + 7] == image).all()
    assert (shown[14:20, 26:33] == 255).all()
    assert_mentions(program("sample", *drawing, "-o", sheet).error, sheet, "--overwrite")


def test_a_walk_is_a_folder_of_images_or_an_animation(
    program: Program,
    codes: tuple[str, ...],
    drawing: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ["sample", *codes, "-n", 2, "--walk", 3, "-o"]
    assert_mentions(program(*line, tmp_path / "out").err, 6, tmp_path / "out")
    assert program(*line, tmp_path / "walk.webp").code == 0
    frames = images.read_frames(tmp_path / "walk.webp")
    assert (len(frames.frames), frames.loop, frames.durations) == (6, 0, [40] * 6)
    written = [images.read(path).image for path in sorted((tmp_path / "out").iterdir())]
    for frame, image in zip(frames.frames, written, strict=True):
        assert (frame.image - image).abs().max() < 0.1
    with monkeypatch.context() as patch:
        patch.setattr("stylekit.inference.model.Model.walk", lambda *_, **__: pytest.fail("images were drawn"))
        assert_mentions(program(*line, tmp_path / "walk.jpg").error, "walk.jpg", "JPEG", 6)
    error = program("sample", *drawing, "--walk", 3, "-o", tmp_path / "no").error
    assert_mentions(error, "method 'drawing'", "codes")


def test_what_is_neither_an_image_nor_a_folder_is_kept(
    program: Program, drawing: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    assert_mentions(program("sample", *drawing, "-o", tmp_path / "out").error, tmp_path / "out", "folder", "--out")
    assert (tmp_path / "out").read_text() == "mine"
    error = program("sample", *drawing, "-o", tmp_path / "out" / "deeper").error
    assert_mentions(error, tmp_path / "out" / "deeper")
    if os.geteuid() != 0:
        (tmp_path / "shut").mkdir(mode=0o500)
        assert_mentions(program("sample", *drawing, "-o", tmp_path / "shut" / "in").error, tmp_path / "shut" / "in")


@pytest.mark.parametrize("line", [["-n", "0"], ["--count", "-1"], ["--seed", "-1"]])
def test_numbers_out_of_range_are_refused(
    program: Program, drawing: tuple[str, ...], tmp_path: Path, line: list[str]
) -> None:
    result = program("sample", *drawing, *line, "-o", tmp_path / "out")
    assert result.code == 2
    assert not (tmp_path / "out").exists()
