"""Measures the tutorial: runs the commands of docs/plugins.md unchanged, and records the seconds of each.

``python benchmarks/tutorial.py`` writes ``benchmarks/results/tutorial.json``. ``python benchmarks/report.py`` then writes
the table into the document.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from stylekit import images
from stylekit_plugins.datasets.scenes import render
from tests.reader import NOT_RUN, ROOT, Reader, blocks
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel

DOCUMENT = ROOT / "docs" / "plugins.md"
TIMED = "<!-- tutorial -->"
"""The marker of the table, which ends the tutorial."""


class Timed(Reader):
    """A reader that measures the time of each command."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        super().__init__(folder, FreshEnvironment(folder / ".venv"), wheel, quickly=False)
        self.times: list[tuple[str, float]] = []

    def type(self, line: str) -> None:
        start = time.perf_counter()
        super().type(line)
        if NOT_RUN not in line and not line.startswith(("cd ", "mv ")):
            self.times.append((line, round(time.perf_counter() - start, 1)))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        reader = Timed(Path(name), build_wheel(ROOT, Path(name) / "wheel", **NO_COMPILER))
        images.write(Path(name) / "holiday.jpg", render(4, size=256)[None])
        lines = 0
        for language, code in blocks(DOCUMENT):
            if TIMED in DOCUMENT.read_text().partition(code)[0]:
                break
            reader.follow(language, code)
            lines += len(code.splitlines()) if language == "python" else 0
    machine = {"cores": os.cpu_count(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    report = {"machine": machine, "lines": lines, "commands": reader.times}
    (RESULTS / "tutorial.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
