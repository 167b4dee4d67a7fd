"""``stylekit stylize``: existing files are not replaced, and how outputs are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from stylekit import StylekitError, images
from stylekit.cli.naming import Template, distinct
from stylekit.cli.targets import check_folder
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.fixture
def line(paint: Paint, invert: tuple[Path, Path], tmp_path: Path) -> list[object]:
    """A command line that inverts the two images of a folder."""
    plugin, model = invert
    for seed, name in enumerate(("a.png", "deep/b.jpg")):
        paint(tmp_path / "in" / name, seed=seed)
    return ["stylize", tmp_path / "in", "--model", model, "--plugin", plugin, "-o", tmp_path / "out"]


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_outputs_that_exist_are_refused_skipped_or_replaced(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    mine = tmp_path / "out" / "a.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    assert_mentions(program(*line).error, "1 of 2", mine, "--skip-existing", "--overwrite")
    assert names(tmp_path / "out") == {"a.png"}  # nothing was stylised
    result = program(*line, "--skip-existing")
    assert (result.code, mine.read_bytes()) == (0, b"mine")
    assert_mentions(result.err, "wrote 1 of 1", "skipped 1 that exist")
    result = program(*line, "--skip-existing")
    assert result.code == 0
    assert_mentions(result.err, "wrote nothing", "skipped 2 that exist")
    assert_mentions(program(*line, "--skip-existing", "--overwrite").error, "--skip-existing", "--overwrite")
    assert program(*line, "--overwrite").code == 0
    assert (pixels(mine) == 255 - pixels(tmp_path / "in" / "a.png")).all()


def test_a_single_output_and_a_link_to_nowhere_are_kept_too(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    for target in (tmp_path / "mine.png", tmp_path / "link.png"):
        one = [line[0], tmp_path / "in" / "a.png", *line[2:-1], target]
        (tmp_path / "mine.png").write_bytes(b"mine")
        (tmp_path / "link.png").unlink(missing_ok=True)
        (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
        assert_mentions(program(*one).error, target, "--overwrite")
        assert (tmp_path / "mine.png").read_bytes() == b"mine"
        assert program(*one, "--overwrite").code == 0
        assert pixels(target).shape == (40, 48, 3)


def test_results_below_the_folder_of_images_are_not_stylised_again(
    program: Program, line: list[object], tmp_path: Path
) -> None:
    inside = [*line[:-1], tmp_path / "in" / "out"]
    for extra in ((), ("--skip-existing",), ("--overwrite",)):
        result = program(*inside, *extra)
        assert result.code == 0, result
    assert names(tmp_path / "in" / "out") == {"a.png", "deep/b.jpg"}
    named = [line[0], tmp_path / "in" / "out" / "a.png", *line[2:]]
    assert program(*named).code == 0  # an image that the user names is stylised wherever it is


def test_a_template_names_the_outputs(program: Program, line: list[object], tmp_path: Path) -> None:
    for template, expected in {
        "{name}-{model}": {"a-invert.png", "deep/b-invert.jpg"},
        "{model}/{number}": {"invert/1.png", "invert/deep/2.jpg"},
        "it": {"it.png", "deep/it.jpg"},
        "{{{name}}}.v2": {"{a}.v2.png", "deep/{b}.v2.jpg"},
    }.items():
        folder = tmp_path / template.replace("/", "_")
        assert program(*line[:-1], folder, "--name", template).code == 0
        assert names(folder) == expected


@pytest.mark.parametrize(
    ("template", "facts"),
    [
        ("{nmae}", ["'nmae'", "did you mean 'name'", "model, name, number, style"]),
        ("{name.stem}", ["'name.stem'", "name"]),
        ("{name!r}", ["'{name!r}'", "name"]),
        ("{}", ["''", "name"]),
        ("{name", ["'{name'", "brace"]),
        ("", ["''", "'{name}-{style}'"]),
        ("../{name}", ["'../{name}'", "output folder"]),
        ("/tmp/{name}", ["'/tmp/{name}'", "output folder"]),
        ("{name}/", ["'{name}/'", "output folder"]),
        ("{name}.jpg", ["'{name}.jpg'", "--format"]),
        ("{name}-{style}", ["'{name}-{style}'", "--style"]),
    ],
)
def test_templates_that_are_refused(
    program: Program, line: list[object], tmp_path: Path, template: str, facts: list[str]
) -> None:
    assert_mentions(program(*line, "--name", template).error, *facts)
    assert not (tmp_path / "out").exists()


def test_no_field_leaves_the_output_folder() -> None:
    path = Template("{style}/{name}").path(Path("deep/a.png"), style="../../etc/it")
    assert path == Path(".._.._etc_it/deep/a")
    with pytest.raises(StylekitError, match="names no file"):
        Template("{style}/{name}").path(Path("a.png"), style="..")


def test_equal_paths_get_numbers() -> None:
    paths = [Path(name) for name in ("d/x.png", "d/x.png", "x.png", "d/x-2.png", "d/x.jpg")]
    assert [path.as_posix() for path in distinct(paths)] == ["d/x.png", "d/x-2.png", "x.png", "d/x-2-2.png", "d/x.jpg"]


def test_a_format_is_chosen_for_all_outputs(program: Program, line: list[object], tmp_path: Path) -> None:
    assert program(*line, "--format", "webp").code == 0
    assert names(tmp_path / "out") == {"a.webp", "deep/b.webp"}
    assert_mentions(program(*line, "--format", "pgn").error, "'pgn'", "did you mean 'png'", "jpg")
    one = [line[0], tmp_path / "in" / "a.png", *line[2:-1], tmp_path / "it.jpeg", "--format"]
    assert program(*one, "jpg").code == 0  # the same format
    assert_mentions(program(*one, "png").error, "--format png", tmp_path / "it.jpeg")
    assert_mentions(program(*one[:-1], "--name", "x").error, "--name", tmp_path / "it.jpeg")


def test_the_quality_of_lossy_formats_is_chosen(program: Program, line: list[object], tmp_path: Path) -> None:
    sizes = []
    for quality in (20, 90):
        assert program(*line, "--format", "jpg", "--quality", quality, "--overwrite").code == 0
        sizes.append((tmp_path / "out" / "a.jpg").stat().st_size)
    assert sizes[0] < 0.7 * sizes[1]
    assert_mentions(program(*line, "--format", "png", "--quality", 20).error, "--quality", "JPEG")
    assert program(*line, "--quality", 101).code == 2


def test_the_depth_is_chosen_or_that_of_the_image(program: Program, line: list[object], tmp_path: Path) -> None:
    deep = np.full((4, 4), 40000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "in" / "deep.png")
    for name, extra in {"own": (), "8": ("--depth", 8), "16": ("--format", "png", "--depth", 16)}.items():
        assert program(*line[:-1], tmp_path / name, *extra).code == 0
    depths = {
        name: [images.read(tmp_path / name / f"{stem}.png").depth for stem in ("deep", "a")]
        for name in ("own", "8", "16")
    }
    assert depths == {"own": [16, 8], "8": [8, 8], "16": [16, 16]}
    assert (images.read(tmp_path / "16" / "deep.png").image * 65535).round().unique().tolist() == [65535 - 40000]
    error = program(*line, "--depth", 16).error
    assert_mentions(error, "--depth 16", tmp_path / "out" / "deep" / "b.jpg", "--format png")
    assert_mentions(program(*line, "--depth", 12).error, "--depth", 12)


def test_large_images_are_reduced(program: Program, paint: Paint, line: list[object], tmp_path: Path) -> None:
    paint(tmp_path / "in" / "wide.png", 30, 120)
    assert program(*line, "--max-size", 60).code == 0
    assert pixels(tmp_path / "out" / "wide.png").shape == (15, 60, 3)
    assert pixels(tmp_path / "out" / "a.png").shape == (40, 48, 3)  # not enlarged


def test_json_reports_what_was_written_skipped_and_failed(program: Program, line: list[object], tmp_path: Path) -> None:
    (tmp_path / "in" / "broken.png").write_text("text")
    assert program(line[0], tmp_path / "in" / "a.png", *line[2:]).code == 0
    result = program(*line, "--skip-existing", "--json")
    assert (result.code, result.out.count("\n")) == (1, 1)
    report = json.loads(result.out)
    [written] = report["written"]
    assert written.pop("seconds") >= 0
    assert written == {
        "source": f"{tmp_path}/in/deep/b.jpg",
        "target": f"{tmp_path}/out/deep/b.jpg",
        "style": None,
        "width": 48,
        "height": 40,
        "frames": 1,
    }
    assert report["skipped"] == [{"source": f"{tmp_path}/in/a.png", "target": f"{tmp_path}/out/a.png", "style": None}]
    [failed] = report["failed"]
    assert failed["source"] == f"{tmp_path}/in/broken.png"
    assert failed["error"] in result.err
    assert report["interrupted"] is False


def test_the_exit_code_is_1_if_all_images_fail(program: Program, line: list[object], tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    result = program("stylize", tmp_path / "empty.png", *line[2:])
    assert result.code == 1
    assert_mentions(result.err, "wrote 0 of 1 images", "empty.png cannot be read: it is empty.")
    assert "1 if some or all failed" in " ".join(program("stylize", "--help").out.split())


def test_quiet_prints_failures_only(program: Program, line: list[object], tmp_path: Path) -> None:
    result = program(*line, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    (tmp_path / "in" / "broken.png").write_text("text")
    result = program(*line, "--quiet", "--overwrite")
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 2)
    assert_mentions(result.err, tmp_path / "in" / "broken.png")


def test_names_with_line_breaks_are_reported_whole(program: Program, line: list[object], tmp_path: Path) -> None:
    (tmp_path / "in" / "two\nlines\r.png").write_text("text")
    (tmp_path / "in" / "lost-\udcff.png").write_text("text")
    result = program(*line)
    assert result.code == 1
    *_, first, second = result.err.splitlines()
    assert_mentions(first, "lost-", ".png cannot be read")
    assert_mentions(second, "two\\nlines\\r.png cannot be read")


def test_a_format_in_a_field_is_not_called_an_unknown_field() -> None:
    with pytest.raises(StylekitError, match=r"format after 'number'.*padded"):
        Template("{number:03}")


@pytest.mark.parametrize("out", ["out.jpgg", "out.jxl", "out.svg"])
def test_a_file_of_another_format_is_not_taken_for_a_folder(out: str, tmp_path: Path) -> None:
    with pytest.raises(StylekitError, match="cannot write images of the format of"):
        check_folder(tmp_path / out)
    (tmp_path / out).mkdir()
    check_folder(tmp_path / out)


@pytest.mark.parametrize("out", ["v1.0", "2026.11.28", "st.ives", "a.bc"])
def test_a_folder_may_have_dots_in_its_name(out: str, tmp_path: Path) -> None:
    check_folder(tmp_path / out)
