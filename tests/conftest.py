"""What the tests share: reference data beside the repository, one thread, installed plugins, and an object store."""

from __future__ import annotations

import importlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import torch

from stylekit.registry import entrypoints, lookup
from tests.background import obey_signals
from tests.servers import free_port, wait_for

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = Path(__file__).parents[2] / "shared"
ROOT = Path(__file__).parents[1]


obey_signals()


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"there is no reference data in {folder}")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Results of the methods' reference implementations; each folder's README states how they were computed."""
    return FIXTURES


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Photographs and paintings."""
    return _folder("data")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are quicker on one thread, a hundredfold where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Install(Protocol):
    """Installs a distribution of one module with one entry point, as pip would leave it behind."""

    def __call__(
        self, package: str, name: str, source: str, version: str = "1.0", group: str = "stylekit", target: str = ""
    ) -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(
        package: str, name: str, source: str, version: str = "1.0", group: str = "stylekit", target: str = ""
    ) -> None:
        module = f"sample_{package.replace('-', '_')}"
        (site / f"{module}.py").write_text(source)
        told = site / f"{package.replace('-', '_')}-{version}.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (told / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}{target}\n")
        importlib.invalidate_caches()

    return install


@pytest.fixture(autouse=True)
def _fresh_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test found, loaded and warned of is not remembered by the next one."""
    monkeypatch.setattr(lookup, "_files", {})
    remembered = (lookup._load, lookup._report, entrypoints._pass_over, entrypoints._read)
    for cached in remembered:
        cached.cache_clear()
    yield
    for cached in remembered:
        cached.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("sample_", "stylekit_file_"))]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables for subprocesses: one thread, and a token for Ray of the tests' own, so that none is left in the home."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    own["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "60"  # on a busy machine it starts slowly
    own["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # the server for clients forks, and would sometimes hang
    return {**os.environ, "OMP_NUM_THREADS": "1", "STYLEKIT_THREADS": "1", "COLUMNS": "100", "PYTHONPATH": path, **own}


@pytest.fixture
def store(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """An object store with the bucket ``pictures``, and the variables by which programs find it."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    port = free_port()
    own = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, env={**environment, **own}, stderr=subprocess.DEVNULL) as process:
        wait_for(port)
        make = "import s3fs; s3fs.S3FileSystem().mkdir('pictures')"
        subprocess.run([sys.executable, "-c", make], env={**environment, **own}, check=True)
        yield {**environment, **own}
        process.send_signal(signal.SIGKILL)


@pytest.fixture(autouse=True)
def _nothing_left_in_the_checkout() -> Iterator[None]:
    """Tests write into folders of their own."""
    before = {*os.listdir(ROOT)}
    yield
    assert [name for name in os.listdir(ROOT) if name not in before and not name.startswith(".")] == []
