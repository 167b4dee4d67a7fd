"""Packing a folder into shards."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stylekit.datasets import find_pairs, image_files, packing
from stylekit.datasets.packing import pack, pattern
from stylekit.errors import StylekitError
from tests.datasets.test_shards import picture
from tests.facts import raises


def filled(folder: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(number))
    return folder


def test_shards_have_so_many_images_each_in_the_order_of_names(tmp_path: Path) -> None:
    photos = filled(tmp_path / "photos", [f"{number}.png" for number in range(5)])
    (photos / "notes.txt").write_text("not an image")
    (packed,) = pack(photos, tmp_path / "sh", count=2)
    assert [path.name for path in packed.shards] == ["00000.tar", "00001.tar", "00002.tar"]
    assert pattern(packed.shards) == f"{tmp_path}/sh/{{00000..00002}}.tar"
    assert (packed.images, packed.bytes) == (5, sum(path.stat().st_size for path in packed.shards))
    names = []
    for path in packed.shards:
        with tarfile.open(path) as shard:  # as other programs read it
            names.append(shard.getnames())
            for name in shard.getnames():
                content = shard.extractfile(name)
                assert content
                assert content.read() == (photos / name).read_bytes()
    assert names == [["0.png", "1.png"], ["2.png", "3.png"], ["4.png"]]
    assert [path.suffix for path in sorted((tmp_path / "sh").iterdir())] == [".tar", ".index"] * 3


def test_shards_end_before_a_number_of_bytes(tmp_path: Path) -> None:
    photos = filled(tmp_path / "photos", [f"{number}.png" for number in range(4)])
    (photos / "1.png").write_bytes(b"x" * 5000)
    (packed,) = pack(photos, tmp_path / "sh", limit=1000)
    counts = [len(image_files(path)) for path in packed.shards]
    assert counts == [1, 1, 2]  # the second has more bytes by itself


def test_the_bytes_depend_only_on_the_images(tmp_path: Path) -> None:
    photos = filled(tmp_path / "photos", ["a.png", "b.png"])
    list(pack(photos, tmp_path / "one"))
    os.utime(photos / "a.png", (1, 1))
    (photos / "a.png").chmod(0o600)
    list(pack(photos, tmp_path / "two"))
    assert (tmp_path / "one" / "00000.tar").read_bytes() == (tmp_path / "two" / "00000.tar").read_bytes()


def test_subfolders_stay_and_pairs_with_them(tmp_path: Path) -> None:
    names = ["00.png", "deep/01.png", "deep/02.png"]
    data = tmp_path / "data"
    for side in ("trainA", "trainB", "testA", "testB"):
        filled(data / side, names)
    (data / "trainB" / "00.png").write_bytes(picture(9) + b" " * 5000)  # the sides are divided in different places
    packed = list(pack(data, tmp_path / "sh", limit=200))
    assert {each.folder.relative_to(data).as_posix() for each in packed} == {
        f"{side}{deep}" for side in ("trainA", "trainB", "testA", "testB") for deep in ("", "/deep")
    }
    pairs: list[Any] = list(find_pairs(data=tmp_path / "sh"))
    assert [[file.path.as_posix() for file in pair] for pair in pairs] == [[name, name] for name in names]
    assert {pair[0].shard.place.relative_to(tmp_path / "sh").parts[0] for pair in pairs} == {"trainA"}


def test_a_folder_without_images_and_a_used_one_are_refused(tmp_path: Path) -> None:
    photos = filled(tmp_path / "photos", ["a.png"])
    (tmp_path / "empty").mkdir()
    with raises(StylekitError, "no images", tmp_path / "empty"):
        list(pack(tmp_path / "empty", tmp_path / "sh"))
    with raises(StylekitError, tmp_path, "not empty"):
        list(pack(photos, tmp_path))
    with raises(StylekitError, "inside", photos):
        list(pack(photos, photos / "sh"))


def test_an_interrupted_shard_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = filled(tmp_path / "photos", ["a.png", "b.png"])

    def fail(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "_add", fail)
    with pytest.raises(KeyboardInterrupt):
        list(pack(photos, tmp_path / "sh"))
    assert list((tmp_path / "sh").iterdir()) == []
