"""What the tests of batches share: a cluster of two nodes, and an object store, both on this machine only."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

NODES = Path(__file__).with_name("two_nodes.py")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables for subprocesses: one thread, and a token for Ray of the tests' own, so that none is left in the home."""
    root = Path(__file__).parents[3]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    own["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "60"  # on a busy machine it starts slowly
    own["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # the server for clients forks, and would sometimes hang
    return {**os.environ, "OMP_NUM_THREADS": "1", "STYLEKIT_THREADS": "1", "COLUMNS": "100", "PYTHONPATH": path, **own}


@dataclass(frozen=True)
class Nodes:
    """A cluster of two nodes with one core each.

    Attributes:
        client: where ``ray://`` clients are answered
        environment: variables for programs that ``--cluster ray`` shall lead to it
        pid: the process that started it
    """

    client: str
    environment: dict[str, str]
    pid: int

    def workers(self) -> list[int]:
        """The processes that stylise."""
        return [pid for pid, title in _processes().items() if "MapWorker" in title and self.pid in _ancestors(pid)]


def _processes() -> dict[int, str]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
    return found


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.append(pid)
    return found


@pytest.fixture(scope="session")
def nodes(environment: dict[str, str]) -> Iterator[Nodes]:
    """A cluster of two nodes."""
    pytest.importorskip("ray")
    port = free_port()
    command = [sys.executable, str(NODES), str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        address = process.stdout.readline().strip()
        _wait_for(port)
        yield Nodes(f"ray://127.0.0.1:{port}", {**environment, "RAY_ADDRESS": address}, process.pid)
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def store(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
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
        _wait_for(port)
        make = "import s3fs; s3fs.S3FileSystem().mkdir('pictures')"
        subprocess.run([sys.executable, "-c", make], env={**environment, **own}, check=True)
        yield {**environment, **own}
        process.send_signal(signal.SIGKILL)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")
