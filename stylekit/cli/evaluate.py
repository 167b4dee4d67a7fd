"""``stylekit evaluate``: measures a model's or another program's images, and writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.options import FILES, Device, Overwrite, PluginFiles, Quiet, With
from stylekit.cli.output import Json, echo, print_json
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.written import read_assignments

INPUTS = "Inputs"


def command(
    subjects: Annotated[
        list[str],
        typer.Argument(
            help="models, runs' folders, and folders of other programs' outputs, named CONTENT-STYLE or like the contents"
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="folder for report.json and report.html", rich_help_panel=FILES)
    ],
    content: Annotated[Path | None, typer.Option(help="folder of images to stylise", rich_help_panel=INPUTS)] = None,
    style: Annotated[
        Path | None,
        typer.Option(help="folder of images of the style, each applied to each content", rich_help_panel=INPUTS),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="folder of true outputs, named like the contents", rich_help_panel=INPUTS)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="data set whose held-out images are used, as for `stylekit train` (default: that of the run)",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=0, help="longer side to which larger images are reduced; 0: their own size", rich_help_panel=INPUTS
        ),
    ] = 512,
    count: Annotated[
        int, typer.Option(min=0, help="images to use of each folder, spread evenly; 0: all", rich_help_panel=INPUTS)
    ] = 0,
    one_to_one: Annotated[
        bool, typer.Option("--one-to-one", help="apply only one style to each content", rich_help_panel=INPUTS)
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="a metric, or its options: '{name: ssim, channels: y}' (default: all built-in ones that apply)",
        ),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="measure the operations, seconds and memory of an image, too")
    ] = False,
    precision: Annotated[
        str,
        typer.Option(
            metavar="32|bf16", help="precision of features: bf16 takes half the time, on a processor that has it"
        ),
    ] = "32",
    with_: With = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure how much content images keep, and how close they are to the style or to the true images.

    For example: [bold]stylekit evaluate stylekit-any --content photos --style paintings -o report[/bold]

    Several models, or folders of other programs' outputs, are compared on the same inputs. Without other inputs, a run is
    evaluated on the held-out images of its own data. report.html shows the scores with their intervals beside those of
    trivial answers, and the images.
    """
    if precision not in ("32", "bf16"):
        raise StylekitError(f"--precision is 32 or bf16, not {precision!r}.")
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.cli import evaluating

    options = read_assignments(with_ or [], "--with")
    request = evaluating.Request(
        subjects,
        content,
        style,
        truth,
        data,
        size,
        count,
        one_to_one,
        metric or [],
        options,
        device,
        cost,
        precision == "bf16",
    )
    result = evaluating.run(request, out, overwrite, quiet)
    if json:
        print_json({"report": str(out / "report.html"), "scores": result.scores, "skipped": result.skipped})
        return
    evaluating.show(result)
    if not quiet:
        echo(f"Wrote {out / 'report.html'} and {out / 'report.json'}", stderr=True)
