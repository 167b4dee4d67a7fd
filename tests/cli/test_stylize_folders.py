"""``stylekit stylize``: where many pictures go, which are never overwritten, and what is told of those that fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from stylekit.inference.model import Model
from tests.cli.pixels import pixels

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


def test_a_folder_keeps_its_nested_places_and_other_suffixes_become_png(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    for name in ("one.png", "deep/er/two.jpg", "deep/three.webp", ".hidden/no.png"):
        paint(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    Image.new("RGB", (9, 9)).save(tmp_path / "four.gif")
    line = [tmp_path / "in", tmp_path / "four.gif", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    told = program("stylize", *line)
    assert (told.code, told.err) == (0, f"4 of 4 pictures are in {tmp_path}/out\n")
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"one.png", "deep/er/two.jpg", "deep/three.webp", "four.png"}


def test_equal_names_are_numbered_and_none_is_lost(
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


def test_a_picture_may_be_named_twice(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    one = paint(tmp_path / "a" / "x.png")
    line = [one, one.parent, "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    assert (255 - pixels(tmp_path / "out" / "x.png") == pixels(one)).all()


@pytest.mark.parametrize("way", ["the same", "by a relative path", "through a link", "one file", "a link to a file"])
def test_an_input_is_never_overwritten(
    program: Program,
    paint: Paint,
    invert: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
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
    }[way]
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    told = program("stylize", source, "--model", model, "--plugin", plugin, "-o", out).error
    assert "is one of the pictures to read, and is not overwritten. Give another --out." in told
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


@pytest.mark.parametrize("kind", ["style", "weighted style", "mask"])
def test_no_other_input_is_overwritten_either(program: Program, place: Path, kind: str) -> None:
    before = {path: path.read_bytes() for path in place.iterdir()}
    style = f"{place}/red.png:0.5" if kind == "weighted style" else f"{place}/red.png"
    line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", style]
    line += ["--mask", place / "mask.png"] if kind == "mask" else []
    out = place / ("mask.png" if kind == "mask" else "red.png")
    error = program(*line, "-o", out).error
    assert error == f"{out} is one of the pictures to read, and is not overwritten. Give another --out."
    shutil.copytree(place, place / "in")
    line[1] = place / "in"  # whose pictures of these names would go to the place of the style and of the mask
    assert "is not overwritten" in program(*line, "-o", place).error
    assert {path: path.read_bytes() for path in before} == before


def test_a_bad_picture_does_not_stop_the_others_and_is_told_at_the_end(
    program: Program, paint: Paint, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "c.png"):
        paint(folder / name)
    (folder / "b.jpg").write_text("text")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    whole = paint(folder / "long.png", 200, 200).read_bytes()
    (folder / "long.png").write_bytes(whole[: len(whole) // 2])
    told = program("stylize", folder, "--model", trained, "-o", tmp_path / "out")
    assert told.code == 1
    first, second, *failures = told.err.splitlines()
    assert (first, second) == (f"2 of 5 pictures are in {tmp_path}/out", "These failed:")
    assert [line.partition(" cannot be read: ")[0] for line in failures] == [
        f"{folder}/{name}" for name in ("b.jpg", "gone.png", "long.png")
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_memory_that_is_not_there_is_told_before_it_is_tried(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "big.png", 640, 640)
    paint(tmp_path / "in" / "small.png", 40, 40)
    monkeypatch.setattr("stylekit.inference.model.free_memory", lambda device: 2**24)
    told = program("stylize", tmp_path / "in", "--model", trained, "-o", tmp_path / "out")
    assert told.code == 1
    assert f"{tmp_path}/in/big.png: 640x640 pixels need about 0." in told.err
    assert "GiB with this model, and 0.0 GiB are free on cpu. Make the picture smaller, by a factor of" in told.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.png"]


def test_a_folder_that_may_not_be_written_is_told_for_each(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    plugin, model = invert
    (tmp_path / "shut").mkdir(mode=0o500)
    told = program("stylize", paint(tmp_path / "in.png"), "--model", model, "--plugin", plugin, "-o", tmp_path / "shut")
    assert told.code == 1
    assert "Permission denied" in told.err


def test_an_error_that_no_one_expected_names_the_picture_and_the_place(
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
    told = program(*line)
    assert (told.code, told.out) == (1, "")
    assert told.err.splitlines() == [
        f"2 of 3 pictures are in {tmp_path}/out",
        "These failed:",
        f"{tmp_path}/in/b.png: KeyError: False, in line 6 of {plugin}",
    ]
    assert "Traceback (most recent call last)" in program(*line, "--debug").err


def test_ctrl_c_tells_how_many_are_done_and_where(
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
    line = ["--model", "color-pca", "--style", place / "red.png", "-o", place / "out"]
    told = program("stylize", place / "in", *line)
    there = len(list((place / "out").iterdir()))
    assert 2 <= there <= 5  # those that were being written are finished, and those that waited are not begun
    assert (told.code, told.err) == (130, f"Interrupted: {there} of 8 pictures are in {place}/out\n")
