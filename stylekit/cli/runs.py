"""``stylekit runs``: lists and compares runs of training."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from stylekit.cli.output import Json, echo, print_json, print_table
from stylekit.errors import StylekitError
from stylekit.training.summary import differences, runs_in, summarize


def command(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="a folder of runs, or several runs (default: the folder runs)")
    ] = None,
    json: Json = False,
) -> None:
    """List the runs of a folder: method, steps, last losses, size and date. Of several runs, the settings that differ too."""
    named = folders or [Path("runs")]
    facts = [_facts(run) for folder in named for run in runs_in(folder)]
    settings = [each.pop("settings") for each in facts]
    differing = differences([each for each in settings if each is not None]) if len(named) > 1 else {}
    if json:
        print_json({"runs": facts, "differences": [{"setting": name, "values": differing[name]} for name in differing]})
    else:
        _show(facts)
        if len(named) > 1:
            _compare([each["run"] for each in facts if each["error"] is None], differing)
    if any(each["error"] for each in facts):
        raise typer.Exit(1)


def _facts(folder: Path) -> dict[str, Any]:
    """The facts as JSON has them, and the settings."""
    try:
        run, error = summarize(folder), None
    except StylekitError as problem:
        run, error = None, str(problem)
    return {
        "run": str(folder),
        "method": run and run.method,
        "step": run and run.step,
        "steps": run and run.steps,
        "ended": run and run.ended,
        "metrics": run.metrics if run else {},
        "best": run.best.model_dump() if run and run.best else None,
        "bytes": run and run.bytes,
        "changed": run.changed.isoformat(timespec="seconds") if run else None,
        "error": error,
        "settings": run and run.settings,
    }


def _show(facts: list[dict[str, Any]]) -> None:
    rows = [
        [
            each["run"],
            each["method"] or "",
            f"{each['step']} of {each['steps']}",
            each["ended"] or "unfinished",
            _metrics(each["metrics"]),
            f"{each['best']['metric']} {each['best']['value']:.4g} (step {each['best']['step']})"
            if each["best"]
            else "",
            f"{each['bytes'] / 1e6:.1f} MB",
            each["changed"].removesuffix("+00:00").replace("T", " "),
        ]
        for each in facts
        if each["error"] is None
    ]
    if rows:
        print_table(["run", "method", "steps", "ended", "last losses", "best", "size", "changed (UTC)"], rows)
    echo(*(each["error"] for each in facts if each["error"] is not None))


def _metrics(metrics: dict[str, float]) -> str:
    """Loss terms, by ``turn/term``, summed by turn."""
    sums: dict[str, float] = {}
    for name, value in metrics.items():
        turn = name.partition("/")[0]
        sums[turn] = sums.get(turn, 0.0) + value
    return "\n".join(f"{turn} {value:.3f}" for turn, value in sums.items())


def _value(value: Any) -> str:
    """A setting for the table; one that a run does not have, or that is null, is empty."""
    return "" if value is None else value if isinstance(value, str) else dumps(value)


def _compare(runs: list[str], differing: dict[str, list[Any]]) -> None:
    if not differing:
        echo("The runs have the same settings.")
        return
    echo("")
    print_table(
        ["setting", *runs],
        [[name, *(_value(value) for value in values)] for name, values in differing.items()],
    )
