"""Writes the tables in README.md and docs/ from the files in ``benchmarks/results``: ``python benchmarks/report.py``.

A table is placed between ``<!-- NAME -->`` and ``<!-- /NAME -->``. ``--check`` changes nothing, and fails if a table is
outdated. ``--targets`` prints which of the kernels' targets are met, and writes nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.tables import (
    deploy,
    evaluation,
    kernels,
    large_and_video,
    methods,
    plugins,
    rasters,
    readme,
    reliability,
    restore,
    scale,
    speed,
    stability,
    weights,
)
from benchmarks.targets import targets

ROOT = Path(__file__).parents[1]


TABLES: dict[str, tuple[Callable[[], str], Path]] = {
    "demo": (readme.demo, ROOT / "README.md"),
    "kernels": (lambda: kernels.on_all(kernels.summary), ROOT / "README.md"),
    "kernels-all": (lambda: kernels.on_all(kernels.every_shape), ROOT / "docs" / "kernels.md"),
    "stylizing": (speed.stylizing, ROOT / "docs" / "speed.md"),
    "program": (speed.program, ROOT / "docs" / "speed.md"),
    "optimising": (speed.optimising, ROOT / "docs" / "speed.md"),
    "beside-pastiche": (methods.beside_pastiche, ROOT / "docs" / "methods.md"),
    "judged": (weights.judged, ROOT / "docs" / "weights.md"),
    "trained": (methods.trained, ROOT / "docs" / "methods.md"),
    "look": (methods.look, ROOT / "docs" / "methods.md"),
    "knobs": (methods.knobs, ROOT / "docs" / "methods.md"),
    "evaluations": (evaluation.evaluations, ROOT / "docs" / "evaluation.md"),
    "engines": (deploy.engines, ROOT / "docs" / "deploy.md"),
    "exports": (deploy.exports, ROOT / "docs" / "deploy.md"),
    "students": (methods.students, ROOT / "docs" / "methods.md"),
    "pruning": (methods.pruning, ROOT / "docs" / "methods.md"),
    "halos": (weights.halos, ROOT / "docs" / "weights.md"),
    "large": (large_and_video.large, ROOT / "docs" / "large_and_video.md"),
    "filmed": (large_and_video.filmed, ROOT / "docs" / "large_and_video.md"),
    "steady": (large_and_video.steady, ROOT / "docs" / "large_and_video.md"),
    "steady-losses": (large_and_video.steady_losses, ROOT / "docs" / "large_and_video.md"),
    "restored": (restore.restored, ROOT / "docs" / "restore.md"),
    "coloured": (restore.coloured, ROOT / "docs" / "restore.md"),
    "phantoms": (rasters.phantoms, ROOT / "docs" / "rasters.md"),
    "restorers": (weights.restorers, ROOT / "docs" / "weights.md"),
    "shipped": (weights.shipped, ROOT / "docs" / "weights.md"),
    "steps": (methods.steps, ROOT / "docs" / "methods.md"),
    "modes": (stability.modes, ROOT / "docs" / "stability.md"),
    "digits": (stability.digits, ROOT / "docs" / "stability.md"),
    "scenes": (stability.scenes, ROOT / "docs" / "stability.md"),
    "cluster": (scale.clusters, ROOT / "docs" / "scale.md"),
    "projection": (scale.projection, ROOT / "docs" / "scale.md"),
    "rescue": (stability.rescue, ROOT / "docs" / "stability.md"),
    "fuzz": (reliability.fuzzed, ROOT / "docs" / "reliability.md"),
    "loading": (scale.loading, ROOT / "docs" / "scale.md"),
    "tutorial": (plugins.tutorial, ROOT / "docs" / "plugins.md"),
}


def filled(text: str, name: str, table: str) -> str:
    """The text with the table inserted between its markers."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL
    )


def main() -> None:
    if "--targets" in sys.argv:
        print(targets())
        return
    outdated = []
    for name, (write, path) in TABLES.items():
        old = path.read_text()
        new = filled(old, name, write())
        if new != old:
            outdated.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(new)
    if outdated and "--check" in sys.argv:
        sys.exit(f"Outdated tables in {', '.join(outdated)}. Run python benchmarks/report.py.")


if __name__ == "__main__":
    main()
