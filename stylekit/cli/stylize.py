"""``stylekit stylize``: stylises images and folders of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylekit.cli.masks import Masks
from stylekit.cli.model_arguments import models_name, read_models
from stylekit.cli.naming import Template
from stylekit.cli.options import (
    CLUSTER,
    FILES,
    METHOD,
    STYLE,
    Assignments,
    Device,
    Engine,
    KeepColor,
    MaxMemory,
    ModelNames,
    Overwrite,
    PluginFiles,
    Quiet,
    Resume,
    Seed,
    Strength,
    StyleScale,
    Tile,
    TileStatistics,
    With,
    method_options,
)
from stylekit.cli.previews import create_preview_folder, plan_previews
from stylekit.cli.recipe import Recipe
from stylekit.cli.results import Results, check_formats
from stylekit.cli.streams import Streams
from stylekit.cli.style_arguments import check_folder_names, read_style_mixes
from stylekit.cli.targets import find_sources, format_suffix, is_file_name, keep_inputs, plan_jobs, split_existing
from stylekit.cli.wildcards import expand
from stylekit.errors import StylekitError
from stylekit.registry import lookup
from stylekit.training.written import read_assignments


def command(
    pictures: Annotated[list[str], typer.Argument(help="images, or folders of images; - is standard input")],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="folder to write to, or a file for a single image; - is standard output",
            rich_help_panel=FILES,
        ),
    ],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE[:WEIGHT]", rich_help_panel=STYLE,
            help="an image, a .style file, the name of a style of the model, or a folder of styles",
        ),
    ] = None,
    each_style: Annotated[
        bool,
        typer.Option(
            "--each-style", rich_help_panel=STYLE,
            help="apply each style to each image, as with a folder of styles, instead of blending them",
        ),
    ] = False,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask", rich_help_panel=STYLE,
            help="image that is white where a style applies, or a folder with a mask for each image: one per style, in the "
            "same order",
        ),
    ] = None,
    strength: Strength = 1.0,
    keep_color: KeepColor = None,
    style_scale: StyleScale = 1.0,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE", rich_help_panel=FILES,
            help="how outputs are named: {name}, {style}, {model} and {number} are replaced; by default '{name}', and "
            "'{name}-{style}' when each style is applied",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="format to write, such as png; by default that of each image", rich_help_panel=FILES),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="quality of JPEG, WebP and AVIF [default: 95]", rich_help_panel=FILES,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            metavar="8|16", rich_help_panel=FILES,
            help="bits per channel; by default those of each image, if its format holds them",
        ),
    ] = None,
    max_size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PIXELS", rich_help_panel=FILES,
            help="maximum length of the longer side: larger images are reduced before they are stylised",
        ),
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="leave outputs that exist, to finish an earlier run", rich_help_panel=FILES)
    ] = False,
    overwrite: Overwrite = False,
    tile: Tile = None,
    statistics: TileStatistics = "auto",
    max_memory: MaxMemory = None,
    resume: Resume = False,
    preview: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="folder for intermediate images, for methods that optimise", rich_help_panel=FILES
        ),
    ] = None,
    quiet: Quiet = False,
    json: Annotated[
        bool, typer.Option("--json", help="print a report as JSON on standard output", rich_help_panel=FILES)
    ] = False,
    model: ModelNames = None,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip", rich_help_panel=METHOD,
            help="treat the images of each folder as the frames of one clip, in order of their names",
        ),
    ] = False,
    seed: Seed = 0,
    with_: With = None,
    assignments: Assignments = None,
    steps: Annotated[
        int | None,
        typer.Option(help="short for --set steps=N, for methods that optimise", rich_help_panel=METHOD),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="short for --set init=content or init=noise, for methods that optimise", rich_help_panel=METHOD
        ),
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    plugin: PluginFiles = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ray|ray://HOST:PORT", rich_help_panel=CLUSTER,
            help="stylise with Ray, on this machine's cores or on a cluster; images and --out may be URLs such as s3://",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=CLUSTER,
            help="number of workers of the cluster [default: one for each GPU, or else for each core]",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Stylise images. Each keeps its size, its transparency and its path within the folder.

    For example: [bold]stylekit stylize photo.jpg --style painting.jpg -o out.png[/bold]

    Several styles are blended by their weights. Each style of a folder is applied to each image.
    With masks, each style is applied where its own mask is white, and one extra style fills the rest,
    which otherwise does not change.

    Exit code: 0 if all images were written or skipped, 1 if some or all failed, 2 if nothing was tried,
    because an option or a path is wrong.
    """
    suffix = format_suffix(format_)
    mixes, style_folders = read_style_mixes(style or [], each_style)
    masks, crossed, models = Masks(mask or []), each_style or bool(style_folders), read_models(model or [])
    template = Template(name if name is not None else ("{name}-{style}" if crossed else "{name}"))
    torch_only = {
        "--with": with_, "--set": assignments, "--steps": steps, "--init": init, "--preview": preview,
        "--tile": tile, "--statistics": None if statistics == "auto" else statistics, "--max-memory": max_memory,
    }  # fmt: skip
    recipe = Recipe(
        models, method_options(assignments or [], steps=steps, init=init), read_assignments(with_ or [], "--with"),
        [option for option, value in torch_only.items() if value is not None], engine, device, plugin or [], mixes,
        mask or [], strength, keep_color, style_scale, seed, max_size, tile, statistics, max_memory, depth, quality,
    )  # fmt: skip
    if cluster is not None:
        alone = {"--clip": clip, "--preview": preview, "--resume": resume, "--skip-existing": skip_existing}
        for option in (option for option, value in alone.items() if value):
            raise StylekitError(f"--cluster does not go together with {option}. Leave one of them out.")
        from stylekit.cli.batch.command import stylize_batch

        stylize_batch(
            cluster, workers, pictures, out, recipe, template, suffix,
            [Path(out), *style_folders, *masks.folders],
            overwrite, quiet, json,
        )  # fmt: skip
        return
    if workers is not None:
        raise StylekitError("--workers is for --cluster. Add --cluster ray, or leave --workers out.")
    for file in plugin or []:  # which may read further formats
        lookup.add_file(file)
    with Streams() as streams:
        folder = streams.open_out(out, suffix or ".png", json)
        left_out = [folder, *style_folders, *masks.folders, *([preview] if preview else [])]
        sources = find_sources(map(Path, streams.receive(expand(pictures))), left_out)
        names = [mix.name for mix in mixes]
        if name is not None and is_file_name(folder):
            raise StylekitError(f"--name names the outputs in a folder, but --out {out} is a file. Leave --name out.")
        jobs = plan_jobs(sources, folder, names, template, models_name(models), suffix)
        inputs = [*sources, *(mask or []), *(path for mix in mixes for path in mix.files)]
        keep_inputs((job.target for job in jobs), inputs)
        jobs, skipped = split_existing(jobs, skip_existing, overwrite)
        previews = plan_previews(jobs, folder, preview, inputs, overwrite) if preview else {}
        results = Results(jobs, skipped, names, streams, folder, quality, depth, quiet, json)
        if not jobs:
            results.report()
            return
        from stylekit.cli.rasters import require_pictures, stylize_rasters
        from stylekit.cli.stylizing import stylize_clips, stylize_images

        check_formats(jobs, quality, depth)
        request, options, concurrency = recipe.open(masks, len(jobs), [job.source for job in jobs], resume, quiet)
        check_folder_names(style_folders, style or [], request.model.learned_styles())
        if request.model.intensities:
            pictures_only = {
                "--depth": depth, "--quality": quality, "--max-size": max_size, "--keep-color": keep_color, "--clip": clip,
                "--preview": preview, "--resume": resume,
            }  # fmt: skip
            stylize_rasters(request, jobs, results, pictures_only)
            streams.send()
            return
        require_pictures(jobs, " and ".join(name for name, _ in models))
        if preview:
            create_preview_folder(preview, request.model, clip)
        if clip and masks.folders:
            raise StylekitError("--clip has one mask for all frames. Give an image as --mask, not a folder.")
        if clip:
            stylize_clips(request, jobs, options, results)
        else:
            stylize_images(request, jobs, previews, options, results, concurrency(options))
        streams.send()
