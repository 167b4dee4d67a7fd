"""The tables of docs/evaluation.md."""

from __future__ import annotations

import json

from benchmarks.figures import RESULTS
from benchmarks.tables.markdown import markdown


def evaluations() -> str:
    """How long evaluations take."""
    path = RESULTS / "evaluation.json"
    if not path.exists():
        return "Not yet recorded."
    rows = [["precision", "outputs", "metrics", "threads", "minutes", "peak memory"]]
    for name, row in json.loads(path.read_text()).items():
        figures = (row["outputs"], len(row["metrics"]), row["threads"], f"{row['seconds'] / 60:.1f}")
        rows.append([f"`--precision {name}`", *map(str, figures), f"{row['peak_process_mb']} MB"])
    return markdown(rows)
