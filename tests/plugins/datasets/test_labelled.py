"""The dataset of labelled images: which folders are classes, in which order, and the items of each."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from stylekit import make, testing
from stylekit.datasets import split_of
from stylekit.errors import StylekitError, StylekitWarning
from stylekit.training.loader import SeededItems, batches
from stylekit_plugins.datasets.labelled import Labelled, stylekit_datasets
from tests.facts import raises, warns

SHADES = {"cat": [10, 20], "dog": [110, 120, 130], "ant": [210]}


def shaded(folder: Path, shades: list[int], size: tuple[int, int] = (40, 30)) -> Path:
    """Images of a single shade each, by which they are identified."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, shade in enumerate(shades):
        Image.new("RGB", size, (shade, shade, shade)).save(folder / f"{number:03}.png")
    return folder


def shade(image: Tensor) -> int:
    assert image.max() - image.min() < 1e-5
    return round(float(image.mean()) * 255)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    for name, shades in SHADES.items():
        shaded(tmp_path / "animals" / name, shades)
    return tmp_path / "animals"


def contents(dataset: Labelled) -> list[tuple[int, int]]:
    """The shade and the label of every item."""
    items = [dataset[index] for index in range(len(dataset))]
    return [(shade(item["image"]), int(item["label"])) for item in items]


def test_the_hook_offers_the_dataset(animals: Path) -> None:
    assert stylekit_datasets() == {"labelled": Labelled}
    assert Labelled.item_keys == ("image",)
    assert len(make("dataset", {"name": "labelled", "data": str(animals), "classes": ["dog"]})) == 3


def test_labels_follow_the_alphabetical_order_of_the_folders(animals: Path) -> None:
    dataset = Labelled(animals, size=16)
    assert dataset.classes == ("ant", "cat", "dog")
    assert contents(dataset) == [(210, 0), (10, 1), (20, 1), (110, 2), (120, 2), (130, 2)]
    for wrong in (6, -1):
        with pytest.raises(IndexError):
            dataset[wrong]


def test_an_item_is_an_image_and_the_number_of_its_class(animals: Path) -> None:
    item = Labelled(animals, size=16)[1]
    assert list(item) == ["image", "label"]
    assert item["image"].shape == (3, 16, 16)
    assert item["image"].dtype == torch.float32
    assert item["image"].is_contiguous()
    assert item["label"].shape == ()
    assert item["label"].dtype == torch.int64


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["dog", "ant"], [(110, 0), (120, 0), (130, 0), (210, 1)]),
        (["ant", "dog"], [(210, 0), (110, 1), (120, 1), (130, 1)]),
        (["cat"], [(10, 0), (20, 0)]),
    ],
)
def test_classes_are_chosen_and_ordered_by_name(
    animals: Path, classes: list[str], expected: list[tuple[int, int]]
) -> None:
    dataset = Labelled(animals, classes=classes, size=16)
    assert dataset.classes == tuple(classes)
    assert contents(dataset) == expected


def test_the_error_for_an_unknown_class_suggests_the_nearest_and_lists_all(animals: Path) -> None:
    with raises(StylekitError, animals, "'cats'", "did you mean 'cat'", "ant, cat, dog"):
        Labelled(animals, classes=["dog", "cats"])


def test_images_may_be_nested_in_their_class_and_hidden_folders_are_ignored(tmp_path: Path) -> None:
    shaded(tmp_path / "cat/tabby/small", [10])
    shaded(tmp_path / "cat", [20])
    shaded(tmp_path / "dog", [110])
    shaded(tmp_path / ".cache", [1])
    (tmp_path / "readme.txt").write_text("two classes")
    dataset = Labelled(tmp_path, size=16)
    assert dataset.classes == ("cat", "dog")
    assert sorted(contents(dataset)) == [(10, 0), (20, 0), (110, 1)]


# Splits


def test_a_folder_of_nothing_but_train_and_test_is_divided(tmp_path: Path) -> None:
    for split, numbers in {"train": [10, 20], "test": [30]}.items():
        shaded(tmp_path / split / "cat", numbers)
        shaded(tmp_path / split / "dog", [100 + number for number in numbers])
    (tmp_path / ".DS_Store").touch()  # hidden
    assert contents(Labelled(tmp_path, size=16)) == [(10, 0), (20, 0), (110, 1), (120, 1)]
    assert contents(Labelled(tmp_path, size=16, split="test")) == [(30, 0), (130, 1)]
    for split in ("train", "test"):
        assert split_of(tmp_path, split) == tmp_path / split
    (tmp_path / "val").mkdir()
    assert Labelled(tmp_path, split="test").classes == ("cat", "dog")


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """Three classes to train, of which ``test`` has the last two."""
    for number, name in enumerate(["cats", "dogs", "foxes"]):
        shaded(tmp_path / "divided/train" / name, [10 * number])
    for number, name in enumerate(["dogs", "foxes"]):
        shaded(tmp_path / "divided/test" / name, [100 + 10 * number])
    return tmp_path / "divided"


