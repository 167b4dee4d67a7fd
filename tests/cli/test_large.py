"""``stylekit stylize``: large images, in tiles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from stylekit import StylekitError, make
from stylekit.cli.large import read_size
from stylekit.images import Canvas
from stylekit.inference.model import Model
from stylekit.inference.model_files import save_model
from stylekit_plugins.methods.restore import Restore
from tests.cli.pixels import pixels
from tests.facts import assert_mentions, raises

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.fixture
def line(paint: Paint, tmp_path: Path) -> list[object]:
    """A command line that recolours a large image in the statistics of another, which are measured exactly."""
    paint(tmp_path / "large.png", 300, 400)
    paint(tmp_path / "style.png", seed=1)
    return ["stylize", tmp_path / "large.png", "--style", tmp_path / "style.png", "--model", "color-pca", "-o"]


def test_a_large_image_in_tiles_is_the_same_as_at_once(program: Program, line: list[object], tmp_path: Path) -> None:
    assert program(*line, tmp_path / "whole.png").code == 0
    result = program(*line, tmp_path / "tiled.png", "--tile", 128, "--json")
    assert result.code == 0
    assert json.loads(result.out)["written"][0]["height"] == 300
    difference = pixels(tmp_path / "tiled.png").astype(int) - pixels(tmp_path / "whole.png")
    assert abs(difference).max() <= 1
    assert {path.name for path in tmp_path.iterdir()} == {"large.png", "style.png", "whole.png", "tiled.png"}


def test_a_tiff_file_is_read_in_bands(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = pixels(tmp_path / "large.png")
    tifffile.imwrite(tmp_path / "large.tif", values, photometric="rgb", rowsperstrip=20, compression="zlib")
    line[1] = tmp_path / "large.tif"
    assert program(*line, tmp_path / "whole.png").code == 0

    def require_memory(path: Path, frames: object, decoded: bool = False) -> None:
        assert not decoded, "the file is decoded at once"

    monkeypatch.setattr("stylekit.images.reading.require_memory", require_memory)
    assert program(*line, tmp_path / "out.png", "--tile", 128).code == 0
    difference = pixels(tmp_path / "out.png").astype(int) - pixels(tmp_path / "whole.png")
    assert abs(difference).max() <= 1
    (tmp_path / "large.tif").write_bytes((tmp_path / "large.tif").read_bytes()[:-1000])
    refused = program(*line, tmp_path / "other.png", "--tile", 128)
    assert refused.code == 1
    assert_mentions(refused.err, "large.tif", "truncated")
    assert not (tmp_path / "other.png").exists()


@pytest.mark.parametrize("place", [1, 3], ids=["content", "style"])
@pytest.mark.parametrize("tile", [[], ["--tile", 128]], ids=["whole", "tiles"])
def test_values_that_are_no_pictures_are_refused(
    program: Program, line: list[object], tmp_path: Path, place: int, tile: list[object]
) -> None:
    line[place] = tmp_path / "ct.tif"
    Image.fromarray(np.array([[40, -1000]], np.int32).repeat(150, 0).repeat(150, 1)).save(tmp_path / "ct.tif")
    refused = program(*line, tmp_path / "out.png", *tile)
    assert refused.code == (1 if place == 1 else 2)
    assert_mentions(refused.err, "ct.tif", "values from -1000 to 40", "'rasters'", "docs/rasters.md")
    assert not (tmp_path / "out.png").exists()


def test_too_little_memory_is_given_in_megabytes(program: Program, line: list[object], tmp_path: Path) -> None:
    refused = program(*line, tmp_path / "out.png", "--max-memory", "10MB")
    assert refused.code == 1
    assert_mentions(refused.err, "tile of 128 pixels", "only 0 MiB may be used")
    assert re.search(r"needs about [1-9][\d.]* MiB", refused.err)


def test_the_folder_of_the_output_is_made(program: Program, line: list[object], tmp_path: Path) -> None:
    assert program(*line, tmp_path / "new" / "out.png", "--tile", 128).code == 0
    assert pixels(tmp_path / "new" / "out.png").shape == (300, 400, 3)


def test_tiles_are_used(program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    large: Callable[..., None] = Model.stylize_large

    def counted(self: Model, *given: Any, **options: Any) -> None:
        used.append(options["tiles"])
        large(self, *given, **options)

    monkeypatch.setattr(Model, "stylize_large", counted)
    program(*line, tmp_path / "a.png", "--tile", 512)  # the image is smaller
    assert used == []
    program(*line, tmp_path / "b.png", "--tile", 128)
    program(*line, tmp_path / "c.png", "--max-memory", "1MB", "--tile", 256)
    assert [each.side for each in used] == [128, 256]


def test_an_optimisation_goes_region_by_region(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylekit.cli.progress.FIRST_LINE", 0.0)  # quick machines are done before the first line
    line[line.index("color-pca")] = "gatys"
    small = ["--set", "encoder={name: random, scales: 2, width: 8}", "--set", "levels=1", "--steps", 2]
    made = program(*line, tmp_path / "out.png", *small, "--tile", 256)
    assert made.code == 0
    assert pixels(tmp_path / "out.png").shape == (300, 400, 3)
    assert abs(pixels(tmp_path / "out.png").astype(int) - pixels(tmp_path / "large.png")).mean() > 1
    assert_mentions(made.err, "tiles")

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stylekit.inference.tiles.Regions.optimize", interrupted)
    stopped = program(*line, tmp_path / "other.png", *small, "--tile", 256)
    assert stopped.code == 130
    assert "--resume" not in stopped.err  # nothing was kept
    assert {path.name for path in tmp_path.iterdir()} == {"large.png", "style.png", "out.png"}


def test_who_allows_memory_may_have_images_above_pillows_limit(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    refused = program(*line, tmp_path / "out.png")
    assert refused.code == 1
    assert_mentions(refused.err, "20,000 pixels", "--max-memory")
    assert program(*line, tmp_path / "out.png", "--max-memory", "20GB").code == 0


def test_alpha_depth_and_metadata_are_kept(program: Program, line: list[object], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (300, 400, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "large.png", dpi=(300, 300))
    assert program(*line, tmp_path / "out.tif", "--tile", 128, "--depth", 16).code == 0
    with Image.open(tmp_path / "out.tif") as made:
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert made.tag_v2[258] == (16, 16, 16, 16)
        assert (np.asarray(made)[..., 3] == values[..., 3]).all()


def test_an_interrupted_image_is_finished_later(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    put: Callable[..., None] = Canvas.put

    def until(limit: int) -> Callable[..., None]:
        def counted(self: Canvas, top: int, left: int, part: Any) -> None:
            if len(made) == limit:
                raise KeyboardInterrupt
            made.append((top, left))
            put(self, top, left, part)

        return counted

    options = [tmp_path / "out.png", "--tile", 128]
    monkeypatch.setattr(Canvas, "put", until(5))
    result = program(*line, *options)
    assert result.code == 130
    assert_mentions(result.err, "Interrupted", "--resume")
    assert not (tmp_path / "out.png").exists()
    monkeypatch.setattr(Canvas, "put", until(100))
    assert program(*line, *options, "--resume").code == 0
    assert len(made) == len(set(made)) == 12  # 3 x 4 tiles, each once
    monkeypatch.undo()
    assert program(*line, tmp_path / "whole.png").code == 0
    assert abs(pixels(tmp_path / "out.png").astype(int) - pixels(tmp_path / "whole.png")).max() <= 1


@pytest.mark.parametrize("replaced", ["style.png", "mask.png", "color.safetensors"])
def test_files_that_were_replaced_are_not_mixed_with_what_they_were(
    replaced: str, program: Program, paint: Paint, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another style, mask or model of the same name begins again."""
    put: Callable[..., None] = Canvas.put

    def interrupted(self: Canvas, top: int, left: int, part: Any) -> None:
        if top:
            raise KeyboardInterrupt
        put(self, top, left, part)

    def write(number: int) -> None:
        paint(tmp_path / "style.png", seed=number)
        mask = np.random.default_rng(number).integers(0, 256, (300, 400), dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / "mask.png")
        torch.manual_seed(number)
        save_model(make("method", "restore", **Restore.presets["tiny"]), "restore", tmp_path / "color.safetensors")

    write(1)
    if replaced == "color.safetensors":
        line = [*line[:2], "--model", tmp_path / replaced, "-o"]
    options = [tmp_path / "out.png", "--tile", 128, "--mask", tmp_path / "mask.png"]
    with monkeypatch.context() as patch:
        patch.setattr(Canvas, "put", interrupted)
        assert program(*line, *options).code == 130
    kept = {name: (tmp_path / name).read_bytes() for name in ("style.png", "mask.png", "color.safetensors")}
    write(2)
    for name, content in kept.items():
        if name != replaced:
            (tmp_path / name).write_bytes(content)
    assert program(*line, *options, "--resume").code == 0
    assert program(*line, tmp_path / "anew.png", *options[1:]).code == 0
    assert (pixels(tmp_path / "out.png") == pixels(tmp_path / "anew.png")).all()


