"""Command-line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stylekit.errors import StylekitError
from stylekit.training.written import read_assignments

DEFAULT_MODEL = "stylekit-any"
"""The model that is used by default."""
LOAD_OPTIONS = {"device": "--device", "method": "--model", "run_or_file": "--model"}
"""Arguments of ``load`` that are not options of the method, with the command-line options for them."""

STYLE, FILES, METHOD, LARGE, CLUSTER = "Style", "Files", "Model and method", "Large images", "Cluster"
"""Panels of the help."""

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        help="a shipped model, a run's folder, a model file, or a method that needs no training",
        rich_help_panel=METHOD,
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="MODEL[:WEIGHT]", rich_help_panel=METHOD,
        help="a shipped model, a run's folder, a model file, or a method that needs no training; several are applied one "
        f"after the other, or blended if they have weights [default: {DEFAULT_MODEL}]",
    ),
]  # fmt: skip
Strength = Annotated[
    float,
    typer.Option(
        help="from 0, the unchanged image, to 1; below 0.2, the image itself is blended in", rich_help_panel=STYLE
    ),
]
KeepColor = Annotated[
    str | None,
    typer.Option(metavar="HOW", help="keep the image's colours: luminance or histogram", rich_help_panel=STYLE),
]
StyleScale = Annotated[
    float,
    typer.Option(help="factor on the sides of the style image: above 1, larger strokes", rich_help_panel=STYLE),
]
Seed = Annotated[int, typer.Option(help="random seed, for methods that draw random numbers", rich_help_panel=METHOD)]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="KEY=VALUE",
        help="an option of the method for each image; `stylekit show` lists them",
        rich_help_panel=METHOD,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="an option of the method's constructor", rich_help_panel=METHOD),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps", rich_help_panel=METHOD)]
Engine = Annotated[
    str,
    typer.Option(
        help="auto, torch, onnxruntime or openvino: what computes; auto takes the quickest for the model",
        rich_help_panel=METHOD,
    ),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help=".py file with the method, if no installed plugin offers it", rich_help_panel=METHOD),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile", metavar="PIXELS", rich_help_panel=LARGE,
        help="maximum sides of the tiles of large images [default: what the memory allows]",
    ),
]  # fmt: skip
TileStatistics = Annotated[
    str,
    typer.Option(
        "--statistics", metavar="HOW", rich_help_panel=LARGE,
        help="what the tiles share of what networks compute of the whole image: auto, exact, sampled, thumbnail or local",
    ),
]  # fmt: skip
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory", metavar="SIZE", rich_help_panel=LARGE,
        help="memory that the process may use, such as 2GB: larger images are stylised in tiles [default: what is free]",
    ),
]  # fmt: skip
Resume = Annotated[
    bool,
    typer.Option("--resume", help="go on with large images that were interrupted", rich_help_panel=LARGE),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist", rich_help_panel=FILES)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="print failures only, and no progress", rich_help_panel=FILES)
]


def method_options(assignments: list[str], **short: Any) -> dict[str, Any]:
    """The options of the method that ``--set`` and its short forms give.

    Raises:
        StylekitError: an option is given in both forms, or it is not an option of the method.
    """
    options = read_assignments(assignments)
    for key in options:
        if key in LOAD_OPTIONS:
            raise StylekitError(f"--set sets options of the method, and {key!r} is not one: use {LOAD_OPTIONS[key]}.")
        if short.get(key) is not None:
            raise StylekitError(f"--{key} is short for --set {key}=..., and both are given. Leave out one of them.")
    return {**options, **{key: value for key, value in short.items() if value is not None}}
