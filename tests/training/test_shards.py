"""Training on shards: the order, exact resume, several processes, and shards at addresses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import stylekit
from stylekit import StylekitError, images
from stylekit.datasets import shards
from stylekit.datasets.packing import pack
from stylekit.registry.parts import make
from stylekit.training.loader import Order, batches
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from tests.datasets.test_remote import served  # noqa: F401
from tests.facts import raises
from tests.line import Line


class Both(Line):
    batch_keys = ("content", "style")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards of two images each, of twelve content and four style images; a window has two shards."""
    monkeypatch.setattr(shards, "WINDOW", 4)
    for side, count in (("A", 12), ("B", 4)):
        (tmp_path / "data" / side).mkdir(parents=True)
        for number in range(count):
            image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(number))
            images.write(tmp_path / "data" / side / f"{number:02}.png", image)
    list(pack(tmp_path / "data", tmp_path / "sh", count=2))
    return tmp_path / "sh"


def sides(data: Path) -> dict[str, str]:
    return {"content": f"{data}/A/{{00000..00005}}.tar", "style": f"{data}/B/{{00000..00001}}.tar"}


def folders(data: Path, **options: Any) -> Any:
    return make("dataset", {"name": "folders", **sides(data), **options}, size=32)


def load(dataset: Any, steps: range, share: tuple[int, int] = (0, 1), workers: int = 0) -> list[dict[str, Tensor]]:
    return list(batches(dataset, 4, 7, steps, share, workers))


def same(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> bool:
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a)


def test_items_are_those_of_the_folders(tmp_path: Path, data: Path) -> None:
    plain = make("dataset", {"name": "folders", "data": str(tmp_path / "data")}, size=32, split="test")
    for given in (sides(data), {"data": str(data)}):
        packed = make("dataset", {"name": "folders", **given}, size=32, split="test")
        assert len(packed) == len(plain) == 12
        for index in range(12):
            assert torch.equal(packed[index]["content"], plain[index]["content"])


def test_every_epoch_is_another_permutation_close_to_shards(data: Path) -> None:
    dataset = folders(data)
    order = [draw for draws in Order(12, 4, 7, range(9), arrange=dataset.order) for draw in draws]
    epochs = [[draw - 12 * number for draw in order[12 * number : 12 * number + 12]] for number in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    for epoch in epochs:
        for start in (0, 4, 8):  # a window of two shards
            assert len({index // 2 for index in epoch[start : start + 4]}) == 2


def test_more_style_than_content_images_are_all_used(data: Path) -> None:
    given = sides(data)
    dataset = folders(data, content=given["style"], style=given["content"])
    order = dataset.order(lambda count: torch.randperm(count).tolist())
    assert len(dataset) == 12
    assert sorted(order) == list(range(12))


def test_workers_and_processes_load_the_same_batches(data: Path) -> None:
    dataset = folders(data)
    whole = load(dataset, range(6))
    assert same(load(dataset, range(6), workers=2), whole)
    assert same(load(dataset, range(2, 6), workers=1), whole[2:])
    halves = [load(dataset, range(6), (rank, 2)) for rank in range(2)]
    joined = [{key: torch.cat([one[key], two[key]]) for key in one} for one, two in zip(*halves, strict=True)]
    assert same(joined, whole)


def test_a_run_resumes_exactly_in_the_middle_of_a_shard_that_moved(tmp_path: Path, data: Path) -> None:
    settings: dict[str, Any] = {"size": 32, "workers": 0, "steps": 5, "batch_size": 3}
    torch.manual_seed(0)
    whole = stylekit.train(Both(), out=tmp_path / "whole", **settings, **sides(data))
    torch.manual_seed(0)
    run = stylekit.train(Both(), out=tmp_path / "run", checkpoint_every=2, keep=9, **settings, **sides(data))
    for step in (4, 5):
        shutil.rmtree(run / "checkpoints" / str(step))
    moved = Path(shutil.move(data, tmp_path / "elsewhere"))
    with raises(StylekitError, data / "A", "moved", "--content"):
        stylekit.train(Both(), resume=True, out=run)
    stylekit.train(Both(), resume=True, out=run, **sides(moved))
    for one, two in zip(*(read_tensors(each / "model.safetensors")[0].values() for each in (run, whole)), strict=True):
        assert torch.equal(one, two)
    assert Run(run).metrics() == Run(whole).metrics()


def test_other_shards_are_not_the_same_data(tmp_path: Path, data: Path) -> None:
    """Images that are divided in another way come in another order."""
    run = stylekit.train(Both(), out=tmp_path / "run", size=32, workers=0, steps=1, **sides(data))
    list(pack(tmp_path / "data", tmp_path / "other", count=3))
    given = {"content": f"{tmp_path}/other/A/{{00000..00003}}.tar", "style": f"{tmp_path}/other/B/{{00000..00001}}.tar"}
    with raises(StylekitError, run, "changed", "--init"):
        stylekit.train(Both(), resume=True, out=run, steps=2, **given)
    with raises(StylekitError, run, "changed", "--init"):
        stylekit.train(Both(), resume=True, out=run, steps=2, content=tmp_path / "data/A", style=tmp_path / "data/B")


def test_damaged_images_in_shards_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    images.write(tmp_path / "data" / "0.png", torch.zeros(1, 3, 40, 40))
    (tmp_path / "data" / "1.png").write_bytes((tmp_path / "data" / "0.png").read_bytes()[:60])
    list(pack(tmp_path / "data", tmp_path / "sh"))
    dataset = make("dataset", {"name": "folders", "content": f"{tmp_path}/sh/00000.tar"}, size=32)
    with pytest.warns(stylekit.errors.StylekitWarning, match=r"00000\.tar/1\.png.*data check .*00000\.tar"):
        assert torch.equal(dataset[1]["content"], dataset[0]["content"])


def test_addresses_are_stored_as_they_are_and_loaded_by_workers(served: str, tmp_path: Path) -> None:  # noqa: F811
    address = f"{served}/{{00000..00001}}.tar"
    run = stylekit.train(Line(), out=tmp_path / "run", size=32, workers=2, steps=4, content=address)
    assert Run(run).settings().data == {"name": "folders", "content": address}
    again = stylekit.train(Line(), resume=True, out=run, workers=0, steps=5)
    assert [line["step"] for line in Run(again).metrics()] == [1, 2, 3, 4, 5]


def test_classes_and_pairs_are_those_of_the_folders(tmp_path: Path, data: Path) -> None:
    labelled = make("dataset", {"name": "labelled", "data": str(data)}, size=32, split="test")
    assert labelled.classes == ("A", "B")
    assert [int(labelled[index]["label"]) for index in (0, 11, 12, 15)] == [0, 0, 1, 1]
    assert sorted(labelled.order(lambda count: torch.randperm(count).tolist())) == list(range(16))
    for number in range(4, 12):
        (tmp_path / "data" / "A" / f"{number:02}.png").unlink()
    list(pack(tmp_path / "data", tmp_path / "paired", count=3))
    pairs = make("dataset", {"name": "pairs", "data": str(tmp_path / "paired")}, size=32, split="test")
    plain = make("dataset", {"name": "pairs", "data": str(tmp_path / "data")}, size=32, split="test")
    assert len(pairs) == len(plain) == 4
    for index in range(4):
        assert all(torch.equal(pairs[index][key], plain[index][key]) for key in ("content", "style"))
    assert sorted(pairs.order(lambda count: torch.randperm(count).tolist())) == [0, 1, 2, 3]
