"""The dataset of pairs: how they are found, that both sides are cropped alike, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor
from torch.utils.data import DataLoader

from stylekit import images, make, testing
from stylekit.datasets import find_pairs
from stylekit.datasets.survey import survey
from stylekit.errors import StylekitError, StylekitWarning
from stylekit.training.loader import SeededItems
from stylekit_plugins.datasets.pairs import Pairs, stylekit_datasets
from tests.facts import raises, warns


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Tensor:
    """An image (1, 3, H, W) in steps of 1/255; ``size`` is its width and height."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (1, 3, size[1], size[0]), generator=generator).float() / 255


def pair(content: Path, style: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    """Writes an image and its negative, by which it is recognised as its partner."""
    for path, image in ((content, noise(seed, size)), (style, 1 - noise(seed, size))):
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, image)


def joined(path: Path, seed: int, side: int = 30) -> None:
    """Writes an image with its negative at its right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = noise(seed, (side, side))
    images.write(path, torch.cat([image, 1 - image], 3))


def assert_pair(item: dict[str, Tensor]) -> None:
    torch.testing.assert_close(item["style"], 1 - item["content"], rtol=0, atol=1e-5)


def shows(image: Tensor, seed: int, size: tuple[int, int] = (40, 30)) -> bool:
    """Whether a square from the middle is that of the image with this seed."""
    return torch.allclose(image, images.square_crop(noise(seed, size), 16, 16, random=False), atol=1e-5)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of five pairs of different sizes."""
    sizes = [(40, 30), (30, 40), (16, 16), (90, 17), (33, 50)]
    for number, size in enumerate(sizes):
        pair(tmp_path / f"photo/{number}.png", tmp_path / f"edges/{number}.png", number, size)
    return tmp_path / "photo", tmp_path / "edges"


def test_the_hook_offers_the_dataset() -> None:
    assert stylekit_datasets() == {"pairs": Pairs}
    assert Pairs.item_keys == ("content", "style")
    assert isinstance(make("dataset", dict(Pairs.stand_in), size=32)[0], dict)


# Cropping


def test_both_sides_of_every_item_are_cropped_and_mirrored_alike(two: tuple[Path, Path]) -> None:
    pairs = Pairs(*two, size=16)
    assert len(pairs) == 5
    seen: list[set[bytes]] = [set() for _ in range(5)]
    for draw in range(30):
        for index in range(5):
            torch.manual_seed(100 * draw + index)
            item = pairs[index]
            assert list(item) == ["content", "style"]
            for image in item.values():
                assert image.shape == (3, 16, 16)
                assert image.dtype == torch.float32
            assert_pair(item)
            seen[index].add(item["content"].numpy().tobytes())
    assert all(len(crops) > 1 for crops in seen)  # so that there was something to do alike
    with pytest.raises(IndexError):
        pairs[5]
    with pytest.raises(IndexError):
        pairs[-1]


def test_half_of_the_pairs_are_mirrored_both_sides_alike(tmp_path: Path) -> None:
    pair(tmp_path / "a/x.png", tmp_path / "b/x.png", 0, (16, 16))
    expected = noise(0, (16, 16))[0]
    pairs = Pairs(tmp_path / "a", tmp_path / "b", size=16, crop=1.0)
    mirrored = []
    for seed in range(40):
        torch.manual_seed(seed)
        item = pairs[0]
        assert_pair(item)
        mirrored.append(torch.allclose(item["content"], expected.flip(-1), atol=1e-5))
        assert mirrored[-1] or torch.allclose(item["content"], expected, atol=1e-5)
    assert 8 < sum(mirrored) < 32
    still = Pairs(tmp_path / "a", tmp_path / "b", size=16, crop=1.0, flip=False)
    assert all(torch.allclose(still[0]["content"], expected, atol=1e-5) for _ in range(10))


def test_to_test_pairs_are_cropped_in_the_middle_and_nothing_is_drawn(two: tuple[Path, Path]) -> None:
    pairs = Pairs(*two, size=16, split="test")
    before = torch.get_rng_state()
    items = [pairs[index] for index in range(5)]
    assert torch.equal(torch.get_rng_state(), before)
    for seed, (item, size) in enumerate(zip(items, [(40, 30), (30, 40), (16, 16), (90, 17), (33, 50)], strict=True)):
        assert_pair(item)
        assert shows(item["content"], seed, size)


