"""``stylekit data pack``, and the commands that read shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.fixture
def photos(tmp_path: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        paint(tmp_path / "photos" / f"{number}.png", 100 + number, 90)
    return tmp_path / "photos"


def test_the_table_says_how_to_name_the_shards(program: Program, photos: Path) -> None:
    done = program("data", "pack", "photos", "-o", "sh", "--count", 2)
    assert done.code == 0
    assert_mentions(done.out, "sh/{00000..00002}.tar", 5)
    (facts,) = json.loads(program("data", "pack", "photos", "-o", "one", "--json").out)["folders"]
    assert (facts["shards"], facts["count"], facts["images"]) == ("one/00000.tar", 1, 5)


def test_megabytes_end_a_shard_earlier(program: Program, photos: Path) -> None:
    (photos / "large.png").write_bytes(b"x" * 999_999)
    (facts,) = json.loads(program("data", "pack", "photos", "-o", "sh", "--megabytes", 1, "--json").out)["folders"]
    assert facts["count"] == 2


def test_shards_are_checked_like_a_folder(program: Program, photos: Path) -> None:
    (photos / "bad.png").write_text("text")
    program("data", "pack", "photos", "-o", "sh")
    for source in ("sh", "sh/{00000..00000}.tar"):
        done = program("data", "check", source, "--json")
        assert done.code == 1
        (side,) = json.loads(done.out)["sides"]
        assert (side["images"], side["lengths"]) == (6, [90, 95.0, 104])
        assert side["unreadable"][0]["file"] == "sh/00000.tar/bad.png"
    assert_mentions(program("data", "check", "sh/00000.tar").out, "--content sh/00000.tar")


def test_a_half_written_shard_is_one_paragraph(program: Program, photos: Path) -> None:
    program("data", "pack", "photos", "-o", "sh")
    shard = photos.parent / "sh" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:900])
    for line in (["data", "check", "sh/00000.tar"], ["train", "--plugin", "cyclegan", "--content", "sh/00000.tar"]):
        assert_mentions(program(*line).error, "sh/00000.tar", "incomplete")
    assert_mentions(program("data", "check", "sh/{1..2}.tar").error, "no shard sh/1.tar")


def test_used_folders_are_refused(program: Program, photos: Path) -> None:
    assert_mentions(program("data", "pack", "photos", "-o", "photos/sh").error, "inside photos")
    assert_mentions(program("data", "pack", "nothing", "-o", "sh").error, "no folder nothing")
