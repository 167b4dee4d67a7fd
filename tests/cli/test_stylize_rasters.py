"""``stylekit stylize`` with a model that was trained on values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import stylekit
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program

FORMAT = """
import numpy as np
from stylekit import hookimpl

class Raw:
    def read(self, path):
        values = np.frombuffer(path.read_bytes(), "<i2").reshape(1, 24, 40, 1)
        return values, "as it was"

    def encode(self, values, original):
        return original.encode() + values.astype("<i2").tobytes()

@hookimpl
def stylekit_image_formats():
    return {".raw.gz": Raw()}
"""


def slices(seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-1200, 900, (24, 40)).astype(np.int16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A restorer of slices in Hounsfield units."""
    folder = tmp_path_factory.mktemp("slices")
    np.save(folder / "0.npy", slices())
    data = {"name": "rasters", "window": [-1000, 400], "content": str(folder)}
    given = {"generator": {"name": "nafnet", "width": 4, "blocks": [1, 1]}, "channels": 1}
    out = tmp_path_factory.mktemp("rasters") / "run"
    return stylekit.train("restore", out=out, size=24, steps=1, workers=0, device="cpu", data=data, set=given)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tifffile.imwrite(tmp_path / "ct.tif", slices())
    (tmp_path / "folder").mkdir()
    for number in range(2):
        np.save(tmp_path / f"folder/{number}.npy", slices(number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_slice_comes_back_in_its_type_and_range(program: Program, run: Path) -> None:
    result = program("stylize", "ct.tif", "--model", run, "--device", "cpu", "-o", "out.tif")
    assert (result.code, result.out) == (0, "")
    outside = int(((slices() < -1000) | (slices() > 400)).sum())
    assert_mentions(result.err, "ct.tif", f"{outside:,} of 960", "wrote 1 of 1 images to out.tif")
    made = tifffile.imread("out.tif")
    assert made.dtype == np.int16
    with pytest.warns(stylekit.StylekitWarning, match="outside"):
        by_hand = stylekit.load(run, "cpu").stylize(slices())
    assert np.array_equal(made, by_hand)


def test_at_strength_0_the_values_are_those_of_the_file(program: Program, run: Path) -> None:
    program("stylize", "ct.tif", "--model", run, "--device", "cpu", "-o", "out.npy", "--strength", 0)
    assert np.array_equal(np.load("out.npy"), slices())


def test_a_folder_of_values_and_masks_and_tiles(program: Program, run: Path) -> None:
    Image.fromarray(np.zeros((24, 40), np.uint8)).save("mask.png")
    line = (
        "--model",
        run,
        "--device",
        "cpu",
        "-o",
        "out",
        "--mask",
        "mask.png",
        "--tile",
        128,
        "--name",
        "{name}-done",
    )
    assert program("stylize", "folder", *line).code == 0
    for number in range(2):
        assert np.array_equal(np.load(f"out/{number}-done.npy"), slices(number))


def test_a_format_of_a_plugin_is_read_and_written(program: Program, run: Path) -> None:
    Path("raw.py").write_text(FORMAT)
    Path("ct.raw.gz").write_bytes(slices().astype("<i2").tobytes())
    line = ("--model", run, "--device", "cpu", "--plugin", "raw.py", "--strength", 0, "-o", "out")
    assert program("stylize", "ct.raw.gz", *line).code == 0
    assert Path("out/ct.raw.gz").read_bytes() == b"as it was" + slices().astype("<i2").tobytes()
    assert program("stylize", "ct.raw.gz", *line[:-1], "out.raw.gz").code == 0
    assert np.frombuffer(Path("out.raw.gz").read_bytes()[9:], "<i2").tolist() == slices().ravel().tolist()


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("ct.tif -o out.tif --depth 16", ["--depth", "RGB pictures"]),
        ("ct.tif -o out.tif --max-size 20", ["--max-size", "RGB pictures"]),
        ("ct.tif -o out.tif --keep-color luminance", ["--keep-color"]),
        ("folder -o out --clip", ["--clip", "RGB pictures"]),
    ],
)
def test_options_of_pictures_are_refused(program: Program, run: Path, line: str, facts: list[object]) -> None:
    assert_mentions(program("stylize", *line.split(), "--model", run, "--device", "cpu").error, *facts)
    assert not list(Path().glob("out*"))


@pytest.mark.parametrize(
    ("name", "out", "facts"),
    [
        ("color.tif", "out.tif", ["color.tif", "3 channels", "1 is needed"]),
        ("ct.tif", "out.png", ["ct.tif", "out.png", "int16", ".tif or .npy"]),
        ("text.npy", "out.npy", ["text.npy", "cannot be read"]),
    ],
)
def test_what_fails_is_reported(program: Program, run: Path, name: str, out: str, facts: list[object]) -> None:
    tifffile.imwrite("color.tif", np.zeros((24, 40, 3), np.uint8), photometric="rgb")
    Path("text.npy").write_text("no values")
    result = program("stylize", name, "--model", run, "--device", "cpu", "-o", out)
    assert result.code == 1
    assert_mentions(result.err, *facts)
    assert not Path(out).exists()


@pytest.mark.parametrize(
    "line",
    [
        "video frames -o out",
        "video frames -o out --steady off",
        "evaluate --content frames --truth frames --metric psnr -o out",
        "stylize photo.png --model color-pca -o out.png",
    ],
)
def test_what_takes_pictures_refuses_a_model_for_values(program: Program, run: Path, line: str) -> None:
    """Videos, evaluations and rows of models."""
    Path("frames").mkdir()
    for path in ("frames/1.png", "frames/2.png", "photo.png"):
        Image.fromarray(np.zeros((24, 40, 3), np.uint8)).save(path)
    command, *rest = line.split()
    model = [run] if command == "evaluate" else ["--model", run]
    error = program(command, *model, *rest, "--device", "cpu").error
    assert_mentions(error, "'restore'", "values with 1 channel", "RGB pictures")
    assert not list(Path().glob("out*"))


def test_the_server_refuses_it_too(program: Program, run: Path) -> None:
    pytest.importorskip("fastapi")
    error = program("serve", "--model", run, "--device", "cpu", "--port", 0).error
    assert_mentions(error, run, "files of values", "RGB pictures")


def test_a_model_for_pictures_writes_no_values(program: Program, trained: Path) -> None:
    Image.fromarray(np.zeros((24, 40), np.uint8)).save("photo.png")
    error = program("stylize", "photo.png", "--model", trained, "--device", "cpu", "-o", "out.npy").error
    assert_mentions(error, "out.npy", trained, "'rasters'", ".png")
