"""Recording: ``pytest benchmarks --record NAME`` writes what was measured to ``benchmarks/results/NAME.json``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

RESULTS = Path(__file__).parent / "results"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="NAME", help="write the figures to benchmarks/results/NAME.json")


def _machine() -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if "model name" in line]
        if cpu.exists()
        else []
    )
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Takes figures by name; they are merged into the file at the end."""
    figures: dict[str, Any] = {}
    yield figures.__setitem__
    name = request.config.getoption("--record")
    if name and figures:
        path = RESULTS / f"{name}.json"
        before = json.loads(path.read_text())["figures"] if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": _machine(), "figures": {**before, **figures}}, indent=2) + "\n")
