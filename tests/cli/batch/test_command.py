"""``stylekit stylize --cluster``: what is refused, in one sentence, before anything is started."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.cli.batch.command import find_pictures
from stylekit.cli.batch.ray_data import _refusal
from stylekit.datasets.places import Place
from stylekit.errors import StylekitError
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("photo.png -o out --cluster spark", ["--cluster must be ray, or ray://HOST:PORT", "'spark'"]),
        ("photo.png -o out --cluster ray://host", ["--cluster must be ray", "'ray://host'"]),
        ("photo.png -o out --workers 2", ["--workers is for --cluster"]),
        ("photo.png -o out --cluster ray --clip", ["--clip"]),
        ("photo.png -o out --cluster ray --skip-existing", ["--skip-existing"]),
        ("photo.png -o out.png --cluster ray", ["--out out.png is a file"]),
        ("- -o out --cluster ray", ["paths or URLs, not -"]),
        ("photo.png -o red.png/out --cluster ray --strength 2", ["strength"]),
        ("nowhere -o out --cluster ray", ["no image or folder nowhere"]),
        ("memory://a -o out --cluster ray", ["memory:// is the memory of one process"]),
        ("nonsense://a -o out --cluster ray", ["nonsense://a", "fsspec"]),
        ("photo.png -o . --cluster ray", ["photo.png is one of the inputs"]),
        ("photo.png -o . --cluster ray --name red --overwrite", ["red.png is one of the inputs"]),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: str, facts: list[str], program: Program, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(place)
    line = ["stylize", *arguments.split(), "--style", "red.png", "--model", "color-pca"]
    assert_mentions(program(*line).error, *facts)


def test_outputs_of_no_batch_are_not_replaced(program: Program, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(place)
    (place / "out").mkdir()
    (place / "out" / "photo.png").write_bytes(b"mine")
    line = ["stylize", "photo.png", "-o", "out", "--style", "red.png", "--model", "color-pca", "--cluster", "ray"]
    assert_mentions(program(*line).error, "1 of 1 outputs exist", "photo.png", "--overwrite")
    assert (place / "out" / "photo.png").read_bytes() == b"mine"


def test_without_ray_the_line_that_installs_it_is_shown(
    program: Program, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    line = ["stylize", place / "photo.png", "-o", place / "out", "--style", place / "red.png", "--model", "color-pca"]
    assert_mentions(
        program(*line, "--cluster", "ray").error, "--cluster needs ray", "pip install 'stylekit-torch[ray]'"
    )


def test_an_address_where_nothing_answers_is_named_at_once(program: Program, place: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    line = ["stylize", place / "photo.png", "-o", place / "out", "--style", place / "red.png", "--model", "color-pca"]
    error = program(*line, "--cluster", f"ray://127.0.0.1:{port}").error
    assert_mentions(error, f"Nothing answers at ray://127.0.0.1:{port}", "refused", "10001")


def test_another_version_of_ray_is_explained() -> None:
    told = "Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1\nThis process was "
    error = RuntimeError(told + "started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n")
    text = _refusal("ray://a:1", "2.60.0", error)
    assert_mentions(text, "another version", "Ray: 2.50.0", "Python: 3.12.1", "Install the same ones")
    assert "\n" not in text


def test_pictures_of_a_place_are_found_as_in_a_folder(tmp_path: Path) -> None:
    place = Place(f"memory://{tmp_path.name}")
    for name in ("b.png", "a/2.JPG", "a/1.png", ".hidden.png", ".folder/x.png", "notes/a.txt", "out/1.png"):
        place.write(name, b"")
    found = find_pictures([place.path], f"{place.path}/out", [])
    assert found == {f"{place.path}/{name}": Path(name) for name in ("a/1.png", "a/2.JPG", "b.png")}
    assert find_pictures([f"{place.path}/b.png"], "out", []) == {f"{place.path}/b.png": Path("b.png")}
    with pytest.raises(StylekitError, match="no images"):
        find_pictures([f"{place.path}/notes"], "out", [])
    with pytest.raises(StylekitError, match="no image or folder"):
        find_pictures([f"{place.path}/nowhere"], "out", [])
