"""The tables of docs/weights.md."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.figures import RESULTS
from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import read, recorded


@recorded("judge")
def judged(results: Any) -> str:
    """The evaluation of the bundled model and of others by ``judge.py``."""
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


def halos() -> str:
    """Halos of the model that ships and of others by ``halo.py``."""
    results = json.loads((RESULTS / "halo.json").read_text())["levels"]
    styles = list(next(iter(results.values())))
    rows = [["", *(f"`{style}`" for style in styles)]]
    rows += [[name, *(f"{row[style]:.0f}" for style in styles)] for name, row in results.items()]
    return markdown(rows)


@recorded("any")
def shipped(results: Any) -> str:
    """The training of the model that ships: its pictures, the settings of its runs, and the curves of its losses."""
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


@recorded("restore")
def restorers(results: Any) -> str:
    """The restorers that ship: their networks and their training, by ``restore.py`` and ``colorize.py``."""
    coloured = read("colorize")
    models = {**results["models"], **({"colorize": coloured["model"]} if coloured else {})}
    rows = [["", "network, parameters", "steps, batch size, crop", "MB", "SHA-256"]]
    for task, model in models.items():
        if not model.get("ships", True):
            continue
        steps = " + ".join(f"{each:,}" for each in model["steps"])
        rows.append(
            [
                f"`stylekit-restore-{task}`",
                f"{model['network']}, {model['parameters']:,}",
                f"{steps}, {model['batch_size']}, {model['size']} pixels",
                f"{model['bytes'] / 1e6:.2f}",
                f"`{model['sha256'][:16]}…`",
            ]
        )
    return markdown(rows)
