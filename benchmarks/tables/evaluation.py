"""The tables of docs/evaluation.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded


@recorded("evaluation")
def evaluations(results: Any) -> str:
    """How long evaluations take."""
    rows = [["precision", "outputs", "metrics", "threads", "minutes", "peak memory"]]
    for name, row in results.items():
        figures = (row["outputs"], len(row["metrics"]), row["threads"], f"{row['seconds'] / 60:.1f}")
        rows.append([f"`--precision {name}`", *map(str, figures), f"{row['peak_process_mb']} MB"])
    return markdown(rows)
