"""``stylekit stylize``: what becomes of pictures and folders."""

from __future__ import annotations

import os
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from safetensors.torch import save_file

import stylekit
from stylekit import images, make, plugins
from stylekit.cli.overlap import AHEAD, overlapped
from stylekit.model import Model, load
from stylekit.model_files import save

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


@pytest.fixture(scope="module")
def adain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model for any style."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("adain") / "adain.safetensors"
    save(make("method", "adain", **plugins.find("method", "adain").presets["tiny"]), "adain", path)
    return path


@pytest.fixture
def place(paint: Paint, tmp_path: Path) -> Path:
    """A folder with a photo, two styles, a mask and a style file of ``color-pca``."""
    paint(tmp_path / "photo.png")
    paint(tmp_path / "red.png", 30, 20, seed=1)
    paint(tmp_path / "blue.png", 25, 35, seed=2)
    mask = np.zeros((40, 48), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    model = load("color-pca", "cpu")
    from stylekit.styles import write_style

    write_style(tmp_path / "red.style", model.style(tmp_path / "red.png"))
    return tmp_path


def test_the_command_line_and_python_agree(program: Program, place: Path) -> None:
    lines: list[tuple[list[str], dict[str, object]]] = [
        (["--style", "red.png"], {"style": "red.png"}),
        (["--style", "red.png:0.7", "--style", "blue.png:0.3"], {"style": [("red.png", 0.7), ("blue.png", 0.3)]}),
        (["--style", "red.png", "--mask", "mask.png"], {"style": "red.png", "mask": "mask.png"}),
        (["--style", "red.png", "--strength", "0.4"], {"style": "red.png", "strength": 0.4}),
        (["--style", "red.png", "--keep-color", "histogram"], {"style": "red.png", "keep_color": "histogram"}),
        (["--style", "red.png", "--style-scale", "2.5"], {"style": "red.png", "style_scale": 2.5}),
    ]
    model = load("color-pca", "cpu")
    seen = set()
    for arguments, options in lines:
        line = [f"{place}/{each}" if ".png" in each else each for each in arguments]
        assert program("stylize", place / "photo.png", "--model", "color-pca", *line, "-o", place / "out.png").code == 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            wanted = model.stylize(Image.open("photo.png"), **options)
        assert (pixels(place / "out.png") == np.asarray(wanted)).all(), arguments
        seen.add(pixels(place / "out.png").tobytes())
    assert len(seen) == len(lines)  # each does something of its own


def test_a_model_file_takes_styles(program: Program, adain: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", adain, "--style", place / "red.png", "-o", place / "out.png"]
    assert program(*line).code == 0
    wanted = load(adain).stylize(Image.open(place / "photo.png"), place / "red.png")
    assert (pixels(place / "out.png") == np.asarray(wanted)).all()


def test_a_file_name_may_look_like_one_with_a_weight(program: Program, place: Path) -> None:
    shutil.copy(place / "blue.png", place / "red.png:2")
    line = ["stylize", place / "photo.png", "--model", "color-pca"]
    for style, out in {"red.png:2": "odd.png", "blue.png": "blue-out.png", "red.png:2.0": "red-out.png"}.items():
        assert program(*line, "--style", place / style, "-o", place / out).code == 0
    assert (pixels(place / "odd.png") == pixels(place / "blue-out.png")).all()
    assert (pixels(place / "odd.png") != pixels(place / "red-out.png")).any()


def test_a_style_file_is_what_the_picture_is(program: Program, place: Path) -> None:
    for style in ("red.png", "red.style", "red.style#1"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / style]
        assert program(*line, "-o", place / f"out-{style}.png").code == 0
    assert len({pixels(path).tobytes() for path in place.glob("out-*.png")}) == 1


def test_plain_and_transparent_styles_have_a_meaning(program: Program, place: Path) -> None:
    Image.new("RGB", (1, 1), (255, 204, 204)).save(place / "dot.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 51)).save(place / "glass.png")  # a fifth of red, over white
    for style in ("dot", "glass"):
        line = ["stylize", place / "photo.png", "--model", "color-pca", "--style", place / f"{style}.png"]
        assert program(*line, "-o", place / f"{style}-out.png").code == 0
    assert (pixels(place / "dot-out.png") == (255, 204, 204)).all()
    assert (pixels(place / "glass-out.png") == (255, 204, 204)).all()


ASKED = {
    "a style that is not there": (["--style", "nowhere.jpg"], "There is no style {}/nowhere.jpg. Give a picture."),
    "a style that is no picture": (["--style", "notes.txt"], "{}/notes.txt cannot be read"),
    "a folder for a style": (["--style", "folder"], "{0}/folder is a folder. `stylekit style learn {0}/folder -o mine.style`"),
    "a style of another model": (["--style", "other.style"], "{}/other.style was described by another model"),
    "a damaged style": (["--style", "damaged.style"], "{}/damaged.style is truncated, damaged or no safetensors file"),
    "a style file of another kind": (["--style", "weights.style"], "{}/weights.style is no style file."),
    "a look that is not there": (["--style", "red.style#2"], "The style has the looks 1 to 1, and no look 2."),
    "a look without a number": (["--style", "red.style#two"], "after # comes a look's number"),
    "an empty look": (["--style", "red.style#"], "{}/red.style#: after # comes a look's number."),
    "no style": ([], "The method 'color-pca' needs a style, and none is given. On the command line: --style PICTURE."),
    "weights of zero": (["--style", "red.png:0", "--style", "blue.png:0"], "The weights of the styles sum to zero"),
    "a negative weight": (["--style", "red.png:-1"], "The weight of a style is a number from 0 on, and not -1"),
    "a weight of nan": (["--style", "red.png:nan"], "The weight of a style is a number from 0 on, and not nan."),
    "weights with masks": (["--style", "red.png:2", "--mask", "mask.png"], "With masks each style has its region"),
    "more masks": (["--style", "red.png", "--mask", "mask.png", "--mask", "mask.png"], "there are 2 and 1"),
    "a mask that is no picture": (["--style", "red.png", "--mask", "notes.txt"], "{}/notes.txt cannot be read"),
    "no such mask": (["--style", "red.png", "--mask", "nowhere.png"], "{}/nowhere.png"),
    "a strength above 1": (["--style", "red.png", "--strength", "1.5"], "The strength is a number from 0"),
    "a strength of nan": (["--style", "red.png", "--strength", "nan"], "The strength is a number from 0"),
    "colours kept otherwise": (["--style", "red.png", "--keep-color", "hue"], "Colours are not kept by 'hue'."),
    "a scale of 0": (["--style", "red.png", "--style-scale", "0"], "The style's scale is a number above 0, and not 0.0."),
    "a scaled style file": (["--style", "red.style", "--style-scale", "2"], "red.style is no picture, so it cannot be scaled"),
    "a preview of nothing": (["--style", "red.png", "--preview", "way"], "The method 'color-pca' does not optimise"),
    "steps of nothing": (["--style", "red.png", "--steps", "9"], "The method 'color-pca' has no option 'steps'."),
    "unknown argument": (["--style", "red.png", "--set", "a=1"], "The method 'color-pca' has no option 'a'."),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "told"), ASKED.values(), ids=ASKED)
def test_what_cannot_be_done_is_one_clear_error(program: Program, place: Path, arguments: list[str], told: str) -> None:
    (place / "notes.txt").write_text("no picture")
    (place / "damaged.style").write_bytes((place / "red.style").read_bytes()[:50])
    (place / "folder").mkdir()
    save_file({"a": torch.ones(1)}, place / "weights.style")
    header = {"kind": "style", "key": "0123", "method": "color-pca"}
    save_file({"shares": torch.ones(1), "mean": torch.ones(1, 3)}, place / "other.style", header)
    files = (".png", ".style", ".txt", ".jpg", "folder", "way")
    line = [place / each if any(end in each for end in files) else each for each in arguments]
    error = program("stylize", place / "photo.png", "--model", "color-pca", *line, "-o", place / "out.png").error
    assert told.format(place) in error
    assert not (place / "out.png").exists()


def test_a_method_that_takes_no_style_says_so(program: Program, trained: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", trained, "--style", place / "red.png", "-o", place / "out.png"]
    assert program(*line).error == "The method 'cyclegan' takes no style pictures. Leave the style out."


def test_a_mask_of_another_size_fails_for_that_picture_alone(program: Program, paint: Paint, place: Path) -> None:
    other = paint(place / "other.png", 41, 48)
    line = [
        place / "photo.png",
        other,
        "--model",
        "color-pca",
        "--style",
        place / "red.png",
        "--mask",
        place / "mask.png",
    ]
    told = program("stylize", *line, "-o", place / "out")
    assert told.code == 1
    assert f"{other}: The mask has 48x40 pixels and the picture 48x41. Give one of the picture's size." in told.err
    styled, before = pixels(place / "out" / "photo.png"), pixels(place / "photo.png")
    assert (styled[:, 20:] == before[:, 20:]).all()
    assert (styled[:, :20] != before[:, :20]).any()


def test_an_optimisation_is_watched_and_its_way_kept(program: Program, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--model", "gatys", "--style", place / "red.png", "--init", "noise"]
    small = ["--set", "encoder.scales=3", "--set", "encoder.width=8", "--steps", "20", "--set", "levels=1"]
    told = program(*line, *small, "--preview", place / "way", "-o", place / "out.png")
    assert (told.code, told.out) == (0, ""), told
    kept = sorted(path.name for path in (place / "way").iterdir())
    assert kept == [f"out-{step:05}.png" for step in (1, *range(2, 21, 2))]
    assert (pixels(place / "way" / kept[-1]) == pixels(place / "out.png")).all()
    assert (pixels(place / "way" / kept[0]) != pixels(place / "out.png")).any()


def test_a_model_that_is_not_there(program: Program, place: Path) -> None:
    told = program("stylize", place / "photo.png", "--model", "nowhere", "-o", place / "out.png").error
    assert told.startswith(
        "There is no model nowhere. Give a run's folder, such as runs/NAME, a .safetensors file, or a name"
    )


def test_steps_overlap_in_order_and_few_are_held_at_once() -> None:
    read: list[int] = []
    written: list[int] = []
    most, main = 0, threading.get_ident()
    lock = threading.Lock()

    def load_it(item: int) -> int:
        nonlocal most
        with lock:
            read.append(item)
            most = max(most, len(read) - len(written))
        assert threading.get_ident() != main
        if item % 5 == 0:
            raise OSError(f"cannot read {item}")
        return 10 * item

    def make_it(item: int, given: int) -> int:
        assert threading.get_ident() == main
        if item % 7 == 0:
            raise stylekit.StylekitError(f"cannot make {item}")
        return given + 1

    def write_it(item: int, made: int) -> None:
        assert made == 10 * item + 1
        assert threading.get_ident() != main
        with lock:
            written.append(item)

    found = list(overlapped(range(1, 31), load_it, make_it, write_it))
    assert [item for item, _ in found] == list(range(1, 31))
    failed = {item: str(error) for item, error in found if error}
    assert failed == {
        item: f"cannot {'read' if item % 5 == 0 else 'make'} {item}"
        for item in range(1, 31)
        if not item % 5 or not item % 7
    }
    assert sorted(written) == [item for item in range(1, 31) if item not in failed]
    done = len(failed)  # what failed is never written, and holds nothing
    assert most <= 2 * AHEAD + 2 + done


def test_what_no_one_expected_fails_alone_and_ctrl_c_ends_it_at_once() -> None:
    begun: list[int] = []

    def make_it(item: int, given: int, error: type[BaseException]) -> int:
        begun.append(item)
        if item % 2:
            raise error(f"at {item}")
        return given

    found = overlapped(range(5), lambda item: item, partial(make_it, error=KeyError), lambda item, made: None)
    assert [(item, repr(error)) for item, error in found if error] == [(1, "KeyError('at 1')"), (3, "KeyError('at 3')")]
    begun.clear()
    with pytest.raises(KeyboardInterrupt):
        list(
            overlapped(range(5), lambda item: item, partial(make_it, error=KeyboardInterrupt), lambda item, made: None)
        )
    assert begun == [0, 1]


def test_an_error_that_no_one_expected_names_the_picture_and_the_place(
    program: Program, invert: tuple[Path, Path], tmp_path: Path
) -> None:
    plugin, model = invert
    plugin.write_text(INVERT.replace("return 1 - content", "return {True: content}[bool(content.mean() < 0.5)]"))
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


def test_a_folder_does_not_hide_a_name(
    program: Program, place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    line = ["stylize", "photo.png", "--style", "red.png", "-o", "color-pca"]
    for _ in range(2):  # the second time there is a folder of that name
        assert program(*line, "--model", "color-pca").code == 0
    assert program(*line, "--model", "./color-pca").error.startswith("The folder color-pca holds no model")
    shutil.copy(trained / "model.safetensors", place / "color-pca" / "model.safetensors")
    assert load("color-pca", "cpu").name == "cyclegan"  # a folder with a model goes before the name


def test_arguments_reach_the_method_alone(program: Program, adain: Path, place: Path) -> None:
    line = ["stylize", place / "photo.png", "--style", place / "red.png", "-o", place / "out.png", "--set"]
    said = "--set takes arguments of the method, and {!r} is none: give {}."
    assert program(*line, "device=cpu").error == said.format("device", "--device")
    assert program(*line, "method=gatys").error == said.format("method", "--model")
    assert program(*line, "steps=2", "--model", "gatys", "--steps", "6").error == (
        "--steps is short for --set steps=..., and both are given. Leave one of them out."
    )
    assert program(*line, "encoder.seed=3", "--model", adain).code == 0
    assert load(adain, "cpu", **{"encoder.seed": 3}).method.arguments["encoder"]["seed"] == 3
    error = program(*line, "encoder.sead=3", "--model", adain).error
    assert error.startswith(f"{adain} holds a model that cannot be built here.")
    assert "has no option 'sead'. Did you mean 'seed'" in error
    assert "The method 'adain' has no option 'encodr'." in program(*line, "encodr.seed=3", "--model", adain).error


QUICK = ("--set", "encoder.scales=2", "--set", "encoder.width=4", "--set", "levels=1", "--steps", 2)


def test_every_picture_and_every_region_has_a_way_of_its_own(program: Program, paint: Paint, place: Path) -> None:
    for name in ("a.png", "deep/a.png", "deep/a.jpg"):
        paint(place / "in" / name)
    line = [
        "--model",
        "gatys",
        "--style",
        place / "red.png",
        "--style",
        place / "blue.png",
        "--mask",
        place / "mask.png",
    ]
    told = program("stylize", place / "in", *line, *QUICK, "--preview", place / "way", "-o", place / "out")
    assert told.code == 0, told
    kept = {path.relative_to(place / "way").as_posix() for path in (place / "way").rglob("*.png")}
    names = ("a", "deep/a", "deep/a-2")
    assert kept == {f"{name}-region-{region}-0000{step}.png" for name in names for region in (1, 2) for step in (1, 2)}


def test_a_way_is_not_kept_in_place_of_an_input_or_in_a_file(program: Program, paint: Paint, place: Path) -> None:
    paint(place / "in" / "photo.png")
    other = paint(place / "in" / "photo-00002.png", seed=1)
    line = ["--model", "gatys", "--style", place / "red.png", *QUICK, "-o", place / "out"]
    before = other.read_bytes()
    error = program("stylize", place / "in", *line, "--preview", place / "in").error
    assert error == f"{other} could be overwritten by pictures along the way. Give another --preview."
    error = program("stylize", place / "in", *line, "--preview", place / "out").error  # a finished picture
    assert error.startswith(f"{place}/out/photo-00002.png could be overwritten")
    assert other.read_bytes() == before
    error = program("stylize", place / "in", *line, "--preview", place / "photo.png").error
    assert error == f"{place}/photo.png cannot be written: File exists."
    assert not (place / "out").exists()


def test_a_method_is_watched_only_while_the_program_runs(
    program: Program, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"encoder": {"name": "random", "scales": 2, "width": 4}, "levels": 1, "steps": 2}
    model, seen = load("gatys", "cpu", **small), []
    monkeypatch.setattr("stylekit.model.load", lambda *given, **more: model)
    monkeypatch.setattr("stylekit.cli.stylize._Watched.__call__", lambda *given: seen.append(given[1]))
    line = ["--model", "gatys", "--style", place / "red.png", "-o", place / "out.png"]
    assert program("stylize", place / "photo.png", *line).code == 0
    assert seen == [1, 2]
    assert model.method.watch is None
