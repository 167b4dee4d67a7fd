"""``stylekit stylize``: targets of many images, inputs that are never overwritten, and reports of failures."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from stylekit.inference.model import Model
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


def test_nested_folders_are_kept_and_formats_that_are_not_written_become_png(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    for name in ("one.png", "deep/er/two.jpg", "deep/three.webp", ".hidden/no.png"):
        paint(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    Image.new("RGB", (9, 9)).save(tmp_path / "four.tga")
    line = [tmp_path / "in", tmp_path / "four.tga", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    result = program("stylize", *line)
    assert (result.code, result.err.count("\n")) == (0, 1)
    assert_mentions(result.err, "4 of 4", tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"one.png", "deep/er/two.jpg", "deep/three.webp", "four.png"}


def test_equal_names_get_numbers_and_no_image_is_lost(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    made = [
        paint(tmp_path / folder / name, seed=seed)
        for seed, (folder, name) in enumerate([("a", "x.png"), ("b", "x.png"), ("b", "x-2.png"), ("c", "x.png")])
    ]
    line = [*(tmp_path / name for name in "abc"), "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 4
    turned = {(255 - pixels(path)).tobytes() for path in written}
    assert turned == {pixels(path).tobytes() for path in made}


def test_an_image_may_be_given_twice(program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path) -> None:
    plugin, model = invert
    one = paint(tmp_path / "a" / "x.png")
    line = [one, one.parent, "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    assert (255 - pixels(tmp_path / "out" / "x.png") == pixels(one)).all()


@pytest.mark.parametrize(
    "spelling", ["the same", "by a relative path", "through a link", "one file", "a link to a file"]
)
def test_an_input_is_never_overwritten(
    program: Program,
    paint: Paint,
    invert: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spelling: str,
) -> None:
    plugin, model = invert
    folder = tmp_path / "in"
    one = paint(folder / "deep" / "one.png")
    paint(folder / "two.png", seed=2)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    (tmp_path / "link.png").symlink_to(one)
    monkeypatch.chdir(tmp_path)
    source, out = {
        "the same": (folder, folder),
        "by a relative path": (folder, "link/../in"),
        "through a link": ("link", folder),
        "one file": (one, one),
        "a link to a file": (one, "link.png"),
    }[spelling]
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    error = program("stylize", source, "--model", model, "--plugin", plugin, "-o", out).error
    assert_mentions(error, "overwritten", "--out")
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


@pytest.mark.parametrize("kind", ["style", "weighted style", "mask"])
def test_no_other_input_is_overwritten_either(program: Program, place: Path, kind: str) -> None:
    before = {path: path.read_bytes() for path in place.iterdir()}
    style = f"{place}/red.png:0.5" if kind == "weighted style" else f"{place}/red.png"
    line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", style]
    line += ["--mask", place / "mask.png"] if kind == "mask" else []
    out = place / ("mask.png" if kind == "mask" else "red.png")
    error = program(*line, "-o", out).error
    assert_mentions(error, out, "overwritten", "--out")
    shutil.copytree(place, place / "in")
    line[1] = place / "in"  # its images of these names would replace the style and the mask
    assert_mentions(program(*line, "-o", place).error, place, "overwritten", "--out")
    assert {path: path.read_bytes() for path in before} == before


def test_a_bad_image_does_not_stop_the_others_and_is_reported_at_the_end(
    program: Program, paint: Paint, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "c.png"):
        paint(folder / name)
    (folder / "b.jpg").write_text("text")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    whole = paint(folder / "long.png", 200, 200).read_bytes()
    (folder / "long.png").write_bytes(whole[: len(whole) // 2])
    result = program("stylize", folder, "--model", trained, "-o", tmp_path / "out")
    assert result.code == 1
    warning, first, _, *failures = result.err.splitlines()
    assert_mentions(warning, "skipped", folder / "gone.png")
    assert_mentions(first, "2 of 4", tmp_path / "out")
    assert [line.split(" ")[0] for line in failures] == [f"{folder}/{name}" for name in ("b.jpg", "long.png")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_an_image_too_large_for_memory_is_refused_before_it_is_stylised(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "big.png", 640, 640)
    paint(tmp_path / "in" / "small.png", 40, 40)
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 2**24)
    line = ["--model", trained, "--device", "cpu", "-o", tmp_path / "out"]
    result = program("stylize", tmp_path / "in", *line)
    assert result.code == 1
    assert_mentions(result.err.splitlines()[-1], tmp_path / "in" / "big.png", "640x640", "16 MiB", "cpu", "factor")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.png"]


def test_an_image_that_cannot_fit_is_refused_by_its_header(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("big.png", "bigger.png"):  # both are read ahead
        paint(tmp_path / "in" / name, 640, 700)
    paint(tmp_path / "in" / "small.png")
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: 2**24)
    decoded: list[tuple[int, int]] = []
    load = PngImageFile.load

    def recorded(self: PngImageFile) -> Any:
        decoded.append(self.size)
        return load(self)

    monkeypatch.setattr(PngImageFile, "load", recorded)
    line = ["--model", trained, "--device", "cpu", "-o", tmp_path / "out"]
    result = program("stylize", tmp_path / "in", *line)
    assert result.code == 1
    for line_, name in zip(result.err.splitlines()[-2:], ("big.png", "bigger.png"), strict=True):
        assert_mentions(line_, tmp_path / "in" / name, "700x640", "MiB")
    assert set(decoded) == {(48, 40)}  # the small one
    assert program("stylize", tmp_path / "in", *line, "--overwrite", "--max-size", "60").code == 0


def test_a_folder_without_write_permission_is_reported(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    plugin, model = invert
    (tmp_path / "shut").mkdir(mode=0o500)
    result = program(
        "stylize", paint(tmp_path / "in.png"), "--model", model, "--plugin", plugin, "-o", tmp_path / "shut"
    )
    assert result.code == 1
    assert "Permission denied" in result.err


def test_an_unexpected_error_names_the_image_and_the_location(
    program: Program, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    plugin.write_text(
        plugin.read_text().replace("return 1 - content", "return {True: content}[bool(content.mean() < 0.5)]")
    )
    for name, color in {"a": "black", "b": "white", "c": "black"}.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), color).save(tmp_path / "in" / f"{name}.png")
    line = ["stylize", tmp_path / "in", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    result = program(*line)
    assert (result.code, result.out) == (1, "")
    first, _, failed = result.err.splitlines()
    assert_mentions(first, "2 of 3", tmp_path / "out")
    assert failed == f"{tmp_path}/in/b.png: KeyError: False, in line 6 of {plugin}"
    assert "Traceback (most recent call last)" in program(*line, "--debug").err


def test_ctrl_c_reports_the_number_of_finished_images_and_their_folder(
    program: Program, paint: Paint, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        paint(place / "in" / f"{number}.png")
    stylize_picture, calls = Model.stylize_picture, []

    def interrupted(self: Model, *given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return stylize_picture(self, *given, **more)

    monkeypatch.setattr(Model, "stylize_picture", interrupted)
    line = ["--model", "color-pca", "--style", place / "red.png", "-o", place / "out", "--json"]
    result = program("stylize", place / "in", *line)
    report = json.loads(result.out)
    written = len(list((place / "out").iterdir()))
    assert 2 <= written <= 5  # images that were being written are finished, and waiting ones are not started
    assert (result.code, result.err.count("\n")) == (130, 1)
    assert_mentions(result.err, "interrupted", f"{written} of 8", place / "out")
    assert (len(report["written"]), report["interrupted"]) == (written, True)


NOISE = """
import torch
from stylekit import Method, hookimpl

