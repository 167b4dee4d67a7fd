"""Fetching published weights from a local server: a file is complete and verified, or it is not kept."""

from __future__ import annotations

import errno
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlparse

import pytest

from stylekit import StylekitError
from stylekit.inference.importing import import_model
from stylekit.weights import downloading, pretrained
from stylekit.weights.pretrained import PUBLISHED, Published, cache_folder, fetch, pretrained_file, verify
from tests.facts import raises

CONTENT = bytes(range(256)) * 10_000  # more than two chunks
SIZE = f"{len(CONTENT):,}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``CONTENT``, cut in half below ``/short`` and reversed below ``/other``."""

    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved/").replace("_", "/"))
            self.end_headers()
            return
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        body = CONTENT[::-1] if self.path.startswith("/other") else CONTENT
        self.wfile.write(body[: len(body) // 2] if self.path.startswith("/short") else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    Handler.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a server that publishes ``good``, ``short``, ``other`` and ``gone``."""
    monkeypatch.setenv("STYLEKIT_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setattr(downloading, "SCHEME", "http")  # the local server has no certificate
    Handler.requests.clear()
    digest = sha256(CONTENT).hexdigest()
    for name in ("good", "short", "other", "gone"):
        known = Published(name, f"{server}/{name}/{name}.pth", digest, len(CONTENT), "none", "a test")
        monkeypatch.setitem(PUBLISHED, name, known)
    return tmp_path / "cache"


def test_a_file_is_fetched_once_and_reused(cache: Path) -> None:
    assert pretrained_file("good") is None
    chunks: list[int] = []
    path = fetch("good", progress=chunks.append)
    assert path == cache / "good.pth" == pretrained_file("good")
    assert path.read_bytes() == CONTENT
    assert sum(chunks) == len(CONTENT)
    assert fetch("good") == path
    assert Handler.requests == ["/good/good.pth"]
    assert [each.name for each in cache.iterdir()] == ["good.pth"]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("short", ["short.pth"]),
        (
            "other",
            ["/other/other.pth", "SHA-256", *(sha256(content).hexdigest() for content in (CONTENT, CONTENT[::-1]))],
        ),
        ("gone", ["/gone/gone.pth", 404, "--from"]),
    ],
)
def test_a_download_that_fails_or_differs_leaves_nothing_behind(name: str, facts: list[object], cache: Path) -> None:
    with raises(StylekitError, *facts):
        fetch(name)
    assert list(cache.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = PUBLISHED["good"]
    unreachable = Published("good", "http://127.0.0.1:9/good.pth", known.sha256, known.size, "none", "a test")
    monkeypatch.setitem(PUBLISHED, "good", unreachable)
    with raises(StylekitError, "good.pth", "refused", "network", "--from"):
        fetch("good")
    assert list(cache.iterdir()) == []


def test_offline_makes_no_request(cache: Path) -> None:
    with raises(StylekitError, "good.pth", cache, "offline", "--from"):
        fetch("good", offline=True)
    assert Handler.requests == []


def test_offline_finds_a_file_that_was_already_fetched(cache: Path) -> None:
    fetch("good")
    assert fetch("good", offline=True) == cache / "good.pth"


def test_a_file_given_by_the_user_is_copied_and_verified(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    assert fetch("good", offline=True, source=mine).read_bytes() == CONTENT
    assert mine.is_file()
    mine.write_bytes(CONTENT[:-1])
    with raises(StylekitError, "mine.bin", "other.pth", f"{len(CONTENT) - 1:,}", SIZE):
        fetch("other", source=mine)
    assert [each.name for each in cache.iterdir()] == ["good.pth"]
    assert Handler.requests == []


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with raises(StylekitError, "nothing.pth", "no such file"):
        fetch("good", source=tmp_path / "nothing.pth")


def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pretrained.os, "fsync", full)
    with raises(StylekitError, "space", "good.pth"):
        fetch("good")
    assert list(cache.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(cache: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("good", progress=interrupt)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_is_not_used(cache: Path) -> None:
    fetch("good").write_bytes(CONTENT[:100])
    with raises(StylekitError, cache / "good.pth", 100, SIZE, "remove"):
        pretrained_file("good")


def test_a_wrong_file_of_the_right_size_is_refused_on_fetch_and_on_import(cache: Path, tmp_path: Path) -> None:
    path = fetch("good")
    path.write_bytes(CONTENT[::-1])
    with raises(StylekitError, path, "published", "SHA-256", "remove"):
        fetch("good")
    with raises(StylekitError, path, "published"):
        import_model([path], "cyclegan", tmp_path / "m.safetensors")


def test_a_file_given_by_the_user_replaces_the_fetched_one(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT[:-1])
    fetch("good")
    with raises(StylekitError, mine, "published", "good.pth"):
        fetch("good", source=mine)
    assert (cache / "good.pth").read_bytes() == CONTENT
    (cache / "good.pth").write_bytes(CONTENT[::-1])
    mine.write_bytes(CONTENT)
    assert fetch("good", source=mine).read_bytes() == CONTENT


def test_only_files_with_a_published_name_are_verified(tmp_path: Path) -> None:
    for name in ("good.pth", "mine.pth"):
        (tmp_path / name).write_bytes(b"something else")
    verify(tmp_path / "mine.pth")
    with raises(StylekitError, tmp_path / "good.pth", "published"):
        verify(tmp_path / "good.pth")


@pytest.mark.parametrize("function", [fetch, pretrained_file, pretrained.fetch_hint])
def test_an_unknown_name_is_refused_with_a_suggestion_and_all_names(function: object) -> None:
    with raises(StylekitError, "vgg91", "did you mean 'vgg19'", "adain-decoder"):
        function("vgg91")  # type: ignore[operator]


def test_the_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder().name == "cache"
    monkeypatch.delenv("STYLEKIT_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/stylekit/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/stylekit/weights")


def test_published_files_have_a_digest_an_address_a_name_and_a_size() -> None:
    real = [PUBLISHED[name] for name in ("vgg16", "vgg19", "vgg19-normalised", "adain-decoder")]
    for known in real:
        assert re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert urlparse(known.url).scheme == "https"
    for known in real[:2]:  # torchvision's names end in the first eight digits
        assert known.file == f"{known.name}-{known.sha256[:8]}.pth"
    # Four bytes a weight, and a little for the names.
    weights = {"vgg16": 138_357_544, "vgg19": 143_667_240, "vgg19-normalised": 20_024_396}
    for name, count in weights.items():
        assert 0 < (PUBLISHED[name].size or 0) - 4 * count < 10_000


def test_torch_is_not_imported() -> None:
    code = "import sys, stylekit.weights.pretrained, stylekit.cli.weights; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_https_is_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "SCHEME", "https")
    with raises(StylekitError, "good.pth", "https"):
        fetch("good")
    assert Handler.requests == []


@pytest.mark.parametrize("target", ["ftp:__example.org_good.pth", "https:__example.org_good.pth"])
def test_a_redirect_to_another_scheme_is_not_followed(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    known = PUBLISHED["good"]
    monkeypatch.setitem(PUBLISHED, "good", replace(known, url=f"{server}/moved/{target}"))
    with raises(StylekitError, "example.org", "address"):
        fetch("good")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("size", [1000, None])
def test_a_file_that_is_too_large_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    """The declared size is the limit, or a general one if it is not known."""
    monkeypatch.setitem(PUBLISHED, "good", replace(PUBLISHED["good"], size=size))
    monkeypatch.setattr(pretrained, "_LARGEST", 1000)
    chunks: list[int] = []
    with raises(StylekitError, "good.pth", "larger", "1,000 bytes"):
        fetch("good", progress=chunks.append)
    assert (chunks, list(cache.iterdir())) == ([], [])


def test_parts_of_killed_fetches_are_removed_and_nothing_else(cache: Path) -> None:
    cache.mkdir()
    old, fetching = cache / ".good.pth.0123abcd.part", cache / ".good.pth.4567abcd.part"
    others = [cache / name for name in (".good.pth.part", "good.pth.0123abcd.part", ".mine.pth.0123abcd.part", "notes")]
    for path in (old, fetching, *others):
        path.write_bytes(b"part")
    for path in (old, *others):
        os.utime(path, (0, 0))
    fetch("good")
    assert {each.name for each in cache.iterdir()} == {"good.pth", fetching.name, *(each.name for each in others)}
