"""The manifest: what is finished, by digests, and never of other settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylekit.cli.batch.manifest import FOLDER, Manifest, Record, digest, settings_digest
from stylekit.datasets.places import Place
from stylekit.errors import StylekitError
from tests.facts import assert_mentions

SETTINGS = {"model": "a", "strength": 1.0}


def record(target: str, settings: dict[str, object] = SETTINGS) -> Record:
    return Record(target, f"/in/{target}", digest(b"in"), settings_digest(settings), digest(b"out"), 4, 3, 1, 0.5)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(Place(str(tmp_path / "out")))


def files(manifest: Manifest) -> list[str]:
    return sorted(name.removeprefix(f"{FOLDER}/") for name in manifest.out.find(FOLDER))


def test_digests_are_sha256() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert settings_digest({"b": 1, "a": 2}) == digest(b'{"a": 2, "b": 1}')


def test_what_is_recorded_is_known_the_next_time(manifest: Manifest) -> None:
    assert manifest.begin(SETTINGS, overwrite=False) == {}
    manifest.add([record("1.png"), record("sub/2.png")])
    manifest.add([record("3.png")])
    known = {name: record(name) for name in ("1.png", "sub/2.png", "3.png")}
    assert manifest.begin(SETTINGS, overwrite=False) == known
    manifest.merge()
    assert files(manifest) == ["records.jsonl", "settings.json"]
    assert manifest.begin(SETTINGS, overwrite=False) == known


def test_what_is_done_twice_is_recorded_once(manifest: Manifest) -> None:
    manifest.begin(SETTINGS, overwrite=False)
    for _ in range(2):
        manifest.add([record("1.png"), record("2.png")])
    assert len(files(manifest)) == 2
    manifest.merge()
    lines = manifest.out.read(f"{FOLDER}/records.jsonl").splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["1.png", "2.png"]


def test_outputs_of_other_settings_are_refused_by_what_differs(manifest: Manifest) -> None:
    manifest.begin(SETTINGS, overwrite=False)
    with pytest.raises(StylekitError) as error:
        manifest.begin({**SETTINGS, "strength": 0.5}, overwrite=False)
    assert_mentions(str(error.value), "other settings: strength was 1.0 and is 0.5", "--overwrite", "--out")


def test_overwriting_forgets_what_was_made(manifest: Manifest) -> None:
    manifest.begin(SETTINGS, overwrite=False)
    manifest.add([record("1.png")])
    other = {**SETTINGS, "strength": 0.5}
    assert manifest.begin(other, overwrite=True) == {}
    assert manifest.begin(other, overwrite=False) == {}


def test_a_damaged_manifest_is_named(manifest: Manifest) -> None:
    manifest.begin(SETTINGS, overwrite=False)
    manifest.out.write(f"{FOLDER}/x.jsonl", b'{"target": "1.png"')
    with pytest.raises(StylekitError, match=r"x\.jsonl is damaged"):
        manifest.begin(SETTINGS, overwrite=False)
