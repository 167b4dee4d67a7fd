"""The tables of docs/stability.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.tables.markdown import markdown
from benchmarks.tables.records import recorded


def spread(values: Iterable[float], digits: int = 2) -> str:
    """The mean, and the standard deviation of several values."""
    values = list(values)
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


@recorded("modes")
def modes(results: Any) -> str:
    """What each loss finds with each penalty."""
    rows = [["problem", "steps", "loss", "penalty", "modes", "share of good samples", "seconds of one core", "seeds"]]
    for steps, problems in sorted(results.items(), key=lambda item: -int(item[0])):
        for problem, losses in problems.items():
            for loss, penalties in losses.items():
                for penalty, runs in penalties.items():
                    figures = [
                        spread((run[key] for run in runs), 1 if key == "modes" else 2) for key in ("modes", "good")
                    ]
                    longest = max(run["seconds"] for run in runs)
                    rows.append(
                        [
                            problem,
                            steps,
                            f"`{loss}`",
                            f"`{penalty}`",
                            *figures,
                            f"at most {longest:.0f}",
                            str(len(runs)),
                        ]
                    )
    return markdown(rows)


@recorded("digits")
def digits(results: Any) -> str:
    """What each GAN draws of digits."""
    heads = [
        "problem",
        "preset",
        "seconds",
        "steps",
        "modes",
        "divergence",
        "rarest class",
        "commonest class",
        "accuracy",
    ]
    rows = [[*heads, "seeds"]]
    keys = {"modes": 0, "divergence": 2, "rarest": 3, "commonest": 3, "accuracy": 3}
    for problem, presets in results["problems"].items():
        for preset, seconds, runs in _by_seconds(presets):
            figures = [
                spread((run[key] for run in runs), places) if key in runs[0] else "" for key, places in keys.items()
            ]
            steps = statistics.mean(run["steps"] for run in runs)
            rows.append([problem, f"`{preset}`", f"{seconds:.0f}", f"{steps:.0f}", *figures, str(len(runs))])
    return (
        f"Seconds are of one core. The classifier is right for {results['classifier']:.1%} of the digits that it was not "
        f"trained on:\n\n{markdown(rows)}"
    )


def _by_seconds(presets: Mapping[str, Any]) -> Iterable[tuple[str, float, list[Any]]]:
    """Each preset with each length of its runs, and these runs."""
    for preset, runs in presets.items():
        for seconds in sorted({run["seconds"] for run in runs}):
            yield preset, seconds, [run for run in runs if run["seconds"] == seconds]


@recorded("scenes")
def scenes(results: Any) -> str:
    """Each translator with each discriminator, against the truth."""
    before, runs = results["untouched"], results["runs"]
    keys = ("psnr", "ssim", "mind", "lost", "invented")
    rows = [["", "steps", *keys, "best PSNR", "failed", "seeds"]]
    rows.append(["untouched", "", *(f"{before[key]:.3f}" for key in keys), "", "", ""])
    for name, each in runs.items():
        rows.append([name, *_row(each, keys, before)])
    seconds = [run["seconds"] for each in runs.values() for run in each]
    return (
        f"As many steps as {results['seconds']:.0f} seconds of one core seemed enough for, before the first seeds of a line; "
        f"later seeds had as many. They took from {min(seconds):.0f} to {max(seconds):.0f} seconds, on machines of different "
        f"speed that also did other work:\n\n{markdown(rows)}"
    )


def _row(runs: Sequence[Mapping[str, Any]], keys: Sequence[str], before: Mapping[str, float]) -> list[str]:
    figures = [spread((run["last"][key] for run in runs), 2 if key == "psnr" else 3) for key in keys]
    best = spread(run["best"]["psnr"] for run in runs)
    failed = sum(run["last"]["psnr"] <= before["psnr"] for run in runs)
    steps = statistics.mean(run["steps"] for run in runs)
    return [f"{steps:.0f}", *figures, best, str(failed), str(len(runs))]


@recorded("rescue")
def rescue(results: Any) -> str:
    """What the sentinel noticed, and what rollbacks saved."""
    rows = [["learning rate", "`--guard`", "warned at step", "rollbacks", "PSNR before and after, dB"]]
    for kind, runs in results["runs"].items():
        guard = "rollback" if kind == "broken" else "warn"
        for run in runs:
            warned = ", ".join(map(str, run["warned_at"])) or "never"
            psnr = f"{run['psnr_before']:.1f}, {run['psnr']:.1f}"
            rows.append([f"{results['rates'][kind]:g}", f"`{guard}`", warned, str(run["rollbacks"]), psnr])
    broken, healthy = results["runs"]["broken"], results["runs"]["healthy"]
    noticed = sum(bool(run["warned_at"]) and run["warned_at"][0] <= 200 for run in broken)
    usable = sum(run["psnr"] > run["psnr_before"] for run in broken)
    silent = sum(not run["warned_at"] for run in healthy)
    unguarded = results["runs"].get("unguarded", [])
    alone = sum(run["psnr"] > run["psnr_before"] for run in unguarded)
    without = f"Without a rollback, {alone} of {len(unguarded)} do. " if unguarded else ""
    return (
        f"Noticed within 200 steps in {noticed} of {len(broken)} runs, of which {usable} end closer to the truth than the "
        f"input is. {without}Silent in {silent} of {len(healthy)} healthy runs. {results['steps']} steps:\n\n{markdown(rows)}"
    )
