"""Start-up times of commands that need no network, and the import time of torch, which all other commands include."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import stylekit": ["-c", "import stylekit"],
    "stylekit --help": ["-m", "stylekit", "--help"],
    "stylekit plugins": ["-m", "stylekit", "plugins"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_start(benchmark: Any, command: list[str]) -> None:
    line = [sys.executable, *command]
    benchmark.pedantic(lambda: subprocess.run(line, capture_output=True, check=True), rounds=7, warmup_rounds=1)
