"""Shards: their index, their names, the order of their images, and shards that are damaged."""

from __future__ import annotations

import io
import os
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from stylekit.datasets import image_files, open_image, shards, shuffled
from stylekit.datasets.members import Member, Shard
from stylekit.errors import StylekitError
from tests.facts import raises


def picture(shade: int) -> bytes:
    """A PNG file of one shade."""
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (shade,) * 3).save(content, "PNG")
    return content.getvalue()


def tar(path: Path, files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> Path:
    """A tar file as others write it, with metadata beside the images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as out:
        for name, content in files.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            out.addfile(facts, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of three images each, whose shades are 0 to 5."""
    for number in range(2):
        files = {f"{index}.png": picture(3 * number + index) for index in range(3)}
        tar(tmp_path / "sh" / f"{number:03}.tar", {**files, "0.json": b"{}", ".hidden.png": b"", "0.txt": b"a caption"})
    return tmp_path / "sh"


def shade(file: object) -> int:
    with open_image(file) as image:
        return image.getpixel((0, 0))[0]


def permuting(seed: int) -> Callable[[int], list[int]]:
    draws = random.Random(seed)
    return lambda count: draws.sample(range(count), count)


@pytest.mark.parametrize("source", ["{000..001}.tar", "00{0..1}.tar", ""])
def test_the_images_of_shards_are_found_by_range_or_by_folder(folder: Path, source: str) -> None:
    files = image_files(folder / source)
    assert [shade(file) for file in files] == [0, 1, 2, 3, 4, 5]
    assert [str(file) for file in files[2:4]] == [f"{folder}/000.tar/2.png", f"{folder}/001.tar/0.png"]


def test_several_ranges_are_all_combinations(tmp_path: Path) -> None:
    for part in "12":
        for number in ("09", "10"):
            tar(tmp_path / part / f"{number}.tar", {"a.png": picture(int(part))})
    files = image_files(f"{tmp_path}/{{1..2}}/{{09..10}}.tar")
    assert [file.shard.label for file in files if isinstance(file, Member)] == [
        "1/09.tar",
        "1/10.tar",
        "2/09.tar",
        "2/10.tar",
    ]


def test_images_by_themselves_come_before_shards_beside_them(folder: Path) -> None:
    (folder / "a.png").write_bytes(picture(9))
    assert image_files(folder) == [folder / "a.png"]


def test_the_content_is_that_of_the_tar_file(folder: Path) -> None:
    member = image_files(folder)[4]
    with tarfile.open(folder / "001.tar") as original:
        content = original.extractfile("1.png")
        assert content
        assert member.read_bytes() == content.read()


def test_an_index_is_kept_and_used_until_the_shard_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image_files(folder)
    scanned: list[Path] = []
    scan = shards.scan

    def watched(path: Path) -> list[tuple[str, int, int]]:
        scanned.append(path)
        return scan(path)

    monkeypatch.setattr(shards, "scan", watched)
    assert image_files(folder) == before
    assert scanned == []
    (folder / "000.tar.index").write_text("{damaged")
    tar(folder / "001.tar", {"new.png": picture(1)})
    os.utime(folder / "001.tar.index", (1, 1))  # older than the shard, which has the same size
    assert [file.name for file in image_files(folder)] == ["0.png", "1.png", "2.png", "new.png"]
    assert scanned == [folder / "000.tar", folder / "001.tar"]


@pytest.mark.parametrize("place", [[-1, 5], [0, 10**9], ["a", 1]])
def test_an_index_that_points_outside_of_its_shard_is_not_used(folder: Path, place: list[object]) -> None:
    size = (folder / "000.tar").stat().st_size
    (folder / "000.tar.index").write_text(
        f'{{"bytes": {size}, "members": [["x.png", {str(place)[1:-1]}]]}}'.replace("'", '"')
    )
    assert [file.name for file in image_files(folder / "000.tar")] == ["0.png", "1.png", "2.png"]


def test_a_folder_that_cannot_be_written_needs_no_stored_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise StylekitError("read-only")

    monkeypatch.setattr(shards, "write_index", refuse)
    assert len(image_files(folder)) == 6
    assert not list(folder.glob("*.index"))


@pytest.mark.parametrize("where", ["content", "header", "end"])
def test_a_half_written_shard_is_named(folder: Path, where: str) -> None:
    path = folder / "001.tar"
    with tarfile.open(path) as whole:
        last = whole.getmember("2.png")
    kept = {"content": last.offset_data + 10, "header": last.offset + 100, "end": last.offset}[where]
    path.write_bytes(path.read_bytes()[:kept])
    with raises(StylekitError, path, "incomplete", "write it again"):
        image_files(folder)


def test_a_damaged_header_is_not_the_end(folder: Path) -> None:
    path = folder / "000.tar"
    with tarfile.open(path) as whole:
        offset = whole.getmember("1.png").offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 512] = b"x" * 512
    path.write_bytes(content)
    with raises(StylekitError, path, "damaged", "0.png"):
        image_files(folder)