def test_a_resumed_image_is_divided_as_before_whatever_memory_is_free(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --tile, the memory decides about the tiles, and about how many samples there are of the image."""
    put: Callable[..., None] = Canvas.put
    made: list[tuple[int, int]] = []
    # No tiles above 256 pixels, for which 10^8 bytes are enough, and 10^7 bytes are not.
    monkeypatch.setattr("stylekit.inference.tiles.tiling.LARGEST", 256)
    monkeypatch.setattr("stylekit.inference.tiles.Tiles.fits", lambda *given: False)
    monkeypatch.setattr("stylekit.inference.model.LARGE", 0)
    monkeypatch.setattr(
        "stylekit.inference.model.Model.needed_memory", lambda self, height, width, *given: 600 * height * width
    )

    def run(name: str, free: float, limit: int, *options: str) -> int:
        def counted(self: Canvas, top: int, left: int, part: Any) -> None:
            if len(made) == limit:
                raise KeyboardInterrupt
            made.append((top, left))
            put(self, top, left, part)

        made.clear()
        monkeypatch.setattr(Canvas, "put", counted)
        monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: int(free))
        return program(*line, tmp_path / name, "--statistics", "sampled", *options).code

    assert run("small.png", 3e7, 100) == 0
    tiles = list(made)
    assert run("whole.png", 1e9, 100) == 0
    assert len(made) < len(tiles)
    assert run("out.png", 1e9, 2) == 130
    assert run("out.png", 3e7, 100, "--resume") == 0
    assert (pixels(tmp_path / "out.png") == pixels(tmp_path / "whole.png")).all()


def test_hidden_colours_stay_where_nothing_changes(program: Program, line: list[object], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (300, 400, 4), dtype=np.uint8)
    values[::2, :, 3] = 0
    Image.fromarray(values).save(tmp_path / "large.png")
    Image.new("L", (400, 300)).save(tmp_path / "mask.png")
    assert program(*line, tmp_path / "out.png", "--tile", 128, "--mask", tmp_path / "mask.png").code == 0
    assert (pixels(tmp_path / "out.png") == values).all()


def test_a_failed_image_leaves_nothing(
    program: Program, line: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Canvas, *given: Any) -> None:
        raise StylekitError("There is no space left.")

    monkeypatch.setattr(Canvas, "put", full)
    result = program(*line, tmp_path / "out.png", "--tile", 128)
    assert result.code == 1
    assert_mentions(result.err, "no space left")
    assert {path.name for path in tmp_path.iterdir()} == {"large.png", "style.png"}


@pytest.mark.parametrize(
    ("wrong", "facts"),
    [
        (["--tile", 10], [128, 10]),
        (["--statistics", "exat"], ["exat", "exact"]),
        (["--max-memory", "much"], ["--max-memory", "much", "2GB"]),
        (["--max-memory", "1kB"], [128, "memory", "0 MiB"]),
    ],
)
def test_invalid_options_get_one_sentence(
    program: Program, line: list[object], tmp_path: Path, wrong: list[object], facts: list[object]
) -> None:
    result = program(*line, tmp_path / "out.png", *wrong)
    assert result.code in (1, 2)
    assert_mentions(result.err, *facts)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2_000_000_000), ("1.5 GiB", 1_610_612_736), ("500m", 500_000_000), ("4096", 4096), ("1KiB", 1024)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


def test_other_words_are_no_sizes() -> None:
    for text in ("", "GB", "-1GB", "2 cats"):
        with raises(StylekitError, "--max-memory"):
            read_size(text)
