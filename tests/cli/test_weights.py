"""``stylekit weights``: what is listed, fetched and refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.weights import pretrained

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is the published vgg16, and an empty folder of fetched ones."""
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "cache"))
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    known = dataclasses.replace(pretrained.PUBLISHED["vgg16"], sha256=digest, size=7)
    monkeypatch.setitem(pretrained.PUBLISHED, "vgg16", known)
    return path


def test_list_tells_name_state_size_licence_address_and_folder(program: Program, mine: Path) -> None:
    told = program("weights", "list").out
    assert "vgg19: VGG-19 trained to classify ImageNet" in told
    assert "  not fetched, 575 MB; BSD-3-Clause, as torchvision; trained on ImageNet" in told
    assert "  https://download.pytorch.org/models/vgg19-dcbb9e9d.pth\n" in told
    assert told.endswith(f"They are kept in {mine.parent / 'cache'}.\n")
    assert program("weights", "fetch", "vgg16", "--from", mine).code == 0
    assert (
        "vgg16: VGG-16 trained to classify ImageNet, for the encoder vgg16\n  here, 0 MB"
        in program("weights", "list").out
    )


@pytest.mark.parametrize(("content", "size"), [(b"another", ""), (b"weig", "It has 4 bytes of 7. ")])
def test_list_verifies_what_is_here(program: Program, mine: Path, content: bytes, size: str) -> None:
    """One of the published size and other content, and one that broke off."""
    path = mine.parent / "cache" / "vgg16-397923af.pth"
    path.parent.mkdir()
    path.write_bytes(content)
    told = program("weights", "list")
    assert told.code == 0
    assert (
        "for the encoder vgg16\n  here, but cannot be used, 0 MB; BSD-3-Clause, as torchvision; trained on ImageNet, whose "
        "terms may apply\n  https://download.pytorch.org/models/vgg16-397923af.pth\n"
        f"  {path} is not the published vgg16-397923af.pth. {size}Its SHA-256 is {hashlib.sha256(content).hexdigest()}, "
    ) in told.out
    assert "\nvgg19: VGG-19 trained to classify ImageNet" in told.out  # and the others are listed all the same


def test_fetch_tells_where_the_file_is(program: Program, mine: Path) -> None:
    told = program("weights", "fetch", "vgg16", "--from", mine)
    path = mine.parent / "cache" / "vgg16-397923af.pth"
    assert (told.code, told.out) == (0, f"{path}\n")
    assert path.read_bytes() == b"weights"
    assert program("weights", "fetch", "vgg16", "--offline").out == f"{path}\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("vgg91", "There are no weights 'vgg91'. Did you mean 'vgg19'?"),
        ("vgg19 --offline", "vgg19-dcbb9e9d.pth is not in"),
        ("vgg19 --from nothing.pth", "nothing.pth cannot be read: No such file or directory."),
    ],
)
def test_errors_are_one_paragraph(program: Program, mine: Path, line: str, told: str) -> None:
    assert told in program("weights", "fetch", *line.split()).error


def test_a_file_of_other_content_is_refused(program: Program, mine: Path) -> None:
    assert (
        "mine.pth is not the published vgg19-dcbb9e9d.pth."
        in program("weights", "fetch", "vgg19", "--from", mine).error
    )
