"""What the tests of batches share: a cluster of two nodes, on this machine only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import free_port, wait_for

NODES = Path(__file__).with_name("two_nodes.py")


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
        wait_for(port)
        yield Nodes(f"ray://127.0.0.1:{port}", {**environment, "RAY_ADDRESS": address}, process.pid)
        process.stdin.close()
        process.wait(60)