def test_reverse_exchanges_the_sides(two: tuple[Path, Path]) -> None:
    forward, backward = Pairs(*two, size=16, split="test"), Pairs(*two, size=16, split="test", reverse=True)
    for index in range(5):
        assert list(backward[index]) == ["content", "style"]
        assert torch.equal(forward[index]["content"], backward[index]["style"])
        assert torch.equal(forward[index]["style"], backward[index]["content"])
    exchanged = Pairs(two[1], two[0], size=16, split="test")
    assert torch.equal(exchanged[0]["content"], backward[0]["content"])


def test_transparent_images_are_laid_over_white(tmp_path: Path) -> None:
    for folder, alpha in (("a", 51), ("b", 255)):
        (tmp_path / folder).mkdir()
        Image.new("RGBA", (20, 20), (0, 0, 0, alpha)).save(tmp_path / folder / "x.png")
    item = Pairs(tmp_path / "a", tmp_path / "b", size=8)[0]
    assert round(float(item["content"].mean()) * 255) == 204
    assert float(item["style"].max()) == 0


def test_the_engines_seed_decides_the_crops(two: tuple[Path, Path]) -> None:
    """The dataset's own seed is not used."""

    def drawn(dataset_seed: int, seed: int) -> Tensor:
        items = SeededItems(Pairs(*two, size=16, seed=dataset_seed), seed)
        return torch.stack([items[index]["content"] for index in range(10)])

    assert torch.equal(drawn(0, 1), drawn(7, 1))
    assert not torch.equal(drawn(0, 1), drawn(0, 2))
    assert not torch.equal(drawn(0, 1)[:5], drawn(0, 1)[5:])  # another epoch


def test_workers_load_the_same_pairs(two: tuple[Path, Path]) -> None:
    items = SeededItems(Pairs(*two, size=16), 3)
    expected = torch.stack([items[index]["style"] for index in range(4)])
    (batch,) = DataLoader(items, sampler=range(4), batch_size=4, num_workers=2)
    assert torch.equal(batch["style"], expected)
    assert_pair(batch)


# Two folders


def test_partners_have_the_same_name_whatever_the_suffix_and_the_nesting(tmp_path: Path) -> None:
    pair(tmp_path / "a/one.png", tmp_path / "b/one.bmp", 0)
    pair(tmp_path / "a/deep/er/two.TIFF", tmp_path / "b/deep/er/two.png", 1)
    pair(tmp_path / "a/deep/one.png", tmp_path / "b/deep/one.tif", 2)
    pair(tmp_path / "a/v1.2.png", tmp_path / "b/v1.2.bmp", 3)
    (tmp_path / "b/notes.txt").write_text("not an image")
    names = [
        tuple(path.relative_to(tmp_path).as_posix() for path in found if isinstance(path, Path))
        for found in find_pairs(tmp_path / "a", tmp_path / "b")
    ]
    assert names == [
        ("a/deep/er/two.TIFF", "b/deep/er/two.png"),
        ("a/deep/one.png", "b/deep/one.tif"),
        ("a/one.png", "b/one.bmp"),
        ("a/v1.2.png", "b/v1.2.bmp"),
    ]
    pairs = Pairs(tmp_path / "a", tmp_path / "b", size=16, split="test")
    for index, seed in enumerate([1, 2, 0, 3]):
        assert shows(pairs[index]["content"], seed)
        assert_pair(pairs[index])


@pytest.mark.parametrize("lonely", ["a/sub/alone.png", "b/sub/alone.jpg"])
def test_an_image_without_a_partner_is_named(two: tuple[Path, Path], tmp_path: Path, lonely: str) -> None:
    mine, other = two if lonely.startswith("a") else two[::-1]
    lonely_file = mine / lonely[2:]
    lonely_file.parent.mkdir()
    Image.new("RGB", (8, 8)).save(lonely_file)
    (mine / "z_alone_too.png").write_bytes((mine / "0.png").read_bytes())
    with raises(StylekitError, 2, 7, mine, other, "alone", "partner"):
        Pairs(*two, size=16)


