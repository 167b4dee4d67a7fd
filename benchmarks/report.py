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


def stylizing() -> str:
    """Seconds a picture, and the memory that it takes."""
    path = RESULTS / "cpu.json"
    told = json.loads(path.read_text()) if path.exists() else {"figures": {}}
    rows = {key: row for key, row in told["figures"].items() if key.startswith("stylize_")}
    if not rows:
        return "Not yet measured."
    machine = told["machine"]
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['vector']}, torch {machine['torch']}:\n", *NETWORKS]
    for key, row in sorted(rows.items(), key=lambda item: (len(item[0]), item[0])):
        method, size = key.split("_")[1:]
        where = f"`{method}`, {size} x {size}"
        known, both = row["style_known_ms"], row["with_style_ms"]
        if "plain_ms" in row:
            lines.append(
                f"| {where}, written plainly | {row['plain_ms']} | {row['plain_ms']} | {memory(row, 'plain')} |"
            )
            both = f"{both} (**{row['with_style_times_as_fast']:.2f}** times as fast)"
            known = f"{known} (**{row['style_known_times_as_fast']:.2f}**)"
        lines.append(f"| {where} | {both} | {known} | {memory(row, 'with_style')} |")
    return "\n".join(lines)


NETWORKS = (
    "| | a picture with its style, ms | its style known, ms | peak of tensors | growth of the process |",
    "|---|---|---|---|---|",
)


def memory(row: dict[str, Any], way: str) -> str:
    """Two cells; the second is empty where no process was measured."""
    process = row.get(f"{way}_peak_process_mb")
    return f"{row[f'{way}_peak_tensor_mb']} MB | {f'{process} MB' if process else ''}"


def program() -> str:
    """Seconds of whole commands."""
    figures = json.loads((RESULTS / "cpu.json").read_text())["figures"]
    rows = {key: row for key, row in figures.items() if key.startswith("program_")}
    if not rows:
        return "Not yet measured."
    lines = ["| `stylekit stylize` | seconds | of them cores busy | memory of the process |", "|---|---|---|---|"]
    for key, row in rows.items():
        size, count = key.removeprefix("program_"), row["pictures"]
        what = (
            f"a picture of {size} x {size}" if count == 1 else f"a folder of {count} pictures, 320 x 240 to 320 x 400"
        )
        lines.append(f"| {what} | {row['seconds']:.2f} | {row['cores_busy']:.2f} | {row['peak_mb']:.0f} MB |")
    return "\n".join(lines)


def optimising() -> str:
    """Seconds an evaluation of Gatys' loss, and where they go."""
    told = json.loads((RESULTS / "cpu.json").read_text())
    rows = {key: row for key, row in told["figures"].items() if re.fullmatch(r"gatys_\d+", key)}
    if not rows:
        return "Not yet measured."
    lines = [
        "| VGG-19, loss and slope of a picture | plain, ms | stylekit, ms | times as fast | peak of tensors |",
        "|---|---|---|---|---|",
    ]
    for key, row in sorted(rows.items()):
        size, mine = key.partition("_")[2], row["stylekit_peak_tensor_mb"]
        lines.append(
            f"| {size} x {size} | {row['plain_ms']} | {row['stylekit_ms']} | {row['times_as_fast']:.2f} "
            f"| {mine} MB (plain {row['plain_peak_tensor_mb']}) |"
        )
    shares = next(row for row in rows.values() if any(name.startswith("share_") for name in row))
    parts = [f"{name[6:].replace('_', ' ')} {value:.0%}" for name, value in shares.items() if name.startswith("share_")]
    lines.append(f"\nThe time goes into {', '.join(parts)}.")
    if optimiser := told["figures"].get("gatys_optimiser_256"):
        lines.append(f"L-BFGS itself takes {optimiser['share_of_a_step']:.1%} of a step at 256 pixels.")
    return "\n".join(lines)


def judged() -> str:
    """What the judge says of the model that ships, beside others."""
    path = RESULTS / "judge.json"
    if not path.exists():
        return "Not yet recorded."
    told = json.loads(path.read_text())
    lines = [
        f"{len(told['contents'])} photographs in the style of {len(told['styles'])} paintings each, {told['size']} pixels; "
        f"medians over the pairs, torch {told['versions']['torch']}, {told['threads']} threads:\n",
        "| | content | style | texture | clipped | blotches | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in told["medians"].items():
        marks = [f"{row[mark]:.3f}" for mark in ("content", "style", "texture")]
        lines.append(
            f"| {name} | {' | '.join(marks)} | {row['clipped']:.1%} | {row['blotches']:.1f} | {row['seconds']:.2f} |"
        )
    mine, real = (told["medians"].get(name) for name in ("stylekit-small", "runs/trained-on-real-pictures"))
    if mine and real:
        shares = (f"{mark} {mine[mark] / real[mark]:.2f}" for mark in ("content", "style", "texture"))
        lines.append(
            f"\n`stylekit-small`, as a share of the same network trained on real pictures: {', '.join(shares)}."
        )
    return "\n".join(lines)


def small() -> str:
    """How the model that ships was trained: the settings of its run, and what its losses came to."""
    path = RESULTS / "small.json"
    if not path.exists():
        return "Not yet recorded."
    told = json.loads(path.read_text())
    lines = [
        "| | |",
        "|---|---|",
        f"| steps, pictures a step, size | {told['steps']}, {told['batch_size']}, {told['size']} |",
        f"| seed, precision | {told['seed']}, {told['precision']} bits |",
        f"| torch, cores | {told['torch']}, {told['cores']} |",
        f"| hours | {told['hours']:.2f} |",
        f"| objective a step, mean of the logarithm: steps 1 to 100, last 100 | {told['first']:.3f}, {told['last']:.3f} |",
        f"| file | {told['megabytes']:.2f} MB, SHA-256 `{told['sha256']}` |",
    ]
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
    "stylizing": (stylizing, ROOT / "docs" / "speed.md"),
    "program": (program, ROOT / "docs" / "speed.md"),
    "optimising": (optimising, ROOT / "docs" / "speed.md"),
    "judged": (judged, ROOT / "docs" / "weights.md"),
    "small": (small, ROOT / "docs" / "weights.md"),
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
