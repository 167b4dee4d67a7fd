"""``stylekit export``: writes a model to a file that other runtimes execute. ``stylekit verify``: checks such a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from stylekit.cli.options import Assignments, Overwrite, PluginFiles, With, method_options
from stylekit.cli.output import Json, echo, print_json, print_table
from stylekit.cli.targets import check_overwrite
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.written import read_assignments

if TYPE_CHECKING:
    from stylekit.inference.exported.verify import Check

TOLERANCE = 2.0
"""The largest difference in levels of 8 bits with which a file passes: float16 and other processors round differently."""


def export(
    model: Annotated[str, typer.Argument(help="a run's folder, a model file, or a shipped model")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="file to write: .onnx, .xml for OpenVINO, or .pt2 for torch.export")
    ],
    weights: Annotated[
        str,
        typer.Option(
            metavar="32|16|int8",
            help="how weights are stored: 16 halves the file; int8 makes it a quarter, but loses quality and often speed",
        ),
    ] = "32",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="largest difference from torch that is accepted, in levels of 255 [default: 0.5; with float16 2; int8 any]",
        ),
    ] = None,
    with_: With = None,
    assignments: Assignments = None,
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a model to a file for other runtimes, for images of all sizes, and compare it with torch.

    For example: [bold]stylekit export runs/horses -o horses.onnx[/bold]

    A model for any style becomes two files: horses.describe.onnx describes a style. The options of --with become part of the
    file. Nothing is written if the file computes something else than torch does.
    """
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.inference.exported.card import file_names

    for each in file_names(out):
        check_overwrite(each, overwrite)
    from stylekit.inference.exported.export import export as write_exported
    from stylekit.inference.exported.writing import Weights
    from stylekit.inference.loading import load

    if weights not in get_args(Weights):
        raise StylekitError(f"--weights must be one of {', '.join(get_args(Weights))}, not {weights!r}.")
    loaded = load(model, "cpu", **method_options(assignments or []))
    options = read_assignments(with_ or [], "--with")
    checks = write_exported(loaded, out, options, weights, tolerance)  # type: ignore[arg-type]
    _report(out, checks, json)


def verify(
    file: Annotated[Path, typer.Argument(help="a file that stylekit export wrote")],
    engine: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or torch")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, or another device of the engine")] = "auto",
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="largest difference that is accepted, in levels of 255")
    ] = TOLERANCE,
    json: Json = False,
) -> None:
    """Check that an exported file computes here what it computed when it was exported. Needs no torch, except for .pt2.

    For example: [bold]stylekit verify horses.onnx[/bold]
    """
    from stylekit.inference.exported.file import ExportedFile
    from stylekit.inference.exported.verify import verify as compare

    checks = compare(ExportedFile(file, engine, device=device))
    _report(file, checks, json)
    worst = max(check.difference for check in checks)
    if not worst <= tolerance:  # also true for NaN
        raise StylekitError(
            f"{file} differs from what it should compute by up to {worst:.2g} levels of 255, but at most {tolerance:g} are "
            "accepted: the file or the runtime is damaged."
        )


def _report(path: Path, checks: Sequence[Check], json: bool) -> None:
    """Prints the differences and the seconds at each size."""
    from stylekit.inference.exported.card import file_names

    files = [each for each in file_names(path) if each.is_file()]
    if json:
        facts: dict[str, Any] = {
            "files": [{"path": str(each), "bytes": each.stat().st_size} for each in files],
            "checks": [vars(check) for check in checks],
        }
        print_json(facts)
        return
    rows = [
        [
            "x".join(map(str, reversed(check.size))),
            f"{check.difference:.3f}",
            f"{check.seconds:.3f}",
            "" if check.expected_seconds is None else f"{check.expected_seconds:.3f}",
        ]
        for check in checks
    ]
    print_table(["size", "difference, levels of 255", "seconds", "torch"], rows)
    echo(*(f"{each}: {each.stat().st_size / 1e6:.1f} MB" for each in files))
