"""``stylekit weights``: listing, fetching and errors."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.weights import pretrained
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the content of the published vgg16, and an empty folder of fetched weights."""
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "cache"))
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    known = dataclasses.replace(pretrained.PUBLISHED["vgg16"], sha256=digest, size=7)
    monkeypatch.setitem(pretrained.PUBLISHED, "vgg16", known)
    return path


def entry(listed: str, name: str) -> str:
    """The lines about some weights: the one that starts with their name, and the indented ones after it."""
    _, _, rest = f"\n{listed}".partition(f"\n{name}:")
    return re.split(r"\n(?=\S)", rest)[0] + "\n"


def test_list_shows_name_state_size_licence_address_and_folder(program: Program, mine: Path) -> None:
    listed = program("weights", "list").out
    assert_mentions(listed.splitlines()[-1], mine.parent / "cache")
    facts = ("VGG-19", "ImageNet", "575 MB", "BSD-3-Clause", "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth\n")
    assert_mentions(entry(listed, "vgg19"), "not fetched", *facts)
    assert "not fetched" in entry(listed, "vgg16")
    assert program("weights", "fetch", "vgg16", "--from", mine).code == 0
    fetched = entry(program("weights", "list").out, "vgg16")
    assert_mentions(fetched, "VGG-16", "ImageNet", "encoder vgg16", "0 MB")
    assert "not fetched" not in fetched


@pytest.mark.parametrize(("content", "size"), [(b"another", []), (b"weig", [4, 7])])
def test_list_verifies_fetched_files(program: Program, mine: Path, content: bytes, size: list[int]) -> None:
    """A file of the published size with other content, and a truncated one."""
    path = mine.parent / "cache" / "vgg16-397923af.pth"
    path.parent.mkdir()
    path.write_bytes(content)
    result = program("weights", "list")
    assert result.code == 0
    facts = ("cannot be used", "0 MB", "BSD-3-Clause", "https://download.pytorch.org/models/vgg16-397923af.pth\n")
    assert_mentions(entry(result.out, "vgg16"), *facts, path, "SHA-256", hashlib.sha256(content).hexdigest(), *size)
    assert "not fetched" in entry(result.out, "vgg19")


def test_fetch_prints_the_path_of_the_file(program: Program, mine: Path) -> None:
    result = program("weights", "fetch", "vgg16", "--from", mine)
    path = mine.parent / "cache" / "vgg16-397923af.pth"
    assert (result.code, result.out) == (0, f"{path}\n")
    assert path.read_bytes() == b"weights"
    assert program("weights", "fetch", "vgg16", "--offline").out == f"{path}\n"


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("vgg91", ["'vgg91'", "did you mean 'vgg19'"]),
        ("vgg19 --offline", ["vgg19-dcbb9e9d.pth", "offline", "--from"]),
        ("vgg19 --from nothing.pth", ["nothing.pth", "no such file"]),
    ],
)
def test_errors_are_one_paragraph(program: Program, mine: Path, line: str, facts: list[str]) -> None:
    assert_mentions(program("weights", "fetch", *line.split()).error, *facts)


def test_a_file_with_other_content_is_refused(program: Program, mine: Path) -> None:
    assert_mentions(program("weights", "fetch", "vgg19", "--from", mine).error, mine, "vgg19-dcbb9e9d.pth")
