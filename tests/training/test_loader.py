"""From a data set to batches: the order and all random numbers depend on the seed, the epoch and the index alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylekit import Method, StylekitError, images, make
from stylekit.registry import lookup
from stylekit.seeding import derive, seeded
from stylekit.training.loader import Order, SeededItems, batches
from stylekit.training.rehearsal import rehearse
from stylekit.training.settings import Settings, validate_settings
from stylekit.training.setup import build_method, check_data, open_data, resolve
from stylekit_plugins.datasets.folders import Folders
from tests.facts import raises


class Dice(Dataset[dict[str, Tensor]]):
    """Every item draws from all three sources of random numbers."""

    def __init__(self, length: int = 5) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        drawn = [float(index), float(torch.rand(())), random.random(), float(np.random.rand())]
        return {"dice": torch.tensor(drawn, dtype=torch.float64)}


def draws(order: Order) -> list[int]:
    return [draw for batch in order for draw in batch]


def rolls(steps: range, share: tuple[int, int] = (0, 1), workers: int = 0, batch_size: int = 4) -> list[Tensor]:
    return [batch["dice"] for batch in batches(Dice(), batch_size, 7, steps, share, workers)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_an_item_depends_on_the_seed_the_epoch_and_the_index_alone() -> None:
    items = SeededItems(Dice(), seed=1)
    once = {draw: items[draw]["dice"] for draw in range(10)}
    for draw in (7, 3, 9, 0, 3):
        assert torch.equal(SeededItems(Dice(), seed=1)[draw]["dice"], once[draw])
    assert once[3][0] == once[8][0] == 3  # the same item in two epochs
    assert not bool((once[3][1:] == once[8][1:]).any())  # other random numbers, of every source
    assert not bool((once[3][1:] == once[4][1:]).any())
    assert not bool((once[3][1:] == SeededItems(Dice(), seed=2)[3]["dice"][1:]).any())


def test_the_global_random_state_is_unchanged() -> None:
    def start() -> None:
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)

    start()
    expected = Dice()[0]["dice"]
    start()
    assert rolls(range(3))
    with pytest.raises(ZeroDivisionError), seeded("a block that fails"):
        raise ZeroDivisionError
    assert torch.equal(Dice()[0]["dice"], expected)


def test_every_epoch_is_a_new_permutation() -> None:
    order = draws(Order(items=6, batch_size=4, seed=0, steps=range(9)))
    epochs = [order[start : start + 6] for start in range(0, 36, 6)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == [number * 6 + index for index in range(6)]
    assert len({tuple(draw % 6 for draw in epoch) for epoch in epochs}) > 3
    assert order != draws(Order(items=6, batch_size=4, seed=1, steps=range(9)))


def test_a_batch_may_span_two_epochs() -> None:
    first, second = list(Order(items=3, batch_size=2, seed=0, steps=range(2)))
    assert sorted([*first, *second][:3]) == [0, 1, 2]
    assert second[1] >= 3


def test_a_batch_may_be_larger_than_the_data_set() -> None:
    (batch,) = list(Order(items=2, batch_size=5, seed=0, steps=range(1)))
    assert [draw // 2 for draw in batch] == [0, 0, 1, 1, 2]


def test_a_later_start_continues_the_same_order() -> None:
    whole = list(Order(items=5, batch_size=3, seed=4, steps=range(10)))
    assert list(Order(items=5, batch_size=3, seed=4, steps=range(6, 10))) == whole[6:]
    assert same(rolls(range(3, 5)), rolls(range(5))[3:])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_draw_what_one_draws(world: int) -> None:
    one = rolls(range(6))
    shares = [rolls(range(6), (rank, world)) for rank in range(world)]
    assert same([torch.cat(parts) for parts in zip(*shares, strict=True)], one)


def test_workers_draw_what_the_main_process_draws() -> None:
    assert same(rolls(range(6), workers=2), rolls(range(6)))


def test_the_length_is_the_number_of_steps() -> None:
    assert len(Order(items=3, batch_size=2, seed=0, steps=range(2, 9))) == 7


def test_an_empty_data_set_is_refused() -> None:
    with raises(StylekitError, "data set", "empty"):
        batches(Dice(0), 1, 0, range(1))


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with raises(StylekitError, "batch of 3", "2 processes", "multiple of 2"):
        batches(Dice(), 3, 0, range(1), (0, 2))


def test_images_from_folders_are_the_same_in_every_order(tmp_path: Path) -> None:
    for number in range(3):
        image = torch.rand(1, 3, 40, 52)
        images.write(tmp_path / f"{number}.png", image)
    data = Folders(tmp_path, tmp_path, size=16)
    items = SeededItems(data, seed=0)
    forwards = [items[draw] for draw in range(6)]
    backwards = [items[draw] for draw in reversed(range(6))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert torch.equal(one["content"], other["content"])
        assert torch.equal(one["style"], other["style"])
    assert not torch.equal(forwards[0]["content"], forwards[3]["content"])  # another crop in the next epoch


class Copy(Method):
    """Needs only the content."""

    batch_keys = ("content",)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content


def settings(folder: Path, plugin: str = "cyclegan", **given: object) -> Settings:
    given_settings = validate_settings({"plugin": plugin, "preset": "tiny", "size": 16, "content": folder, **given})
    return resolve(given_settings, lookup.find_part("method", plugin))


def test_a_folder_of_content_alone_is_a_data_set(tmp_path: Path) -> None:
    images.write(tmp_path / "0.png", torch.rand(1, 3, 40, 52))
    data = open_data(settings(tmp_path), "train")
    assert {key: image.shape for key, image in data[0].items()} == {"content": (3, 16, 16)}
    rehearse(Copy(), {key: image[None] for key, image in data[0].items()})


def test_a_data_set_without_what_the_method_needs_is_refused(tmp_path: Path) -> None:
    images.write(tmp_path / "0.png", torch.rand(1, 3, 40, 52))
    alone = settings(tmp_path)
    name, method, _ = build_method(alone)
    with raises(StylekitError, "method 'cyclegan'", "'style'", "Folders", "only content", "--style DIR"):
        check_data(method, name, open_data(alone, "train"))
    check_data(method, name, open_data(settings(tmp_path, style=tmp_path), "train"))
    check_data(Copy(), "copy", open_data(alone, "train"))


@pytest.mark.parametrize("place", ["the method", "its discriminator"])
def test_more_classes_in_the_data_than_the_method_has_are_refused(place: str) -> None:
    class Animals:
        item_keys = ("content",)
        classes = ("cat", "dog", "owl")

        def __getitem__(self, index: int) -> dict[str, int]:
            return {"content": 0, "label": index}

    data = Animals()
    method = Copy()
    method.batch_keys = ("content", "label")  # type: ignore[misc]
    method.judge = nn.Identity()
    method.arguments = {"classes": 2, "judge": "patch"}
    part, option = (method, "classes=3") if place == "the method" else (method.judge, "judge.classes=3")
    part.classes = 2
    with raises(StylekitError, "3 classes", "cat, dog, owl", f"--set {option}", "2"):
        check_data(method, "copy", data)
    part.classes = 3
    check_data(method, "copy", data)
    part.classes = 2
    method.batch_keys = ("content",)  # type: ignore[misc]
    check_data(method, "copy", data)


def test_every_address_has_its_own_seed() -> None:
    addresses = [(0, "step", 1, 2), (0, "step", 12), (0, "step", "1", 2), (0, "item", 1, 2), (1, "step", 1, 2), (0,)]
    seeds = {derive(*address) for address in addresses}
    assert len(seeds) == len(addresses)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(0, "step", 1) == 4413158142644703930  # in every process and every release, as runs resume with it


def test_seeded_blocks_may_be_nested() -> None:
    with seeded("outer"):
        first = torch.rand(2)
        with seeded("inner"):
            inner = torch.rand(2)
        after = torch.rand(2)
    with seeded("outer"):
        assert torch.equal(torch.rand(4), torch.cat([first, after]))
    with seeded("inner"):
        assert torch.equal(torch.rand(2), inner)


NOISE = """
import torch
from stylekit import hookimpl

class Noise:
    item_keys = ("content",)

    def __init__(self, size=8, seed=0, split="train"):
        self.size = size

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"content": torch.rand(3, self.size, self.size)}

@hookimpl
def stylekit_datasets():
    return {"noise_of_a_file": Noise}
"""


@pytest.mark.slow
def test_a_data_set_of_a_plugin_file_works_in_spawned_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_files", {})
    (tmp_path / "noise.py").write_text(NOISE)
    lookup.add_file(tmp_path / "noise.py")
    dataset = make("dataset", "noise_of_a_file", size=8)
    here = [batch["content"] for batch in batches(dataset, 2, 1, range(2))]
    loader = batches(dataset, 2, 1, range(2), workers=1)
    loader.multiprocessing_context = "spawn"
    assert same([batch["content"] for batch in loader], here)
