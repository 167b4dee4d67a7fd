"""Writes the tables in README.md and docs/ from the files in ``benchmarks/results``: ``python benchmarks/report.py``.

A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``. ``--check`` changes nothing, and fails if one is stale.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def demo() -> str:
    told = json.loads((RESULTS / "demo.json").read_text())
    lines = [
        f"{told['pictures']} held-out scenes of {told['size']} pixels against their truth, after {told['steps']} steps "
        f"in {told['seconds']:.0f} seconds of training:\n",
        "| | PSNR, untouched | PSNR, translated | SSIM, untouched | SSIM, translated |",
        "|---|---|---|---|---|",
    ]
    for name, score in told["scores"].items():
        (psnr_before, psnr), (ssim_before, ssim) = score["psnr"], score["ssim"]
        lines.append(f"| {name} | {psnr_before:.2f} dB | **{psnr:.2f} dB** | {ssim_before:.3f} | **{ssim:.3f}** |")
    return "\n".join(lines)


def steps() -> str:
    told = json.loads((RESULTS / "cpu.json").read_text())
    machine, figures = told["machine"], told["figures"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['vector']}, torch {machine['torch']}:\n",
        "| pictures, width | | plain, ms | stylekit, ms | times as fast | pictures a second | peak of tensors |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(figures.items(), key=lambda item: (len(item[0]), item[0])):
        if match := re.fullmatch(r"step_(\d+)_(\d+)_(eager|compiled)", key):
            how = "`--compile`" if match[3] == "compiled" else ""
            mine = row.get("stylekit_peak_tensor_mb")
            peak = f"{mine} MB (plain {row['plain_peak_tensor_mb']})" if mine else ""
            lines.append(
                f"| {match[1]} x {match[1]}, {match[2]} | {how} | {row['plain_ms']} | {row['stylekit_ms']} "
                f"| {row['times_as_fast']:.2f} | {row['images_per_second']} | {peak} |"
            )
    loading = [figures[f"loading_{kind}_64"] for kind in ("scenes", "folders")]
    lines.append(
        f"\nLoading a pair of pictures of 64 pixels takes one process {loading[0]['load_ms']} ms from `scenes` (before they "
        f"are kept) and {loading[1]['load_ms']} ms from `folders` (JPEG of 256 pixels), beside a step of "
        f"{loading[0]['step_ms']} ms at width 16."
    )
    return "\n".join(lines)


TABLES: dict[str, tuple[Any, Path]] = {
    "demo": (demo, ROOT / "README.md"),
    "steps": (steps, ROOT / "docs" / "methods.md"),
}


def filled(text: str, name: str, table: str) -> str:
    """The text with the table in its place."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL
    )


def main() -> None:
    stale = []
    for name, (write, path) in TABLES.items():
        old = path.read_text()
        new = filled(old, name, write())
        if new != old:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(new)
    if stale and "--check" in sys.argv:
        sys.exit(f"stale tables in {', '.join(stale)}: run python benchmarks/report.py")


if __name__ == "__main__":
    main()
