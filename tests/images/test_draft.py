"""Drafts: another process goes on with the parts that were made, of the same settings only."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from stylekit import StylekitError
from stylekit.images.draft import Draft, FileDraft
from tests.facts import raises

SHAPE = (3, 4, 5)


def begin(path: Path, key: str = "a", shape: tuple[int, int, int] = SHAPE, resume: bool = True) -> FileDraft:
    return FileDraft(path, shape, key, resume)


def test_parts_that_were_made_are_found_again(tmp_path: Path) -> None:
    first = begin(tmp_path / "one.draft", resume=False)
    assert (first.done, float(first.values.abs().sum())) == (0, 0)
    first.values[..., 1, 2] = 0.25
    first.finish_part()
    first.values[..., 3, 4] = 0.75
    first.finish_part()
    again = begin(tmp_path / "one.draft")
    assert again.done == 2
    expected = torch.zeros(1, *SHAPE)
    expected[..., 1, 2], expected[..., 3, 4] = 0.25, 0.75
    assert torch.equal(again.values, expected)


@pytest.mark.parametrize("other", [{"key": "b"}, {"shape": (3, 5, 4)}, {"resume": False}])
def test_parts_of_other_settings_are_not_kept(tmp_path: Path, other: dict[str, object]) -> None:
    first = begin(tmp_path / "one.draft")
    first.values.fill_(1)
    first.finish_part()
    again = begin(tmp_path / "one.draft", **other)
    assert (again.done, float(again.values.sum())) == (0, 0)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]" + bytes(5000), b'{"key": 1, "done": "x"}' + bytes(5000)])
def test_a_file_that_is_no_draft_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.draft").write_bytes(content)
    draft = begin(tmp_path / "one.draft")
    assert (draft.done, float(draft.values.sum())) == (0, 0)


def test_a_full_disk_is_noticed_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with raises(StylekitError, "space", "one.draft"):
        begin(tmp_path / "one.draft")


def test_a_draft_in_the_memory_counts_its_parts() -> None:
    draft = Draft(torch.zeros(1, *SHAPE))
    draft.finish_part()
    assert draft.done == 1
