"""The tables of docs/restore.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded


@recorded("restore")
def restored(results: Any) -> str:
    """Small restorers beside classical filters, by ``restore.py``."""
    parts = []
    for task in dict.fromkeys(task for tasks in results["rows"].values() for task in tasks):
        rows = [["pictures", "", "PSNR, dB", "SSIM", "`restore` has more dB in", "CPU seconds a picture"]]
        for name, tasks in results["rows"].items():
            for label, row in tasks.get(task, {}).items():
                beaten = "" if label == "`restore`" else f"{row['beaten']} of {row['pictures']}"
                figures = [f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", beaten, f"{row['seconds']:.3f}"]
                rows.append([f"{name} ({row['pictures']})", label, *figures])
        parts.append(f"{_title(task)}:\n\n{markdown(rows)}")
    return "\n\n".join(parts)


def _title(task: str) -> str:
    name, *settings = task.split(", ")
    return ", ".join([f"`{name}`", *settings])


@recorded("colorize")
def coloured(results: Any) -> str:
    """A colouriser beside grey and a single tint, by ``colorize.py``."""
    model = results["model"]
    told = (
        f"{model['parameters']:,} parameters, {model['bytes'] / 1e6:.2f} MB, {sum(model['steps']):,} steps of "
        f"{model['batch_size']} pictures of {model['size']} pixels:"
    )
    rows = [["pictures", "", "error in a and b", "PSNR, dB", "mean chroma (true)", "distance of the chroma"]]
    for name, ways in results["rows"].items():
        for label, row in ways.items():
            figures = [f"{row['ab']:.2f}", f"{row['psnr']:.2f}", f"{row['chroma']:.1f} ({row['true_chroma']:.1f})"]
            rows.append([f"{name} ({row['pictures']})", label, *figures, f"{row['distribution']:.2f}"])
    return f"{told}\n\n{markdown(rows)}"
