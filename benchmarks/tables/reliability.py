"""The tables of docs/reliability.md."""

from __future__ import annotations

import json

from benchmarks.figures import RESULTS


def fuzzed() -> str:
    """What came of the cases of ``make fuzz``, by kind of input."""
    path = RESULTS / "fuzz.json"
    if not path.exists():
        return "Not yet recorded."
    lines = [
        "| | cases | right | clear error | bad | processor time of the slowest call, s | memory of the largest call, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in json.loads(path.read_text())["kinds"].items():
        counts = " | ".join(str(kind[key]) for key in ("cases", "right", "clear error", "bad"))
        measured = f"{kind['slowest_seconds']:.1f} | {kind['most_megabytes']:.0f}" if kind["slowest_seconds"] else " | "
        lines.append(f"| {name.replace('_', ' ')} | {counts} | {measured} |")
    return "\n".join(lines)
