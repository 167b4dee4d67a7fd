"""The tables of docs/large_and_video.md."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded


@recorded("steadiness")
def steady(results: Any) -> str:
    """How steady clips are that the model that ships and others stylise, by ``steadiness.py``."""
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
        parts.append(f"{title}:\n\n{markdown(rows)}")
    return "\n\n".join(parts)


@recorded("steady_losses")
def steady_losses(results: Any) -> str:
    """What losses for steadiness do to small models, by ``steady_losses.py``."""
    rows = [["further losses", "short", "long", "style distance"]]
    for name, row in results["rows"].items():
        rows.append([name, f"{1000 * row['short']:.2f}", f"{1000 * row['long']:.2f}", f"{row['style_distance']:.3f}"])
    told = f"{results['steps']:,} steps of {results['batch_size']} drawn scenes of {results['size']} pixels"
    return f"{told}; {results['frames']} frames of each of the drawn clips, frame by frame:\n\n{markdown(rows)}"


@recorded("large")
def large(results: Any) -> str:
    """How pictures in tiles differ from those at once, and what a huge picture takes, by ``large.py``."""
    rows = [["", "statistics", "mean difference", "largest", "border", "time, relative to at once"]]
    for name, kinds in results["models"].items():
        once = kinds["at once"]["seconds"]
        for kind, row in kinds.items():
            if kind != "at once":
                figures = [f"{row['mean']:.2f}", f"{row['largest']:.1f}", f"{row['border']:.3f}"]
                rows.append([f"`{name}`", f"`{kind}`", *figures, f"{row['seconds'] / once:.1f}"])
    huge = results["huge"]
    return (
        f"{results['side']} x {results['side']} pixels in tiles of {results['tile']}:\n\n{markdown(rows)}\n\n"
        f"`stylekit-any` stylises {huge['side']:,} x {huge['side']:,} pixels with `--max-memory {huge['allowed']}` in "
        f"{huge['seconds'] / 60:.1f} minutes, with {huge['peak'] / 1e9:.2f} GB at most: "
        f"{huge['gigapixels_an_hour']:.2f} gigapixels an hour, with {results['threads']} threads and torch {results['torch']}."
    )


@recorded("film")
def filmed(results: Any) -> str:
    """How quickly clips are stylised, and that a long one takes no more memory, by ``film.py``."""
    kinds = list(next(iter(results["rates"].values())))
    rows = [["frames a second", *(f"`--steady {kind}`" for kind in kinds)]]
    rows += [[size, *(f"{rates[kind]:.2f}" for kind in kinds)] for size, rates in results["rates"].items()]
    how = f"`stylekit-any`, {results['threads']} threads, torch {results['torch']}, after the first {results['frames']} frames"
    parts = [f"{how}:\n\n{markdown(rows)}"]
    if memory := results.get("memory"):
        height, width = memory.pop("size")
        peaks = " and ".join(f"{row['peak'] / 1e6:.0f} MB for {int(count):,} frames" for count, row in memory.items())
        parts.append(f"The largest memory of the program, with `color-pca` at {width} x {height}: {peaks}.")
    return "\n\n".join(parts)
