"""Writes the tables in README.md and docs/ from the files in ``benchmarks/results``: ``python benchmarks/report.py``.

A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``. ``--check`` changes nothing, and fails if one is stale.
``--targets`` prints which of the kernels' targets the figures meet, and writes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import OPERATIONS, RESULTS, Device, Kernel, devices
from benchmarks.targets import targets

ROOT = Path(__file__).parents[1]


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


def tutorial() -> str:
    told = json.loads((RESULTS / "tutorial.json").read_text())
    machine, commands = told["machine"], told["commands"]
    total = sum(seconds for _, seconds in commands)
    lines = [
        f"One file of {told['lines']} lines, {len(commands)} commands, {total / 60:.1f} minutes, with {machine['threads']} "
        f"of {machine['cores']} cores and torch {machine['torch']}; what pip downloads is not in it:\n",
        "| command | seconds |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| `{command}` | {seconds:.1f} |" for command, seconds in commands)])


PEERS = {"eager": "eager PyTorch", "instance_norm": "`F.instance_norm`", "compiled": "`torch.compile`"}


def times(ratios: list[float | None]) -> str:
    """The geometric mean, and the least and the most."""
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return ""
    mean = f"**{geometric_mean(known):.2f}**"
    return f"{mean} ({min(known):.2f} to {max(known):.2f})" if len(known) > 1 else mean


def share(ratios: list[float | None]) -> str:
    """The geometric mean in percent."""
    known = [ratio for ratio in ratios if ratio is not None]
    return f"{100 * geometric_mean(known):.0f} %" if known else ""


def summary(device: Device) -> str:
    lines = [
        f"{device.title}:\n",
        f"| times as fast as | {' | '.join(PEERS.values())} | of the limit |",
        "|---|" + "---|" * (len(PEERS) + 1),
    ]
    for operation, precision, cases in device.groups():
        name = f"{OPERATIONS[operation]}, {precision}" if device.on_gpu else OPERATIONS[operation]
        columns = [times([case.ratio(peer) for case in cases]) for peer in PEERS]
        lines.append(f"| {name} | {' | '.join(columns)} | {share([case.ratio('limit') for case in cases])} |")
    return "\n".join(lines)


def every_shape(device: Device) -> str:
    lines = [f"{device.title}:"]
    for operation, precision, cases in device.groups():
        name = f"{OPERATIONS[operation]}, {precision}" if device.on_gpu else OPERATIONS[operation]
        lines += [
            f"\n{name[0].upper()}{name[1:]}:\n",
            f"| features | MB | kernel, ms | {' | '.join(f'{peer}, ms' for peer in PEERS.values())} | limit, ms |",
            "|---|---|---|" + "---|" * (len(PEERS) + 1),
        ]
        lines += [row(case) for case in cases]
    return "\n".join(lines)


def row(case: Kernel) -> str:
    where = f"{case.layer} at {case.size}" if case.shape else f"five at {case.size}, batch {case.batch}"
    shape = f", {' x '.join(map(str, case.shape))}" if case.shape else ""
    columns = [f"{milliseconds(case, peer)}{of_ours(case.ratio(peer))}" for peer in PEERS]
    limit, ours = milliseconds(case, "limit"), milliseconds(case, "ours")
    reached = f"{limit} ({share([case.ratio('limit')])})"
    return f"| {where}{shape} | {case.megabytes:g} | {ours} | {' | '.join(columns)} | {reached} |"


def milliseconds(case: Kernel, name: str) -> str:
    names = ("compiled", "instance_norm_compiled") if name == "compiled" else (name,)
    known = [case.figures[f"{name}_us"] for name in names if f"{name}_us" in case.figures]
    return f"{min(known) / 1e3:.3g}" if known else ""


def of_ours(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f})"


def on_all(table: Callable[[Device], str]) -> str:
    """The table for every device, and what was not measured."""
    found = devices()
    told = [table(device) for device in found]
    if not any(not device.on_gpu for device in found):
        told.append("Not yet measured on a CPU.")
    if not any(device.on_gpu for device in found):
        told.append("Not yet measured on a GPU.")
    return "\n\n".join(told)


TABLES: dict[str, tuple[Any, Path]] = {
    "demo": (demo, ROOT / "README.md"),
    "kernels": (lambda: on_all(summary), ROOT / "README.md"),
    "kernels-all": (lambda: on_all(every_shape), ROOT / "docs" / "kernels.md"),
    "steps": (steps, ROOT / "docs" / "methods.md"),
    "tutorial": (tutorial, ROOT / "docs" / "plugins.md"),
}


def filled(text: str, name: str, table: str) -> str:
    """The text with the table in its place."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL
    )


def main() -> None:
    if "--targets" in sys.argv:
        print(targets())
        return
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