def test_empty_and_missing_folders_are_named(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folders in ((tmp_path / "empty", two[1]), (two[0], tmp_path / "empty")):
        with raises(StylekitError, tmp_path / "empty", "images"):
            Pairs(*folders)
    with raises(StylekitError, tmp_path / "nowhere"):
        Pairs(two[0], tmp_path / "nowhere")


def test_partners_of_different_sizes_are_refused_before_training(two: tuple[Path, Path]) -> None:
    Image.new("RGB", (40, 31)).save(two[1] / "0.png")
    with raises(StylekitError, two[0] / "0.png", two[1] / "0.png", "40x30", "40x31") as caught:
        Pairs(*two, size=16)
    assert "more" not in str(caught.value)
    for name in ("2.png", "4.png"):
        Image.new("RGB", (12, 31)).save(two[1] / name)
    with raises(StylekitError, two[0] / "0.png", 2, "more"):
        Pairs(*two, size=16)


def test_only_headers_are_read_to_compare_sizes(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def spy(file: Any, **options: Any) -> Image.Image:
        path = Path(file.name)
        opened.append(f"{path.parent.name}/{path.name}")
        return original(file, **options)

    original = Image.open
    monkeypatch.setattr(Image, "open", spy)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    assert len(Pairs(*two, size=16)) == 5
    assert sorted(opened) == [f"{side}/{number}.png" for side in ("edges", "photo") for number in range(5)]


def test_the_orientation_of_a_png_file_may_follow_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(tmp_path / "A/0.png", (80, 70), exif=exif)
    picture(tmp_path / "B/0.png", (70, 80))
    data = (tmp_path / "A/0.png").read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start:end], data[:start] + data[end:]
    last = rest.index(b"IEND") - 4
    (tmp_path / "A/0.png").write_bytes(rest[:last] + chunk + rest[last:])
    assert Pairs(data=tmp_path, size=8)[0]


def test_pairs_with_a_file_that_cannot_be_opened_are_skipped(two: tuple[Path, Path]) -> None:
    (two[1] / "0.png").write_text("text")
    (two[0] / "3.png").write_bytes(b"")
    with warns(StylekitWarning, 2, two[1] / "0.png", two[0] / "3.png"):
        pairs = Pairs(*two, size=16)
    assert [first.name for first, _ in pairs.pairs] == ["1.png", "2.png", "4.png"]
    for number in range(5):
        (two[1] / f"{number}.png").write_text("text")
    with pytest.warns(StylekitWarning), raises(StylekitError, two[0] / "0.png", "read"):
        Pairs(*two, size=16)


def test_a_damaged_image_is_named(two: tuple[Path, Path]) -> None:
    (two[1] / "0.png").write_bytes((two[1] / "0.png").read_bytes()[:300])
    with raises(StylekitError, two[1] / "0.png", "read"):
        Pairs(*two, size=16)[0]


# One folder


@pytest.mark.parametrize("names", [("trainA", "trainB"), ("train/A", "train/B"), ("A", "B"), ("content", "style")])
def test_a_folder_that_holds_both_sides(tmp_path: Path, names: tuple[str, str]) -> None:
    for number in range(3):
        pair(tmp_path / names[0] / f"{number}.png", tmp_path / names[1] / f"{number}.bmp", number)
    pairs = Pairs(data=tmp_path, size=16)
    assert len(pairs) == 3
    for index in range(3):
        assert_pair(pairs[index])


def test_images_side_by_side_are_split_in_the_middle(tmp_path: Path) -> None:
    for number, side in enumerate((30, 16, 47)):
        joined(tmp_path / f"facades/sub/{number}.png", number, side)
    pairs = Pairs(data=tmp_path / "facades", size=16, split="test")
    assert len(pairs) == 3
    for seed, side in enumerate((30, 16, 47)):
        assert shows(pairs[seed]["content"], seed, (side, side))
        assert_pair(pairs[seed])
    train = Pairs(data=tmp_path / "facades", size=16)
    for seed in range(60):
        torch.manual_seed(seed)
        assert_pair(train[seed % 3])
    exchanged = Pairs(data=tmp_path / "facades", size=16, split="test", reverse=True)
    assert torch.equal(exchanged[0]["content"], pairs[0]["style"])


def test_images_that_are_not_two_squares_are_named_with_their_size(tmp_path: Path) -> None:
    joined(tmp_path / "facades/0.png", 0)
    Image.new("RGB", (40, 30)).save(tmp_path / "facades/1.png")
    with raises(StylekitError, tmp_path / "facades/1.png", "40x30", "side by side", "--content", "--style"):
        Pairs(data=tmp_path / "facades")
    Image.new("RGB", (41, 30)).save(tmp_path / "facades/2.png")
    with raises(StylekitError, tmp_path / "facades/1.png", 1, "more"):
        Pairs(data=tmp_path / "facades")
    for name in ("1.png", "2.png"):
        (tmp_path / "facades" / name).write_text("text")
    with warns(StylekitWarning, 2, tmp_path / "facades/1.png"):
        assert len(Pairs(data=tmp_path / "facades")) == 1
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, tmp_path / "empty", "images"):
        Pairs(data=tmp_path / "empty")
    with raises(StylekitError, tmp_path / "nowhere"):
        Pairs(data=tmp_path / "nowhere")


