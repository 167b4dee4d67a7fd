"""The tables of docs/deploy.md."""

from __future__ import annotations

import json

from benchmarks.figures import RESULTS
from benchmarks.tables.markdown import markdown


def engines() -> str:
    """Whole processes of each engine and of a rival."""
    results = json.loads((RESULTS / "engines.json").read_text())
    rows = [
        [
            "",
            "first picture, 384 px",
            "512 px",
            "peak memory, 512 px",
            "pictures per second, 512 px",
            "256 px, style known",
            "installed",
        ]
    ]
    for name, row in results["programs"].items():
        first, memory = row["first"], row["memory"]
        figures = [f"{first['384']:.2f} s", f"{first['512']:.2f} s", f"{memory['512']} MB", f"{row['per_second']:.1f}"]
        figures.append(f"{row['frames']:.0f}" if "frames" in row else "")
        label = f"`--engine {name}`" if name in ("torch", "onnxruntime", "openvino") else name
        rows.append([label, *figures, f"{row['installed_mb']} MB"])
    return f"{results['cores']} cores, medians:\n\n{markdown(rows)}"


def exports() -> str:
    """What each method's exported files differ by, or why there are none."""
    rows = [["method", "`.onnx`", "`.pt2`", "files"]]
    for name, formats in json.loads((RESULTS / "exports.json").read_text()).items():
        cells = [
            f"{each['difference']:.2g}"
            if "difference" in each
            else f"no: {each['reason'].partition(': ')[2].partition('. ')[0].rstrip('.')}"
            for each in formats.values()
        ]
        rows.append([f"`{name}`", *cells, str(formats[".pt2"].get("files", ""))])
    return markdown(rows)
