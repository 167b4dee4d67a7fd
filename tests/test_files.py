"""Files and folders that are whole or not there, and a run's folder that is read back."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from stylekit import StylekitError, _files
from stylekit._files import atomic_folder, remove, remove_leftovers, write_atomic
from stylekit.training.runs import Run, next_free
from stylekit.training.settings import Settings, read_assignments, validate_settings


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for content in ("old", "new ä", b"\x00\xff"):
        write_atomic(tmp_path / "it", content)
        assert (tmp_path / "it").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["it"]


@pytest.mark.parametrize("when", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "There is no space left to write .*it. Nothing that was there is lost."),
        (errno.EDQUOT, "There is no space left to write"),
        (errno.EACCES, "it cannot be written: Permission denied."),
    ],
)
def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, number: int, told: str
) -> None:
    write_atomic(tmp_path / "it", "old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "fsync", fail) if when == "fsync" else (Path, "replace", fail)))
    with pytest.raises(StylekitError, match=told):
        write_atomic(tmp_path / "it", "new")
    assert names(tmp_path) == ["it"]
    assert (tmp_path / "it").read_text() == "old"


def test_a_folder_that_fails_on_the_way_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "it") as folder:
        write_atomic(folder / "a", "old")

    def fail() -> None:
        with atomic_folder(tmp_path / "it") as folder:
            write_atomic(folder / "a", "new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == ["it"]
    assert (tmp_path / "it" / "a").read_text() == "old"


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "it") as folder:
            write_atomic(folder / name, name)
    assert names(tmp_path) == ["it"]
    assert names(tmp_path / "it") == ["new"]


def test_no_space_in_a_folder_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StylekitError, match=r"no space left to write .*/a\."), atomic_folder(tmp_path / "it") as folder:
        write_atomic(folder / "a", "new")
    assert names(tmp_path) == []


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".it.abcd.part").write_text("half")
    (tmp_path / ".3.abcd.part").mkdir()
    (tmp_path / ".3.abcd.part" / "a").write_text("half")
    for name in (".hidden", "a.part", "it"):
        (tmp_path / name).write_text("mine")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", "a.part", "it"]


def test_a_missing_folder_is_gone_already(tmp_path: Path) -> None:
    remove(tmp_path / "nowhere")


def test_the_next_free_folder(tmp_path: Path) -> None:
    found = []
    for _ in range(3):
        folder = next_free(tmp_path, "it")
        folder.mkdir()
        found.append(folder.name)
    assert found == ["it", "it-2", "it-3"]


def test_a_log_that_a_crash_cut_is_read_and_rewound(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.metrics() == []
    for step in (1, 2, 3):
        run.log({"step": step, "loss": 0.1 * step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    run.rewind(2)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n'


@pytest.mark.parametrize("folder", ["runs/it", "a run's [folder] & more", "-x"])
def test_the_command_to_go_on_is_quoted_for_a_shell(folder: str) -> None:
    import shlex

    *start, out = shlex.split(Run(Path(folder)).resume_command())
    assert start == ["stylekit", "train", "--resume", "--out"]
    assert Path(out) == Path(folder)


def test_settings_come_back_from_json() -> None:
    settings = validate_settings(
        {"plugin": "cyclegan", "content": "a", "style": "b", "log": ["x"], "set": {"a": {"b": [1]}}}
    )
    assert validate_settings(settings.as_json()) == settings


def test_settings_are_described_and_cannot_be_changed() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    with pytest.raises(ValueError, match="frozen"):
        validate_settings({"plugin": "x"}).steps = 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6", 6), ("-1", -1), ("0.5", 0.5), ("1e-4", 1e-4), ("1E+3", 1000.0), (".5", 0.5), ("-2e-1", -0.2),
        ("true", True), ("null", None), ("none", "none"), ("", None), ("resnet", "resnet"), ("'6'", 6),
        ("[1, 2]", [1, 2]), ("{name: unet, downs: 5}", {"name": "unet", "downs": 5}),
        ("a=b", "a=b"), ("1.2.3", "1.2.3"), ("inf", "inf"), ("./x", "./x"),
    ],
)  # fmt: skip
def test_values_are_read_as_people_mean_them(text: str, value: object) -> None:
    found = read_assignments([f"key={text}"])["key"]
    assert found == value
    assert type(found) in (type(value), float)


def test_windows_where_a_folder_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "os", SimpleNamespace(name="nt"))
    _files._sync_folder(tmp_path)
