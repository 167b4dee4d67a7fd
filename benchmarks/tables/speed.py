"""The tables of docs/speed.md."""

from __future__ import annotations

import json
import re
from typing import Any

from benchmarks.figures import RESULTS

NETWORKS = (
    "| | with a new style, ms (speedup) | with a known style, ms (speedup) | peak tensor memory | growth of the process |",
    "|---|---|---|---|---|",
)


def stylizing() -> str:
    """Time and memory per image."""
    path = RESULTS / "cpu.json"
    results = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    rows = {key: row for key, row in results["figures"].items() if key.startswith("stylize_")}
    if not rows:
        return "Not yet measured."
    machine = results["machine"]
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['vector']}, torch {machine['torch']}:\n", *NETWORKS]
    for key, row in sorted(rows.items(), key=lambda item: (len(item[0]), item[0])):
        method, size = key.split("_")[1:]
        where = f"`{method}`, {size} x {size}"
        known, both = row["style_known_ms"], row["with_style_ms"]
        if "plain_ms" in row:
            lines.append(f"| {where}, plain PyTorch | {row['plain_ms']} | {row['plain_ms']} | {memory(row, 'plain')} |")
            both = f"{both} (**{row['with_style_times_as_fast']:.2f}**)"
            known = f"{known} (**{row['style_known_times_as_fast']:.2f}**)"
        lines.append(f"| {where} | {both} | {known} | {memory(row, 'with_style')} |")
    return "\n".join(lines)


def memory(row: dict[str, Any], variant: str) -> str:
    """Two cells; the second is empty if no process was measured."""
    process = row.get(f"{variant}_peak_process_mb")
    return f"{row[f'{variant}_peak_tensor_mb']} MB | {f'{process} MB' if process else ''}"


def program() -> str:
    """Time and memory of whole commands."""
    figures = json.loads((RESULTS / "cpu.json").read_text())["figures"]
    rows = {key: row for key, row in figures.items() if key.startswith("program_")}
    if not rows:
        return "Not yet measured."
    lines = ["| `stylekit stylize` | seconds | busy cores | peak process memory |", "|---|---|---|---|"]
    for key, row in rows.items():
        size, count = key.removeprefix("program_"), row["pictures"]
        task = f"an image of {size} x {size}" if count == 1 else f"a folder of {count} images, 320 x 240 to 320 x 400"
        lines.append(f"| {task} | {row['seconds']:.2f} | {row['cores_busy']:.2f} | {row['peak_mb']:.0f} MB |")
    return "\n".join(lines)


def optimising() -> str:
    """Time of one evaluation of the loss of ``gatys``, and of its parts."""
    results = json.loads((RESULTS / "cpu.json").read_text())
    rows = {key: row for key, row in results["figures"].items() if re.fullmatch(r"gatys_\d+", key)}
    if not rows:
        return "Not yet measured."
    lines = [
        "| VGG-19, loss and gradient of an image | plain PyTorch, ms | stylekit, ms | speedup | peak tensor memory |",
        "|---|---|---|---|---|",
    ]
    for key, row in sorted(rows.items()):
        size, peak = key.partition("_")[2], row["stylekit_peak_tensor_mb"]
        lines.append(
            f"| {size} x {size} | {row['plain_ms']} | {row['stylekit_ms']} | {row['times_as_fast']:.2f} "
            f"| {peak} MB (plain {row['plain_peak_tensor_mb']}) |"
        )
    shares = next(row for row in rows.values() if any(name.startswith("share_") for name in row))
    parts = [f"{name[6:].replace('_', ' ')} {value:.0%}" for name, value in shares.items() if name.startswith("share_")]
    lines.append(f"\nShares of the time: {', '.join(parts)}.")
    if optimiser := results["figures"].get("gatys_optimiser_256"):
        lines.append(f"L-BFGS itself takes {optimiser['share_of_a_step']:.1%} of a step at 256 pixels.")
    return "\n".join(lines)
