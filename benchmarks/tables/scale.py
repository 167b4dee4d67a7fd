"""The tables of docs/scale.md."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.cluster import NODES, SIDES, projected
from benchmarks.figures import RESULTS
from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded
from stylekit.cli.batch.ray_data import BATCH


def loading() -> str:
    """How fast images are loaded from a folder and from shards, by ``loading.py``."""
    results = json.loads((RESULTS / "loading.json").read_text())
    rows = [["", "folder", "shards", "shards / folder"]]
    for key, digits in (("images per second", 0), ("seconds to open", 3)):
        for name, title in ((key, f"{key}, files cached"), (f"{key}, cold", f"{key}, files not cached")):
            row = results[name]
            rows.append([title, *(f"{row[kind]:.{digits}f}" for kind in ("folder", "shards")), f"{row['ratio']:.2f}"])
    waiting = results["waiting"]
    rows.append(["share of training that waits", *(f"{waiting[kind]:.1%}" for kind in ("folder", "shards")), ""])
    title = (
        f"{results['images']} JPEG files of {results['side']} x {results['side']} pixels, {results['kilobytes']:.0f} kB each, "
        f"or {results['shards']} shards, on a local disk; {results['workers']} process loads crops of {results['size']} x "
        f"{results['size']}; {results['cores']} cores, shared with other work. The two are measured alternately, and the ratio "
        f"is the median over the pairs. Training is `cyclegan` with width 16 at 128 pixels, {results['steps']} steps:"
    )
    return f"{title}\n\n{markdown(rows)}"


@recorded("cluster", "Not yet measured.")
def clusters(figures: Any) -> str:
    """Two workers beside one, each with one thread."""
    lines = [
        f"{figures['pictures']} pictures of {figures['side']} x {figures['side']} pixels, `stylekit-any`, one thread a worker, "
        f"on {figures['cores']} cores (load: how many programs wanted one in the minute before). Seconds are without Ray's "
        "start.\n",
        "| round | load | one worker, s | two workers, s | ratio | Ray's start, s |",
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(figures["rounds"], 1):
        start = min(row["start_1"], row["start_2"])
        lines.append(
            f"| {number} | {row['load']} | {row['seconds_1']} | {row['seconds_2']} | **{row['ratio']:.2f}** | {start} |"
        )
    cores = " and ".join(
        f"{1000 * seconds:.0f} ms at {side} x {side}" for side, seconds in figures["core_seconds"].items()
    )
    lines.append(
        f"\nA picture takes {cores} of one core, with reading and writing (processor time). Ray Data takes "
        f"{1000 * figures['seconds_per_batch']:.1f} ms to hand out a batch of {BATCH} pictures. Two processes side by side "
        f"without Ray do {figures['without_ray']:.2f} times as much as one."
    )
    return "\n".join(lines)


@recorded("cluster", "Not yet measured.")
def projection(figures: Any) -> str:
    """What more machines would do, by arithmetic."""
    lines = ["| nodes |", "|---|"]
    for side in SIDES:
        lines[0] += f" pictures of {side} x {side} an hour | what limits them |"
        lines[1] += "---|---|"
    for nodes in NODES:
        cells = [projected(figures, nodes, side) for side in SIDES]
        lines.append(f"| {nodes} |" + "".join(f" {cell['pictures_an_hour']:,} | {cell['limit']} |" for cell in cells))
    full = [next(n for n in range(1, 10**6) if projected(figures, n, side)["limit"] != "the cores") for side in SIDES]
    words = " and ".join(f"{nodes} nodes at {side} x {side}" for nodes, side in zip(full, SIDES, strict=True))
    return "\n".join([*lines, f"\nMore than {words} add nothing."])