def test_what_is_no_tar_file_or_compressed_is_refused(tmp_path: Path) -> None:
    tar(tmp_path / "packed.tar", {"a.png": picture(1)}, "w:gz")
    (tmp_path / "text.tar").write_text("text")
    (tmp_path / "empty.tar").write_text("")
    for name in ("packed", "text", "empty"):
        with raises(StylekitError, f"{name}.tar", "compressed", "incomplete"):
            image_files(tmp_path / f"{name}.tar")


def test_a_shard_that_became_shorter_is_named_when_it_is_read(folder: Path) -> None:
    member = image_files(folder)[2]
    assert isinstance(member, Member)
    (folder / "000.tar").write_bytes((folder / "000.tar").read_bytes()[: member.offset + 3])
    with raises(StylekitError, member, "ends before"), open_image(member):
        pass


def test_missing_shards_are_named(folder: Path) -> None:
    with raises(StylekitError, folder / "002.tar", "4 more", "7 shards"):
        image_files(folder / "{000..006}.tar")
    with raises(StylekitError, "{5..3}", "upwards"):
        image_files(folder / "{5..3}.tar")
    with raises(StylekitError, "{0..99999999}", "1,000,000"):
        image_files(folder / "{0..99999999}.tar")
    with raises(StylekitError, "s3://bucket/folder/{000..099}.tar"):
        image_files("s3://bucket/folder")


def test_an_image_that_is_damaged_or_empty_within_a_shard_is_named(tmp_path: Path) -> None:
    tar(tmp_path / "x.tar", {"bad.png": b"text", "none.png": b""})
    for name, reason in (("bad.png", "damaged"), ("none.png", "empty")):
        (member,) = (file for file in image_files(tmp_path / "x.tar") if file.name == name)
        with raises(StylekitError, f"x.tar/{name}", reason), open_image(member):
            pass


def members(counts: list[int]) -> list[Member]:
    return [
        Member(Shard(f"{number}.tar", f"{number}.tar"), f"{index}.png", 0, 1)
        for number, count in enumerate(counts)
        for index in range(count)
    ]


def test_the_order_mixes_within_a_window_of_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "WINDOW", 20)
    files = members([10] * 8)
    order = shuffled(files, permuting(1))
    assert sorted(order) == list(range(80))
    windows = [[files[index].shard.label for index in order[start : start + 20]] for start in range(0, 80, 20)]
    assert all(len(set(window)) == 2 for window in windows)  # each has two shards,
    assert all(window != sorted(window) for window in windows)  # mixed,
    visited = [label for window in windows for label in sorted(set(window))]
    assert visited != sorted(visited)  # and they come in any order
    assert order == shuffled(files, permuting(1))
    assert order != shuffled(files, permuting(2))


def test_a_set_that_fits_in_a_window_is_a_permutation_of_all() -> None:
    files = members([3, 1, 4])
    first = [shuffled(files, permuting(seed))[0] for seed in range(400)]
    assert all(30 < first.count(index) < 75 for index in range(8))  # 50 each are expected, with a deviation of 6.6


def test_files_by_themselves_are_in_any_order() -> None:
    paths = [Path(str(number)) for number in range(9)]
    assert shuffled(paths, permuting(3)) == permuting(3)(9)
