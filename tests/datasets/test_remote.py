"""Shards at addresses: fetching, the bounded cache, and servers that fail."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stylekit.datasets import image_files, open_image, remote
from stylekit.datasets.packing import pack
from stylekit.errors import StylekitError
from tests.datasets.test_packing import filled
from tests.datasets.test_shards import shade
from tests.facts import raises

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *given: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with two shards of three images."""
    list(pack(filled(tmp_path / "photos", [f"{number}.png" for number in range(6)]), tmp_path / "sh", count=3))
    monkeypatch.setenv("STYLEKIT_SHARDS", str(tmp_path / "cache"))
    Quiet.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "sh"))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.suffix for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock")


def test_only_indexes_are_fetched_before_an_image_is_read(served: str, tmp_path: Path) -> None:
    files = image_files(f"{served}/{{00000..00001}}.tar")
    assert cached(tmp_path) == [".index", ".index"]
    assert [shade(file) for file in files] == [0, 1, 2, 3, 4, 5]
    assert cached(tmp_path) == [".index", ".index", ".tar", ".tar"]
    assert sorted(Quiet.asked) == ["/00000.tar", "/00000.tar.index", "/00001.tar", "/00001.tar.index"]  # once each


def test_without_an_index_the_shard_is_fetched_and_read(served: str, tmp_path: Path) -> None:
    (tmp_path / "sh" / "00001.tar.index").unlink()
    assert len(image_files(f"{served}/00001.tar")) == 3


def test_the_cache_keeps_to_its_limit(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = image_files(f"{served}/{{00000..00001}}.tar")
    monkeypatch.setenv("STYLEKIT_SHARDS_GIB", str(15000 / 2**30))  # a shard has 10240 bytes
    assert [shade(files[index]) for index in (0, 3, 0, 4)] == [0, 3, 0, 4]
    assert cached(tmp_path).count(".tar") == 1
    assert Quiet.asked.count("/00000.tar") == Quiet.asked.count("/00001.tar") == 2
    monkeypatch.setenv("STYLEKIT_SHARDS_GIB", "much")
    with raises(StylekitError, "STYLEKIT_SHARDS_GIB", "'much'"), open_image(files[0]):
        pass


def test_a_shard_that_always_disappears_is_explained(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, *_) = image_files(f"{served}/00000.tar")
    monkeypatch.setattr(remote, "fetched", lambda address: Path("/nowhere"))
    with raises(StylekitError, "cache", "20 GiB", "STYLEKIT_SHARDS_GIB"), open_image(first):
        pass


def test_what_cannot_be_fetched_is_explained(served: str, tmp_path: Path) -> None:
    with raises(StylekitError, f"{served}/7.tar", "does not exist"):
        image_files(f"{served}/7.tar")
    with raises(StylekitError, "gopher://x/7.tar", "cannot be fetched", "gopher"):
        image_files("gopher://x/7.tar")
    assert cached(tmp_path) == []
