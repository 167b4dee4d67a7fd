"""Fetching published weights, from a server on this machine: whole and verified, or not at all."""

from __future__ import annotations

import errno
import hashlib
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest

from stylekit import StylekitError
from stylekit.inference.model_files import import_model
from stylekit.weights import pretrained
from stylekit.weights.pretrained import PUBLISHED, Published, cache_folder, fetch, pretrained_file, verify

CONTENT = bytes(range(256)) * 10_000  # more than two chunks


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the content; below ``/short`` it breaks off, and below ``/other`` it is another one."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
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
    Handler.asked = []
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
    Handler.asked.clear()
    digest = hashlib.sha256(CONTENT).hexdigest()
    for name in ("good", "short", "other", "gone"):
        known = Published(name, f"{server}/{name}/{name}.pth", digest, len(CONTENT), "none", "a test")
        monkeypatch.setitem(PUBLISHED, name, known)
    return tmp_path / "cache"


def test_fetched_once_and_found_from_then_on(cache: Path) -> None:
    assert pretrained_file("good") is None
    came: list[int] = []
    path = fetch("good", progress=came.append)
    assert path == cache / "good.pth" == pretrained_file("good")
    assert path.read_bytes() == CONTENT
    assert sum(came) == len(CONTENT)
    assert fetch("good") == path
    assert Handler.asked == ["/good/good.pth"]
    assert [each.name for each in cache.iterdir()] == ["good.pth"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("short", r"short\.pth (is not the published|was not fetched)"),
        ("other", r"/other/other\.pth is not the published other\.pth\. Its SHA-256 is \w{64}, and must be \w{64}\."),
        ("gone", r"/gone/gone\.pth was not fetched: HTTP Error 404.*--from FILE"),
    ],
)
def test_what_is_not_as_published_leaves_nothing_behind(name: str, told: str, cache: Path) -> None:
    with pytest.raises(StylekitError, match=told):
        fetch(name)
    assert list(cache.iterdir()) == []


def test_without_a_network_it_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = PUBLISHED["good"]
    nobody = Published("good", "http://127.0.0.1:9/good.pth", known.sha256, known.size, "none", "a test")
    monkeypatch.setitem(PUBLISHED, "good", nobody)
    with pytest.raises(StylekitError, match=r"good\.pth was not fetched: .*refused.*with a network, or .*--from FILE"):
        fetch("good")
    assert list(cache.iterdir()) == []


def test_offline_nothing_is_asked_for() -> None:
    with pytest.raises(StylekitError, match=r"good\.pth is not in .*, and is not fetched offline\. .*--from FILE"):
        fetch("good", offline=True)
    assert Handler.asked == []


def test_offline_is_enough_for_what_is_here(cache: Path) -> None:
    fetch("good")
    assert fetch("good", offline=True) == cache / "good.pth"


def test_a_file_of_the_user_is_copied_and_verified_all_the_same(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    assert fetch("good", offline=True, source=mine).read_bytes() == CONTENT
    assert mine.is_file()
    mine.write_bytes(CONTENT[:-1])
    with pytest.raises(
        StylekitError, match=r"mine\.bin is not the published other\.pth\. It has 2,559,999 bytes of 2,560,0"
    ):
        fetch("other", source=mine)
    assert [each.name for each in cache.iterdir()] == ["good.pth"]
    assert Handler.asked == []


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StylekitError, match=r"nothing\.pth cannot be read: No such file"):
        fetch("good", source=tmp_path / "nothing.pth")


def test_no_space(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pretrained.os, "fsync", full)
    with pytest.raises(StylekitError, match=r"There is no space left to write .*good\.pth"):
        fetch("good")
    assert list(cache.iterdir()) == []


def test_interrupted_it_leaves_nothing_behind(cache: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("good", progress=interrupt)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_is_not_used(cache: Path) -> None:
    fetch("good").write_bytes(CONTENT[:100])
    with pytest.raises(StylekitError, match=r"good\.pth has 100 bytes, and 2,560,000 were published.* Remove it"):
        pretrained_file("good")


def test_a_wrong_file_of_the_right_size_is_told_where_it_is_fetched_or_imported(cache: Path, tmp_path: Path) -> None:
    path = fetch("good")
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(StylekitError, match=r"good\.pth is not the published good\.pth\. Its SHA-256 .* remove it"):
        fetch("good")
    with pytest.raises(StylekitError, match=r"good\.pth is not the published"):
        import_model([path], "cyclegan", tmp_path / "m.safetensors")


def test_a_file_of_the_user_takes_the_place_of_what_is_there(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT[:-1])
    fetch("good")
    with pytest.raises(StylekitError, match=r"mine\.bin is not the published"):
        fetch("good", source=mine)
    assert (cache / "good.pth").read_bytes() == CONTENT
    (cache / "good.pth").write_bytes(CONTENT[::-1])
    mine.write_bytes(CONTENT)
    assert fetch("good", source=mine).read_bytes() == CONTENT


def test_only_files_of_a_published_name_are_verified(tmp_path: Path) -> None:
    for name in ("good.pth", "mine.pth"):
        (tmp_path / name).write_bytes(b"something else")
    verify(tmp_path / "mine.pth")
    with pytest.raises(StylekitError, match=r"good\.pth is not the published good\.pth"):
        verify(tmp_path / "good.pth")


@pytest.mark.parametrize("function", [fetch, pretrained_file, pretrained.fetch_hint])
def test_unknown_names(function: object) -> None:
    with pytest.raises(StylekitError, match=r"There are no weights 'vgg91'\. Did you mean 'vgg19'\? There are: adain-"):
        function("vgg91")  # type: ignore[operator]


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder().name == "cache"
    monkeypatch.delenv("STYLEKIT_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/stylekit/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/stylekit/weights")


def test_what_is_published_is_stated_whole() -> None:
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
