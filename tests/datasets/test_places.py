"""Files in folders of this machine, in memory, and in an object store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stylekit.datasets.places import Place, address
from stylekit.errors import StylekitError
from tests.facts import raises


@pytest.fixture(params=["local", "memory", "renaming"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "local":
        return Place(str(tmp_path / "out"))
    made = Place(f"memory://{tmp_path.name}")
    if request.param == "renaming":  # as on a server of files, where a file that is written is seen while it grows
        monkeypatch.setattr("stylekit.datasets.places.PUT", set())
    return made


def test_what_is_written_is_found_and_read(place: Place) -> None:
    assert place.find() == {}
    place.write("a.png", b"123")
    place.write("sub/b.png", b"4567")
    place.write("a.png", b"12")
    assert place.find() == {"a.png": 2, "sub/b.png": 4}
    assert place.find("sub") == {"sub/b.png": 4}
    assert place.read("sub/b.png") == b"4567"
    place.remove(["a.png", "gone.png"])
    assert place.find() == {"sub/b.png": 4}


def test_a_place_is_a_file_or_a_folder(place: Place) -> None:
    place.write("a.png", b"123")
    assert not place.is_file()
    assert Place(f"{place.path}/a.png").is_file()
    assert Place(f"{place.path}/a.png").read() == b"123"


def test_an_address_means_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address("in/../out") == f"{tmp_path}{os.sep}out"
    assert address("s3://bucket/folder/") == "s3://bucket/folder"
    with raises(StylekitError, "s3://", "names no place"):
        address("s3://")


def test_what_is_missing_is_named(place: Place) -> None:
    with pytest.raises(StylekitError, match=r"gone\.png does not exist"):
        place.read("gone.png")


def test_a_protocol_that_nobody_knows_is_refused() -> None:
    with pytest.raises(StylekitError, match="nonsense://a is no address that fsspec can use"):
        Place("nonsense://a")