# CSV


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_csv_file_has_a_line_for_each_pair_with_paths_relative_to_it(tmp_path: Path) -> None:
    for number in range(3):
        pair(tmp_path / f"set/in/{number}.png", tmp_path / f"set/out/other_{number}.bmp", number)
    lines = [f"out/other_{number}.bmp,{number},in/{number}.png" for number in (2, 0)]
    path = table(tmp_path / "set/pairs.CSV", "style,note,content", *lines, f"out/other_1.bmp,,{tmp_path}/set/in/1.png")
    for split in ("train", "test"):  # without a column, the pairs belong to both splits
        assert len(Pairs(data=path, split=split)) == 3
    pairs = Pairs(data=path, size=16, split="test")
    for index, seed in enumerate([2, 0, 1]):
        assert shows(pairs[index]["content"], seed)
        assert_pair(pairs[index])


def test_a_column_divides_a_csv_file_into_splits(tmp_path: Path) -> None:
    for number in range(4):
        pair(tmp_path / f"a{number}.png", tmp_path / f"b{number}.png", number)
    rows = [f"a{number}.png,b{number}.png,{split}" for number, split in enumerate(["test", "train", "", "valid"])]
    path = table(tmp_path / "pairs.csv", "content,style,split", *rows)
    names = {split: [first.name for first, _ in find_pairs(data=path, split=split)] for split in ("train", "test")}
    assert names == {"train": ["a1.png", "a2.png"], "test": ["a0.png", "a2.png"]}  # a2 belongs to both
    only = table(tmp_path / "only.csv", "content,style,split", "a0.png,b0.png,train")
    with raises(StylekitError, only, "'test'", "split"):
        Pairs(data=only, split="test")


def test_files_that_a_csv_file_names_must_be_there(tmp_path: Path) -> None:
    pair(tmp_path / "a.png", tmp_path / "b.png", 0)
    path = table(tmp_path / "pairs.csv", "content,style", "a.png,b.png", "a.png,gone/b.png")
    with raises(StylekitError, path, tmp_path / "gone/b.png"):
        Pairs(data=path)


@pytest.mark.parametrize("name", ["a" * 5000, "b\0c"])
def test_paths_that_the_system_refuses_are_one_error(tmp_path: Path, name: str) -> None:
    pair(tmp_path / "a.png", tmp_path / "b.png", 0)
    arguments: list[dict[str, Any]] = [
        {"data": table(tmp_path / "pairs.csv", "content,style", f"a.png,{name}")},
        {"data": name},
        {"data": f"{name}.csv"},
        {"content": tmp_path, "style": name},
    ]
    for given in arguments:
        with raises(StylekitError, "cannot be used") as caught:
            Pairs(**given)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("lines", [["photo,edges", "a.png,b.png"], ["content", "a.png"], ["content,style"], []])
def test_a_csv_file_needs_its_header_and_pairs(tmp_path: Path, lines: list[str]) -> None:
    pair(tmp_path / "a.png", tmp_path / "b.png", 0)
    path = table(tmp_path / "pairs.csv", *lines)
    with raises(StylekitError, path, "content,style"):
        Pairs(data=path)


