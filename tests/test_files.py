"""Files and folders that are written completely or not at all, and reading a run's folder."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from stylekit import StylekitError, _files
from stylekit._files import JSON_LIMIT, atomic_folder, read_json, remove, remove_leftovers, write_atomic
from stylekit.training.runs import Run
from stylekit.training.settings import Settings, validate_settings
from tests.facts import raises


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("old", "new ä", b"\x00\xff"):
        write_atomic(tmp_path / "it", content)
        assert (tmp_path / "it").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["it"]


@pytest.mark.parametrize("when", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "fact"),
    [(errno.ENOSPC, "space"), (errno.EDQUOT, "space"), (errno.EACCES, os.strerror(errno.EACCES))],
)
def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, number: int, fact: str
) -> None:
    write_atomic(tmp_path / "it", "old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((os, "fsync", fail) if when == "fsync" else (Path, "replace", fail)))
    with raises(StylekitError, tmp_path / "it", fact):
        write_atomic(tmp_path / "it", "new")
    assert names(tmp_path) == ["it"]
    assert (tmp_path / "it").read_text() == "old"


def test_a_folder_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
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


def test_a_folder_replaces_the_old_one_completely(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "it") as folder:
            write_atomic(folder / name, name)
    assert names(tmp_path) == ["it"]
    assert names(tmp_path / "it") == ["new"]


def test_no_space_in_a_folder_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with raises(StylekitError, "space", "/a"), atomic_folder(tmp_path / "it") as folder:
        write_atomic(folder / "a", "new")
    assert names(tmp_path) == []


LEFTOVER = f".stylekit-{'0123456789abcdef'}.part"


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / LEFTOVER.replace("0", "1")).write_text("half")
    (tmp_path / LEFTOVER).mkdir()
    (tmp_path / LEFTOVER / "a").write_text("half")
    mine = [".hidden", ".it.abcd1234.part", ".thesis.part", f"{LEFTOVER}.txt", "a.part", "it"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(mine)
    remove_leftovers(tmp_path / "nowhere")


def test_a_link_among_the_leftovers_is_removed_without_its_target(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / LEFTOVER).symlink_to(tmp_path / "mine", target_is_directory=True)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["thesis.txt"]


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127])
def test_files_and_folders_of_the_longest_names_are_written_and_removed(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"
    (tmp_path / name).unlink()
    for _ in range(2):
        with atomic_folder(tmp_path / name) as folder:
            write_atomic(folder / name, "new")
    assert names(tmp_path / name) == [name]
    remove(tmp_path / name)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"{", "JSON"),
        (b"", "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"1" * 5000, "JSON"),
        (b"[" * 100_000, "deeply"),
        (b" " * (JSON_LIMIT + 1), "larger than 32 MiB"),
    ],
)
def test_damaged_json_is_one_sentence(tmp_path: Path, content: bytes, fact: str) -> None:
    (tmp_path / "it.json").write_bytes(content)
    with raises(StylekitError, tmp_path / "it.json", fact):
        read_json(tmp_path / "it.json")


def test_json_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path, "not a file"):
        read_json(tmp_path)
    with raises(StylekitError, tmp_path / "no.json", "read", os.strerror(errno.ENOENT)):
        read_json(tmp_path / "no.json")


def test_removing_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "nowhere")
    assert not any(tmp_path.iterdir())


def test_a_log_is_appended_to_after_it_was_closed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (1, 2):
        run.log([{"step": step}])
        run.close()
        run.close()
    assert [line["step"] for line in run.metrics()] == [1, 2]


def test_opening_a_run_removes_nothing_and_cleaning_removes_leftovers(tmp_path: Path) -> None:
    Run(tmp_path).create(validate_settings({"plugin": "x"}))
    for path in (LEFTOVER, f"samples/{LEFTOVER}", f"checkpoints/{LEFTOVER}", "checkpoints/2", "mine"):
        (tmp_path / path).mkdir()
    everything = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))]
    run = Run.open(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == everything
    run.clean()
    assert names(tmp_path) == ["checkpoints", "mine", "run.json", "samples"]
    assert names(tmp_path / "checkpoints") == ["2"]


def test_a_log_truncated_by_a_crash_is_read_and_rewound(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.metrics() == []
    run.log({"step": step, "loss": 0.1 * step} for step in (1, 2))
    run.log([])
    run.log([{"step": 3, "loss": 0.1 * 3}])
    assert len(run.metrics()) == 3  # although the file is still open
    run.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in run.metrics()] == [1, 2, 3]
    run.rewind(2)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n'


@pytest.mark.parametrize("folder", ["runs/it", "a run's [folder] & more", "-x"])
def test_the_resume_command_is_quoted_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(Path(folder))
    run.create(validate_settings({"plugin": "x", "log": "tensorboard"}))
    *start, out = shlex.split(run.resume_command())
    assert start == ["stylekit", "train", "--resume", "--out"]
    assert Path(out) == Path(folder)


def test_settings_survive_a_round_trip_through_json() -> None:
    settings = validate_settings(
        {"plugin": "cyclegan", "content": "a", "style": "b", "log": ["x"], "set": {"a": {"b": [1]}}}
    )
    assert validate_settings(settings.as_json()) == settings


def test_settings_are_documented_and_immutable() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    with raises(ValueError, "steps", "frozen"):
        validate_settings({"plugin": "x"}).steps = 3


def test_syncing_a_folder_is_skipped_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "os", SimpleNamespace(name="nt"))
    _files._sync_folder(tmp_path)


def test_a_name_with_a_nul_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with raises(StylekitError, r"a\x00.png", "NUL"):
        write_atomic(tmp_path / "a\0.png", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_system_cannot_encode_is_one_sentence(tmp_path: Path) -> None:
    with raises(StylekitError, r"\ud800", "encode"):
        write_atomic(tmp_path / "\ud800", "new")
