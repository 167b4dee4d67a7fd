"""``stylekit stylize``: what becomes of pictures and folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

import stylekit
from stylekit import images

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

INVERT = """
from stylekit import Method, hookimpl

class Invert(Method):
    def stylize(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"invert": Invert}
"""


@pytest.fixture
def invert(tmp_path: Path) -> tuple[Path, Path]:
    """A method without weights in a plugin file of its own, and a model of it."""
    plugin, model = tmp_path / "invert_it.py", tmp_path / "invert.safetensors"
    plugin.write_text(INVERT)
    namespace: dict[str, type[stylekit.Method]] = {}
    exec(INVERT, namespace)
    from stylekit.model import save

    save(namespace["Invert"](), "invert", model)
    return plugin, model


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 90), (300, 7), (479, 641)])
def test_every_size_is_kept(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, height: int, width: int
) -> None:
    paint(tmp_path / "in.png", height, width)
    told = program("stylize", tmp_path / "in.png", "--model", trained, "-o", tmp_path / "out.png")
    assert (told.code, told.out) == (0, "")
    assert told.err == f"1 of 1 pictures are in {tmp_path}/out.png\n"
    assert pixels(tmp_path / "out.png").shape == (height, width, 3)
    if height > 1:
        assert (pixels(tmp_path / "out.png") != pixels(tmp_path / "in.png")).any()


def test_alpha_is_kept_exactly_and_hidden_colours_do_not_matter(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    alpha = np.arange(40 * 48, dtype=np.uint32).reshape(40, 48).astype(np.uint8)
    colours = np.full((40, 48, 3), 128, np.uint8)
    for name, hidden in {"black.png": 0, "white.png": 255}.items():
        colours[alpha == 0] = hidden
        Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / name)
    line = [tmp_path / "black.png", tmp_path / "white.png", "--model", trained, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    black, white = (pixels(tmp_path / "out" / name) for name in ("black.png", "white.png"))
    assert (black[..., 3] == alpha).all()
    assert (black == white).all()


def test_orientation_is_applied_and_the_other_notes_and_the_profile_are_kept(
    program: Program, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "somebody"  # turned by a quarter
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (30, 20), "white")
    picture.paste("black", (0, 0, 10, 10))
    picture.save(tmp_path / "in.jpg", exif=exif, icc_profile=profile, quality=95)
    line = [tmp_path / "in.jpg", "--model", model, "--plugin", plugin, "-o", tmp_path / "out.jpg"]
    assert program("stylize", *line).code == 0
    out = Image.open(tmp_path / "out.jpg")
    assert out.size == (20, 30)
    assert out.convert("L").point(lambda v: v > 128).getbbox() == (10, 0, 20, 10)  # the corner, now at the right
    assert ExifTags.Base.Orientation not in out.getexif()
    assert out.getexif()[ExifTags.Base.Artist] == "somebody"
    assert out.info["icc_profile"] == profile


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


def test_memory_that_is_not_there_is_told_before_it_is_tried(
    program: Program, paint: Paint, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "in" / "big.png", 640, 640)
    paint(tmp_path / "in" / "small.png", 40, 40)
    monkeypatch.setattr("stylekit.model.free_memory", lambda device: 2**24)
    told = program("stylize", tmp_path / "in", "--model", trained, "-o", tmp_path / "out")
    assert told.code == 1
    assert f"{tmp_path}/in/big.png: 640x640 pixels need about 0." in told.err
    assert "GiB with this model, and 0.0 GiB are free on cpu. Make the picture smaller, by a factor of" in told.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.png"]


def test_the_other_direction_is_another_network(program: Program, folders: Path, trained: Path, tmp_path: Path) -> None:
    for out, direction in {"usual": [], "ab": ["--direction", "a-to-b"], "ba": ["--direction", "b-to-a"]}.items():
        line = [folders / "a" / "0.png", "--model", trained, "-o", tmp_path / out, *direction]
        assert program("stylize", *line).code == 0
    usual, ab, ba = (pixels(tmp_path / out / "0.png") for out in ("usual", "ab", "ba"))
    assert (usual == ab).all()
    assert (ab != ba).any()


def test_a_model_is_a_run_a_file_or_a_checkpoint(
    program: Program, folders: Path, trained: Path, tmp_path: Path
) -> None:
    shutil.copy(trained / "model.safetensors", tmp_path / "renamed.safetensors")
    for name, model in {
        "run": trained,
        "file": tmp_path / "renamed.safetensors",
        "checkpoint": trained / "checkpoints" / "1",
    }.items():
        line = [folders / "a" / "0.png", "--model", model, "-o", tmp_path / f"{name}.png"]
        assert program("stylize", *line).code == 0
    run, file, checkpoint = (pixels(tmp_path / f"{name}.png") for name in ("run", "file", "checkpoint"))
    assert (run == file).all()
    assert (run != checkpoint).any()  # the run's model holds averaged weights


def test_a_method_in_a_plugin_file_is_asked_for_by_that_file(
    program: Program, paint: Paint, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    line = [paint(tmp_path / "in.png"), "--model", model, "-o", tmp_path / "out.png"]
    assert "name its file with --plugin FILE.py" in program("stylize", *line).error
    assert program("stylize", *line, "--plugin", plugin).code == 0
    assert (255 - pixels(tmp_path / "out.png") == pixels(tmp_path / "in.png")).all()


def test_it_works_in_a_process_of_its_own(apart: Program, folders: Path, trained: Path, tmp_path: Path) -> None:
    told = apart("stylize", folders / "a", "--model", trained, "-o", tmp_path / "out")
    assert (told.code, told.out, told.err) == (0, "", f"3 of 3 pictures are in {tmp_path}/out\n")


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


def test_sixteen_bits_and_grey_are_read(program: Program, invert: tuple[Path, Path], tmp_path: Path) -> None:
    plugin, model = invert
    Image.fromarray(np.full((5, 6), 65535, np.uint16)).save(tmp_path / "deep.png")
    Image.new("L", (6, 5), 255).save(tmp_path / "grey.png")
    line = [tmp_path / "deep.png", tmp_path / "grey.png", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]
    assert program("stylize", *line).code == 0
    for name in ("deep.png", "grey.png"):
        assert not images.read(tmp_path / "out" / name).image.any()
