"""Records measurements: ``pytest benchmarks --record NAME`` writes them to ``benchmarks/results/NAME.json``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

RESULTS = Path(__file__).parent / "results"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="NAME", help="write the figures to benchmarks/results/NAME.json")
    parser.addoption(
        "--device",
        choices=("cpu", "cuda"),
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="device of the kernel benchmarks (default: cuda if available)",
    )


def _machine(device: str) -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if "model name" in line]
        if cpu.exists()
        else []
    )
    gpu = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda} if device == "cuda" else {}
    return {
        **gpu,
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], None]:
    """A function that merges figures into the file immediately, so that an interrupted run keeps its results."""
    name = request.config.getoption("--record")
    path = RESULTS / f"{name}.json"
    machine = _machine(request.config.getoption("--device"))

    def write(figure: str, values: dict[str, Any]) -> None:
        if not name:
            return
        before = json.loads(path.read_text())["figures"] if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"machine": machine, "figures": {**before, figure: values}}, indent=2) + "\n")

    return write