def test_labels_mean_the_same_classes_in_both_splits(divided: Path) -> None:
    test = Labelled(divided, size=16, split="test")
    assert test.classes == Labelled(divided).classes == ("cats", "dogs", "foxes")
    assert contents(test) == [(100, 1), (110, 2)]
    (divided / "test/cats").mkdir()  # a class without images
    assert contents(Labelled(divided, size=16, split="test")) == [(100, 1), (110, 2)]
    chosen = Labelled(divided, classes=["foxes", "cats"], size=16, split="test")
    assert contents(chosen) == [(110, 0)]


def test_a_class_only_to_test_is_refused(divided: Path) -> None:
    shaded(divided / "test/dgos", [1])
    with raises(StylekitError, divided / "test", "'dgos'", divided / "train", "did you mean 'dogs'"):
        Labelled(divided, split="test")
    assert contents(Labelled(divided, size=16)) == [(0, 0), (10, 1), (20, 2)]
    assert contents(Labelled(divided, classes=["dogs"], size=16, split="test")) == [(100, 0)]


def test_a_class_without_images_to_train_is_refused(divided: Path) -> None:
    (divided / "train/emu").mkdir()
    with raises(StylekitError, divided / "train/emu"):
        Labelled(divided)
    with raises(StylekitError, divided / "test", "emu"):
        Labelled(divided, classes=["emu"], split="test")


def test_other_files_beside_train_and_test_do_not_matter(divided: Path) -> None:
    for name in ("README.txt", "labels.csv", "Thumbs.db"):
        (divided / name).touch()
    assert Labelled(divided).classes == Labelled(divided, split="test").classes == ("cats", "dogs", "foxes")


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path) -> None:
    for name, number in (("car", 10), ("train", 20), ("test", 30)):
        shaded(tmp_path / name, [number])
    for split in ("train", "test"):
        dataset = Labelled(tmp_path, size=16, split=split)
        assert dataset.classes == ("car", "test", "train")
        assert contents(dataset) == [(10, 0), (30, 1), (20, 2)]


def test_images_beside_train_mean_that_the_whole_folder_counts(tmp_path: Path) -> None:
    shaded(tmp_path, [5])
    shaded(tmp_path / "train", [10])
    shaded(tmp_path / "test", [20])
    assert split_of(tmp_path, "train") == split_of(tmp_path, "test") == tmp_path
    assert Labelled(tmp_path).classes == ("test", "train")


def test_a_divided_folder_without_the_split_is_an_error(tmp_path: Path) -> None:
    shaded(tmp_path / "train/cat", [10])
    assert Labelled(tmp_path).classes == ("cat",)
    with raises(StylekitError, tmp_path, "train", "test"):
        Labelled(tmp_path, split="test")


def test_an_undivided_folder_serves_both_splits(animals: Path) -> None:
    assert contents(Labelled(animals, size=16, split="test")) == contents(Labelled(animals, size=16))


# Cropping


@pytest.fixture
def textured(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "textured" / name).mkdir(parents=True)
        Image.effect_noise((50, 40), 90).save(tmp_path / "textured" / name / "x.png")
    return tmp_path / "textured"


def test_training_crops_and_mirrors_at_random_and_testing_does_not(textured: Path) -> None:
    train, test = (Labelled(textured, size=16, split=split) for split in ("train", "test"))

    def draws(dataset: Labelled) -> set[bytes]:
        found = set()
        for seed in range(10):
            torch.manual_seed(seed)
            found.add(dataset[1]["image"].numpy().tobytes())
        return found

    assert len(draws(train)) > 1
    assert len(draws(test)) == 1
    still = Labelled(textured, size=16, crop=1.0, flip=False)
    assert {each.shape for each in (still[0]["image"], train[0]["image"], test[0]["image"])} == {(3, 16, 16)}


