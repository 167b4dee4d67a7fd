"""The tables of docs/rasters.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded


@recorded("phantoms")
def phantoms(results: Any) -> str:
    """What translators of phantoms lose and invent, by ``phantoms.py``."""
    rows = [["lesions in training", "lesions lost", "healthy phantoms with an invented one", "PSNR, dB"]]
    for name, row in results["rows"].items():
        rows.append([name, f"{row['lost']:.0%}", f"{row['invented']:.0%}", f"{row['psnr']:.1f}"])
    return f"{results['steps']:,} steps each, {results['phantoms']} held-out phantoms:\n\n{markdown(rows)}"
