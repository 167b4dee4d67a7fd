"""The function that every engine calls gives what the program gives on one machine, byte for byte."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from stylekit.cli.batch.function import BatchStylizer, Input, Output, Parcel
from stylekit.cli.recipe import Recipe
from stylekit.cli.style_arguments import StyleMix
from stylekit.errors import StylekitError
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

Make = Callable[..., Recipe]


@pytest.fixture
def make(place: Path) -> Make:
    """A recipe of ``color-pca``, with changes."""

    def make(**changes: object) -> Recipe:
        mixes = [StyleMix("red", ((str(place / "red.png"), 1.0),))]
        return Recipe(**{"models": (("color-pca", None),), "device": "cpu", "mixes": mixes, **changes})

    return make


def stylized(recipe: Recipe, *paths: Path, suffix: str = "") -> list[Output]:
    """What the function makes of files, in a process that does not have the recipe's own."""
    parcel: Parcel = pickle.loads(pickle.dumps(Parcel(recipe)))
    inputs = [Input(str(path), path.name, 0, path.stem + (suffix or path.suffix), path.read_bytes()) for path in paths]
    return BatchStylizer(parcel, len(paths))(inputs)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("", {}),
        ("--strength 0.5 --keep-color luminance", {"strength": 0.5, "keep_color": "luminance"}),
        ("--max-size 20 --format jpg --quality 60", {"max_size": 20, "quality": 60}),
        ("--depth 16", {"depth": 16}),
        ("--model color-pca:1 --model stylekit-any:2", {"models": (("color-pca", 1.0), ("stylekit-any", 2.0))}),
    ],
)
def test_the_bytes_are_those_of_the_program(
    line: str, changes: dict[str, object], make: Make, program: Program, place: Path, paint: Paint
) -> None:
    photos = [paint(place / "in" / f"{number}.png", 40 + number, seed=number) for number in range(3)]
    given = ["stylize", place / "in", "--style", place / "red.png", "--device", "cpu"]
    models = [] if "--model" in line else ["--model", "color-pca"]
    assert program(*given, *models, *line.split(), "-o", place / "out").code == 0
    made = stylized(make(**changes), *photos, suffix=".jpg" if "jpg" in line else "")
    expected = [path.read_bytes() for path in sorted((place / "out").iterdir())]
    assert [each.content for each in made] == expected
    assert [each.error for each in made] == [""] * 3


def test_styles_masks_and_metadata_are_those_of_the_program(make: Make, program: Program, place: Path) -> None:
    (place / "in").mkdir()
    with Image.open(place / "photo.png") as file:
        exif = Image.Exif()
        exif[0x010E] = "a harbour"
        file.save(place / "in" / "photo.jpg", exif=exif, quality=90)
    styles = ["--style", place / "red.style", "--style", place / "blue.png", "--mask", place / "mask.png"]
    line = ["stylize", place / "in", *styles, "--model", "color-pca", "--device", "cpu", "-o", place / "out"]
    assert program(*line).code == 0
    mix = StyleMix("mix", ((str(place / "red.style"), 1.0), (str(place / "blue.png"), 1.0)))
    [made] = stylized(make(mixes=[mix], masks=[place / "mask.png"]), place / "in" / "photo.jpg")
    assert made.content == (place / "out" / "photo.jpg").read_bytes()
    assert b"a harbour" in made.content


def test_a_folder_of_masks_has_one_for_each_picture(make: Make, program: Program, place: Path, paint: Paint) -> None:
    photos = [paint(place / "in" / f"{number}.png", seed=number) for number in range(2)]
    (place / "masks").mkdir()
    for number, box in enumerate([(0, 0, 20, 40), (0, 0, 48, 10)]):
        mask = Image.new("L", (48, 40))
        mask.paste(255, box)
        mask.save(place / "masks" / f"{number}.png")
    line = ["stylize", place / "in", "--style", place / "red.png", "--mask", place / "masks", "--model", "color-pca"]
    assert program(*line, "--device", "cpu", "-o", place / "out").code == 0
    recipe = make(masks=[place / "masks"])
    assert [each.content for each in stylized(recipe, *photos)] == [
        (place / "out" / f"{number}.png").read_bytes() for number in range(2)
    ]
    before = Parcel(recipe).identities()
    assert Parcel(recipe).identities() == before
    (place / "masks" / "0.png").write_bytes((place / "masks" / "1.png").read_bytes())
    changed = Parcel(recipe).identities()
    assert {name for name in before if before[name] != changed[name]} == {str(place / "masks")}


def test_animations_keep_their_frames(make: Make, program: Program, place: Path) -> None:
    (place / "in").mkdir()
    frames = [Image.new("RGB", (24, 20), color) for color in ("red", "green", "blue")]
    frames[0].save(place / "in" / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    line = ["stylize", place / "in", "--style", place / "red.png", "--model", "color-pca", "--device", "cpu"]
    assert program(*line, "-o", place / "out").code == 0
    [made] = stylized(make(), place / "in" / "a.gif")
    assert made.content == (place / "out" / "a.gif").read_bytes()
    assert made.facts is not None
    assert made.facts["frames"] == 3


def test_what_a_file_cannot_hold_is_told_by_the_name_that_the_user_knows(make: Make, place: Path) -> None:
    frames = [Image.new("RGB", (24, 20), color) for color in ("red", "green")]
    frames[0].save(place / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    [made] = stylized(make(), place / "a.gif", suffix=".jpg")
    [warning] = made.warnings
    assert_mentions(warning, str(place / "a.gif"), "2 frames", "a.jpg")


def test_a_picture_that_fails_is_an_error_and_not_an_exception(make: Make, place: Path) -> None:
    (place / "bad.png").write_bytes(b"no picture")
    bad, good = stylized(make(), place / "bad.png", place / "photo.png")
    assert bad.content is None
    assert bad.error == f"{place / 'bad.png'} cannot be read: it is damaged or in a format that stylekit does not read."
    assert good.content
    assert good.facts is not None
    assert (good.facts["height"], good.facts["width"]) == (40, 48)


def test_a_model_file_and_its_plugin_are_sent_along(
    make: Make, program: Program, invert: tuple[Path, Path], place: Path
) -> None:
    plugin, model = invert
    recipe = make(models=((str(model), None),), plugins=[plugin], mixes=[StyleMix(None, ())])
    parcel = pickle.dumps(Parcel(recipe))
    content = (place / "photo.png").read_bytes()
    assert (
        program("stylize", place / "photo.png", "--model", model, "--plugin", plugin, "-o", place / "one.png").code == 0
    )
    model.unlink()
    plugin.unlink()
    [made] = BatchStylizer(pickle.loads(parcel), 1)([Input("s3://a/photo.png", "photo.png", 0, "photo.png", content)])
    assert made.content == (place / "one.png").read_bytes()


def test_a_recipe_that_cannot_be_used_is_refused_at_once(make: Make) -> None:
    with pytest.raises(StylekitError, match="nowhere"):
        BatchStylizer(Parcel(make(models=(("nowhere", None),))), 1)