def test_a_file_that_is_not_csv_is_refused(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "gone.csv", "read"):
        Pairs(data=tmp_path / "gone.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with raises(StylekitError, tmp_path / "image.csv", "CSV"):
        Pairs(data=tmp_path / "image.csv")


# Splits and arguments


def test_divided_folders_give_the_pairs_of_the_split(tmp_path: Path) -> None:
    for split, numbers in {"train": [0, 1], "test": [2]}.items():
        for number in numbers:
            pair(tmp_path / f"two/a/{split}/{number}.png", tmp_path / f"two/b/{split}/{number}.png", number)
            pair(tmp_path / f"one/{split}A/{number}.png", tmp_path / f"one/{split}B/{number}.png", number)
            joined(tmp_path / f"side/{split}/{number}.png", number)
    choices: list[dict[str, Any]] = [
        {"content": tmp_path / "two/a", "style": tmp_path / "two/b"},
        {"data": tmp_path / "one"},
        {"data": tmp_path / "side"},
    ]
    for choice in choices:
        assert len(Pairs(**choice)) == 2
        test = Pairs(**choice, size=16, split="test")
        assert len(test) == 1
        assert_pair(test[0])
        assert shows(test[0]["content"], 2, (30, 30) if choice == choices[2] else (40, 30))


def test_a_missing_split_is_an_error(tmp_path: Path) -> None:
    pair(tmp_path / "a/train/0.png", tmp_path / "b/train/0.png", 0)
    with raises(StylekitError, tmp_path / "a", "train", "test"):
        Pairs(tmp_path / "a", tmp_path / "b", split="test")


def test_wrong_arguments_are_refused(tmp_path: Path, two: tuple[Path, Path]) -> None:
    content, style = two
    wrong: list[dict[str, Any]] = [
        {},
        {"content": content},
        {"style": style},
        {"content": content, "data": tmp_path},
        {"content": content, "style": style, "data": tmp_path},
    ]
    for arguments in wrong:
        with raises(StylekitError, "pairs", "--content DIR --style DIR", "--data", ".csv"):
            Pairs(**arguments)
    with raises(StylekitError, "split", "'val'", "train", "test"):
        Pairs(content, style, split="val")
    for arguments in ({"size": 0}, {"crop": 0.9}):
        with raises(StylekitError, *arguments, *arguments.values(), 1):
            Pairs(content, style, **arguments)


@pytest.mark.parametrize("kind", ["folders", "side by side", "csv"])
def test_conformance(tmp_path: Path, kind: str) -> None:
    for number in range(3):
        pair(tmp_path / f"a/{number}.png", tmp_path / f"b/{number}.png", number, (70, 80))
        joined(tmp_path / f"c/{number}.png", number, 70)
    rows = [f"a/{number}.png,b/{number}.png" for number in range(3)]
    options: dict[str, dict[str, Any]] = {
        "folders": {"content": tmp_path / "a", "style": tmp_path / "b"},
        "side by side": {"data": tmp_path / "c"},
        "csv": {"data": table(tmp_path / "pairs.csv", "content,style", *rows)},
    }
    testing.check("dataset", functools.partial(Pairs, **options[kind]))


def test_without_a_path_the_dataset_is_not_tried() -> None:
    with warns(StylekitWarning, "dataset", "not tried", "pairs", "--data"):
        testing.check("dataset", Pairs)


def picture(path: Path, size: tuple[int, int] = (70, 70), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **options)
    return path


def test_a_row_with_too_few_cells(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "pairs.csv").write_text("content,style\na.png\n")
    with raises(StylekitError, tmp_path / "pairs.csv"):
        find_pairs(data=tmp_path / "pairs.csv")


def test_a_csv_file_that_excel_wrote(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "pairs.csv").write_text("content,style\na.png,a.png\n", encoding="utf-8-sig")
    assert len(find_pairs(data=tmp_path / "pairs.csv")) == 1


def test_training_images_are_not_taken_for_the_test_split(tmp_path: Path) -> None:
    for side in ("trainA", "trainB"):  # no testA and testB; the images happen to be twice as wide as high
        picture(tmp_path / side / "1.png", (140, 70))
    with raises(StylekitError, "test"):
        find_pairs(data=tmp_path, split="test")


def test_two_files_of_one_name_on_one_side(tmp_path: Path) -> None:
    for name in ("A/a.png", "A/a.jpg", "B/a.png"):
        picture(tmp_path / name)
    with raises(StylekitError, "a.jpg", "a.png"):
        find_pairs(data=tmp_path)


def test_pairs_that_are_equal_after_exif_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(tmp_path / "A/1.jpg", (80, 70), exif=exif)
    picture(tmp_path / "B/1.png", (70, 80))
    assert Pairs(data=tmp_path, size=8)[0]
    assert len(survey(tmp_path).notes) == 1


def test_side_by_side_is_judged_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(tmp_path / "1.jpg", (70, 140), exif=exif)
    assert len(find_pairs(data=tmp_path)) == 1