class Noise(Method):
    def stylize(self, content, style=None):
        return (content + 0.5 * torch.rand_like(content)).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"noise": Noise}
"""


def test_images_of_a_method_that_draws_differ_and_depend_on_the_seed_and_their_name(
    program: Program, paint: Paint, tmp_path: Path
) -> None:
    (tmp_path / "noise.py").write_text(NOISE)
    for name in ("a.png", "b.png", "deep/a.png"):
        paint(tmp_path / "in" / name)  # three times the same image
    line = ["--plugin", tmp_path / "noise.py", "--model", "noise"]
    for name, seed in {"one": 0, "again": 0, "other": 1}.items():
        assert program("stylize", tmp_path / "in", *line, "--seed", seed, "-o", tmp_path / name).code == 0
    one, again, other = (
        {
            path.relative_to(tmp_path / name).as_posix(): pixels(path).tobytes()
            for path in (tmp_path / name).rglob("*.png")
        }
        for name in ("one", "again", "other")
    )
    assert one.keys() == {"a.png", "b.png", "deep/a.png"}
    assert one == again
    assert len({*one.values(), *other.values()}) == 6
    (tmp_path / "in" / "a.png").unlink()
    assert program("stylize", tmp_path / "in", *line, "-o", tmp_path / "fewer").code == 0
    assert pixels(tmp_path / "fewer" / "b.png").tobytes() == one["b.png"]  # whatever else is in the folder
    assert program("stylize", tmp_path / "in" / "b.png", *line, "-o", tmp_path / "alone.png").code == 0
    assert pixels(tmp_path / "alone.png").tobytes() == one["b.png"]