def test_the_engines_seed_decides_the_crops(textured: Path) -> None:
    """The dataset's own seed is not used."""

    def drawn(dataset_seed: int, seed: int) -> Tensor:
        items = SeededItems(Labelled(textured, size=16, seed=dataset_seed), seed)
        return torch.stack([items[index]["image"] for index in range(4)])

    assert torch.equal(drawn(0, 1), drawn(7, 1))
    assert not torch.equal(drawn(0, 1), drawn(0, 2))
    assert not torch.equal(drawn(0, 1)[:2], drawn(0, 1)[2:])  # another epoch


def test_batches_hold_labels_as_whole_numbers(animals: Path) -> None:
    dataset = Labelled(animals, size=16)
    (batch,) = batches(dataset, 6, 0, range(1))
    assert batch["image"].shape == (6, 3, 16, 16)
    assert batch["label"].dtype == torch.int64
    assert sorted(batch["label"].tolist()) == [0, 1, 1, 2, 2, 2]
    for image, label in zip(batch["image"], batch["label"], strict=True):
        assert shade(image) // 100 == {0: 2, 1: 0, 2: 1}[int(label)]
    (loaded,) = DataLoader(SeededItems(dataset, 0), sampler=range(6), batch_size=6, num_workers=2)
    assert loaded["label"].tolist() == [0, 1, 1, 2, 2, 2]


# What is refused


def test_wrong_arguments_are_refused(tmp_path: Path, animals: Path) -> None:
    with raises(StylekitError, "labelled", "--data DIR"):
        Labelled()
    with raises(StylekitError, "split", "'val'", "train", "test"):
        Labelled(animals, split="val")
    wrong: list[dict[str, Any]] = [{"size": 0}, {"crop": 0.9}]
    for arguments in wrong:
        with raises(StylekitError, *arguments, *arguments.values(), 1):
            Labelled(animals, **arguments)
    with raises(StylekitError, tmp_path / "nowhere"):
        Labelled(tmp_path / "nowhere")


def test_folders_without_classes_or_images_are_named(tmp_path: Path, animals: Path) -> None:
    shaded(tmp_path / "plain", [10])
    with raises(StylekitError, tmp_path / "plain", "folders", "class"):
        Labelled(tmp_path / "plain")
    (animals / "emu").mkdir()
    with raises(StylekitError, animals / "emu", "images"):
        Labelled(animals)
    assert Labelled(animals, classes=["ant", "cat"]).classes == ("ant", "cat")


def test_unreadable_files_are_left_out_with_a_warning(animals: Path) -> None:
    (animals / "cat/000.png").write_text("text")
    with warns(StylekitWarning, 1, animals / "cat/000.png", f"stylekit data check {animals / 'cat'}"):
        dataset = Labelled(animals, size=16)
    assert contents(dataset) == [(210, 0), (20, 1), (110, 2), (120, 2), (130, 2)]


def test_a_damaged_image_is_replaced_by_another_of_its_class(animals: Path) -> None:
    """So that its label stays right."""
    (animals / "cat/001.png").unlink()
    Image.effect_noise((20, 20), 90).save(animals / "cat/001.bmp")
    (animals / "cat/001.bmp").write_bytes((animals / "cat/001.bmp").read_bytes()[:300])
    dataset = Labelled(animals, size=16)
    with warns(StylekitWarning, animals / "cat/001.bmp"):
        item = dataset[2]
    assert (shade(item["image"]), int(item["label"])) == (10, 1)


def test_conformance(animals: Path) -> None:
    testing.check("dataset", functools.partial(Labelled, animals))
    testing.check("dataset", functools.partial(Labelled, data=animals, classes=["dog", "cat"]))


def test_without_a_path_the_dataset_is_not_tried() -> None:
    with warns(StylekitWarning, "dataset", "not tried", "labelled", "--data"):
        testing.check("dataset", Labelled)


def test_balanced_classes_are_shown_equally_often_in_training(animals: Path) -> None:
    data = Labelled(animals, size=8, balanced=True, crop=1.0)
    items = [data[index] for index in range(len(data))]
    assert len(items) == 9  # three classes, and three images in the largest
    assert torch.stack([item["label"] for item in items]).bincount().tolist() == [3, 3, 3]
    seen = {label: [shade(item["image"]) for item in items if item["label"] == label] for label in range(3)}
    assert seen == {0: [210, 210, 210], 1: [10, 20, 10], 2: [110, 120, 130]}
    assert len(Labelled(animals, size=8, balanced=True, split="test")) == 6
