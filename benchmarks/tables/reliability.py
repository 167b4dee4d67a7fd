"""The tables of docs/reliability.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.records import recorded


@recorded("fuzz")
def fuzzed(results: Any) -> str:
    """What came of the cases of ``make fuzz``, by kind of input."""
    lines = [
        "| | cases | right | clear error | bad | processor time of the slowest call, s | memory of the largest call, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in results["kinds"].items():
        counts = " | ".join(str(kind[key]) for key in ("cases", "right", "clear error", "bad"))
        measured = f"{kind['slowest_seconds']:.1f} | {kind['most_megabytes']:.0f}" if kind["slowest_seconds"] else " | "
        lines.append(f"| {name.replace('_', ' ')} | {counts} | {measured} |")
    return "\n".join(lines)
