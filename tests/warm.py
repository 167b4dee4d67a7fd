"""Runs programs without the seconds that imports take: a process that has imported what they need forks.

What a program imports late is not tested in this way; the tests of the documents run a hundred commands.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = "stylekit.__main__:main"
MODULES = (
    "stylekit.training.engine",
    "stylekit.inference.loading",
    "stylekit.evaluation",
    "stylekit_plugins.datasets.scenes",
    "lightning_fabric",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
)
"""What the program's commands need, and torch with it. Nothing may have started a thread when the process forks."""
ROOT = Path(__file__).parents[1]


class WarmProgram:
    """A program in processes that need not import much.

    Args:
        call: the module and the function that run it
        modules: what is imported beforehand
    """

    def __init__(self, call: str = PROGRAM, modules: Sequence[str] = MODULES) -> None:
        pipe = subprocess.PIPE
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "tests.warm", call, *modules]
        self._server = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path}, stdin=pipe, stdout=pipe, text=True
        )

    def run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Runs it in a folder; returns its exit code, and what it printed to stdout and to stderr."""
        assert self._server.stdin
        assert self._server.stdout
        out, err = folder / ".stdout", folder / ".stderr"
        asked = {
            "arguments": [*arguments],
            "folder": str(folder),
            "environment": {**environment},
            "files": [str(out), str(err)],
        }
        print(json.dumps(asked), file=self._server.stdin, flush=True)
        code = int(self._server.stdout.readline())
        told = out.read_text(), err.read_text()
        out.unlink()
        err.unlink()
        return code, *told

    def close(self) -> None:
        """Ends the process that forks."""
        self._server.communicate()  # closes the pipes


def _serve(modules: Sequence[str]) -> dict[str, list[str]] | None:
    """Forks for each request; returns the request in the new process, and None at the end of all."""
    for name in modules:
        importlib.import_module(name)
    gc.freeze()  # a collection would write to, and so copy, the memory that the processes share
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            request: dict[str, list[str]] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def _become(request: Mapping[str, list[str]], call: str) -> None:
    """Runs a request in this process, as the program would."""
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])
    for target, (path, mode) in enumerate(
        ((os.devnull, os.O_RDONLY), *((file, os.O_WRONLY | os.O_CREAT) for file in request["files"]))
    ):
        os.dup2(os.open(path, mode), target)
    sys.argv = ["stylekit", *request["arguments"]]
    module, function = call.split(":")
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    if request := _serve(sys.argv[2:]):
        _become(request, sys.argv[1])
