"""The tables of docs/methods.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.figures import RESULTS
from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import read, recorded


def steps() -> str:
    results = json.loads((RESULTS / "cpu.json").read_text())
    machine, figures = results["machine"], results["figures"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['vector']}, torch {machine['torch']}:\n",
        "| method, images, width | | plain PyTorch, ms | stylekit, ms | speedup | images per second | peak tensor memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, row in sorted(figures.items(), key=lambda item: (len(item[0]), item[0])):
        if match := re.fullmatch(r"step_(\d+)_(\d+)_(eager|compiled)", key):
            mode = "`--compile`" if match[3] == "compiled" else ""
            memory = row.get("stylekit_peak_tensor_mb")
            peak = f"{memory} MB (plain {row['plain_peak_tensor_mb']})" if memory else ""
            lines.append(
                f"| `cyclegan`, {match[1]} x {match[1]}, {match[2]} | {mode} | {row['plain_ms']} | {row['stylekit_ms']} "
                f"| {row['times_as_fast']:.2f} | {row['images_per_second']} | {peak} |"
            )
    for key, row in sorted(figures.items()):
        if match := re.fullmatch(r"gan_(.+)_(\d+)_(\d+)", key):
            lines.append(
                f"| `{match[1]}`, {match[2]} x {match[2]}, {match[3]} | | {row['plain_ms']} | {row['stylekit_ms']} "
                f"| {row['times_as_fast']:.2f} | | |"
            )
    loading = [figures[f"loading_{kind}_64"] for kind in ("scenes", "folders")]
    lines.append(
        f"\nOne worker loads a pair of 64 x 64 images in {loading[0]['load_ms']} ms from `scenes` (before they are cached) and "
        f"in {loading[1]['load_ms']} ms from `folders` (JPEG files of 256 x 256 pixels). A step at width 16 takes "
        f"{loading[0]['step_ms']} ms."
    )
    return "\n".join([*lines, *bf16(figures)])


def bf16(figures: dict[str, dict[str, float]]) -> list[str]:
    """The speed of a step in bfloat16, and the PSNR of the demo in both precisions."""
    rows = {key: row for key, row in figures.items() if key.startswith("bf16_")}
    ratios = [
        f"{row['times_as_fast']:.2f} at {size} x {size} (width {width})"
        for key, row in sorted(rows.items(), key=lambda item: (len(item[0]), item[0]))
        for size, width in [key.split("_")[1:]]
    ]
    lines = [f"\nSpeed of a step with `--precision bf16`, relative to float32: {', '.join(ratios)}."] if ratios else []
    if (RESULTS / "demo-bf16.json").exists():
        runs = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ("demo", "demo-bf16")]
        psnr = " and ".join("/".join(f"{score['psnr'][1]:.2f}" for score in run["scores"].values()) for run in runs)
        lines.append(
            f"The demo's PSNR (A to B / B to A, dB) is {psnr} in float32 and in bf16, after {runs[0]['steps']} steps."
        )
    return lines


def beside_pastiche() -> str:
    """``gatys`` beside the program ``pastiche`` on the same pictures, and the memory of both."""
    results = json.loads((RESULTS / "gatys.json").read_text())
    rival = next(name for name in results["pairs"] if name.startswith("pastiche"))
    theirs = flat(results["pairs"][rival])
    lines = [
        f"{len(theirs)} photographs, each in the style of a painting, at most {results['size']} pixels, {results['threads']} "
        "threads; means over the pairs:\n",
        "| | content | style | seconds | seconds per evaluation | closer to both than `pastiche` |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results["means"].items():
        if not (steps := re.search(r"steps=(\d+)", name)):
            continue
        ours = flat(results["pairs"][name])
        wins = sum(a["content"] < b["content"] and a["style"] < b["style"] for a, b in zip(ours, theirs, strict=True))
        lines.append(
            f"| `{name}` | {row['content']:.3f} | {row['style']:.3f} | {row['seconds']:.1f} "
            f"| {row['seconds'] / int(steps[1]):.3f} | {'' if name == rival else f'{wins} of {len(ours)}'} |"
        )
    figures = json.loads((RESULTS / "cpu.json").read_text())["figures"]
    known = [(*key.split("_")[1:], row["peak_process_mb"]) for key, row in figures.items() if key.startswith("memory_")]
    sizes = [f"`{program}` {megabytes} MB at {side} x {int(side) * 3 // 4}" for program, side, megabytes in known]
    return "\n".join([*lines, *([f"\nPeak memory of the process: {', '.join(sizes)}."] if sizes else [])])


def flat(rows: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, float]]:
    return [marks for row in rows.values() for marks in row.values()]


def look() -> str:
    """A model of one learned style, beside the model that ships and others."""
    return judged_trainings("look")


def trained() -> str:
    """Models of AdaIN and WCT, beside the model that ships and others."""
    return judged_trainings("trained")


def judged_trainings(name: str) -> str:
    """What ``judge.py`` recorded about trained models and others, with how they were trained."""
    results = read(name)
    if results is None:
        return "Not yet recorded."
    lines = [
        f"{len(results['contents'])} photographs, each in the style of {len(results['styles'])}"
        f" painting{'s' * (len(results['styles']) > 1)}, at most {results['size']} pixels, {results['threads']} threads:\n",
        "| | content | style | texture | seconds | training |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results["means"].items():
        how = results["training"].get(name)
        told = ""
        if how:
            options = ", ".join(f"`{key}={value}`" for key, value in how["set"].items() if key != "styles")
            told = how_long(how) + f", {options}" * bool(options)
        shown = f"`{how['plugin'][0]}`" if how else name
        lines.append(
            f"| {shown} | {row['content']:.3f} | {row['style']:.3f} | {row['texture']:.3f} | {row['seconds']:.2f} | {told} |"
        )
    return "\n".join(lines)


@recorded("knob")
def knobs(results: Any) -> str:
    """What the knob of content-gan does, for models of several looks."""
    shown = [0, 5, 10]
    heads = [f"{name}, content={number / 10:g}" for name in ("content", "style") for number in shown]
    rows = [["", *heads, "rank correlations", "training"]]
    for name, row in results["models"].items():
        figures = [f"{row[key][number]:.3f}" for key in ("content", "style") for number in shown]
        ranks = " and ".join(f"{row['rank_correlation'][key]:.2f}" for key in ("content", "style"))
        rows.append([name, *figures, ranks, how_long(row["training"])])
    return markdown(rows)


def how_long(how: Mapping[str, Any]) -> str:
    """How a run was trained, in words."""
    return f"{how['steps']} steps of {how['batch_size']} at {how['size']} pixels, {how['minutes']:.0f} minutes"


def students() -> str:
    """Students beside their teacher."""
    rows = [["", "MACs", "of the teacher's", "parameters", "milliseconds", "PSNR", "SSIM", "training"]]
    results = json.loads((RESULTS / "students.json").read_text())
    most = results["teacher"]["macs"]
    for name, row in results.items():
        training = f"{row['steps']} steps, {row['minutes']:.0f} minutes" if "steps" in row else ""
        figures = [f"{row['macs'] / 1e6:.1f} million", f"{row['macs'] / most:.0%}", f"{row['parameters']:,}"]
        figures += [f"{row['milliseconds']:.1f}", f"{row['psnr']:.2f} dB", f"{row['ssim']:.3f}"]
        rows.append([name, *figures, training])
    return markdown(rows)


def pruning() -> str:
    """A pruned model, trained further or not, beside students of the same width."""
    rows = [["", "parameters", "PSNR", "SSIM", "PSNR, the teacher's outputs", "training"]]
    for name, row in json.loads((RESULTS / "pruning.json").read_text()).items():
        training = f"{row['minutes']:.1f} minutes" if "minutes" in row else ""
        imitation = f"{row['psnr_teacher']:.2f} dB" if "psnr_teacher" in row else ""
        figures = [f"{row['parameters']:,}", f"{row['psnr']:.2f} dB", f"{row['ssim']:.3f}", imitation]
        rows.append([name, *figures, training])
    return markdown(rows)
