"""``stylekit video``: stylises a video file, an animation, a folder of frames, or a stream."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import stylekit
from stylekit.cli.digests import described, digest, digests_in, model_digest
from stylekit.cli.model_arguments import read_models
from stylekit.cli.options import (
    FILES,
    STYLE,
    Assignments,
    Device,
    Engine,
    KeepColor,
    ModelNames,
    Overwrite,
    PluginFiles,
    Quiet,
    Seed,
    Strength,
    StyleScale,
    With,
    method_options,
)
from stylekit.cli.output import Json, echo, print_json
from stylekit.cli.part_folders import check_part, claimed, discard
from stylekit.cli.style_arguments import read_style_mixes
from stylekit.cli.targets import keep_inputs
from stylekit.errors import StylekitError, counted, suggest, warn
from stylekit.inference.exported import SUFFIXES
from stylekit.registry import lookup
from stylekit.training.written import read_assignments

if TYPE_CHECKING:
    from stylekit.cli.filming import Filmed
    from stylekit.images.video.parts import Parts

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")
STEADY = ("statistics", "flow", "off")
MANY = 1000
"""The number of images for which the engine is chosen: a clip has many frames."""


def command(
    context: typer.Context,
    clip: Annotated[
        Path,
        typer.Argument(
            help="video file, GIF, WebP or PNG animation, folder of frames, - for raw frames, or with --live a camera's number"
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", rich_help_panel=FILES,
            help="video file (.mp4, .mov, .mkv, .webm, .avi), animation (.gif, .webp, .png), folder for PNG frames, or - for "
            "raw RGB frames on standard output",
        ),
    ],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="STYLE[:WEIGHT]", rich_help_panel=STYLE,
            help="an image, a .style file, or the name of a style of the model; several are blended",
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask", rich_help_panel=STYLE,
            help="image that is white where a style applies, or a folder of frames, an animation or a video of masks: one per "
            "style, in the same order",
        ),
    ] = None,
    strength: Strength = 1.0,
    keep_color: KeepColor = None,
    style_scale: StyleScale = 1.0,
    steady: Annotated[
        str | None,
        typer.Option(
            metavar="HOW", rich_help_panel=STYLE,
            help="against flicker: statistics, the default where the model can, are those of the shot for all its frames; flow "
            "also blends each frame with the one before it, moved along the optical flow; off",
        ),
    ] = None,
    max_size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PIXELS", rich_help_panel=FILES,
            help="maximum length of the longer side: larger frames are reduced before they are stylised",
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="TIME", help="where to begin: seconds, or H:MM:SS", rich_help_panel=FILES)
    ] = "0",
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="where to end", rich_help_panel=FILES)
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="use one of N frames; the length stays the same", rich_help_panel=FILES)
    ] = 1,
    fps: Annotated[
        float, typer.Option(min=0.01, max=1000, help="frames per second of a folder or of raw frames", rich_help_panel=FILES)
    ] = 25,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT", rich_help_panel=FILES,
            help="the size of raw RGB frames on standard input, whose path is -",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", rich_help_panel=FILES,
            help="use the newest frame only, of a camera (0 is the first) or of a clip at its own speed, until Ctrl-C",
        ),
    ] = False,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="write only a sheet of six stylised frames, as an image", rich_help_panel=FILES),
    ] = False,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, rich_help_panel=FILES,
            help="quality of a video [default: 66, a CRF of 18] or of WebP and AVIF [default: 95]",
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where a run that was killed ended", rich_help_panel=FILES)
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
    model: ModelNames = None,
    seed: Seed = 0,
    with_: With = None,
    assignments: Assignments = None,
    device: Device = "auto",
    engine: Engine = "auto",
    plugin: PluginFiles = None,
) -> None:  # fmt: skip
    """Stylise a video. It keeps its length, the time of each frame, its sound and its subtitles.

    For example: [bold]stylekit video clip.mp4 --style painting.jpg -o out.mp4[/bold]

    What is finished is kept in OUT.part. After a crash, the same command with --resume goes on from there.
    """
    from stylekit.cli.clip_files import check_output, kept_after_errors, make_parts
    from stylekit.cli.clip_streams import (
        check_streams,
        ended_by_ctrl_c,
        open_source,
        require_clip,
        reserve_stdout,
    )
    from stylekit.images.video.clip import Selection
    from stylekit.images.video.live import Newest
    from stylekit.images.video.raw import STREAM, RawOutput

    selection = Selection(read_time(from_, "--from"), read_time(to, "--to") if to is not None else None, every)
    if selection.end is not None and selection.end <= selection.start:
        raise StylekitError(f"--to {to} is not after --from {from_}.")
    if steady not in (None, *STEADY):
        raise StylekitError(f"There is no way {steady!r} to keep a clip steady. {suggest(steady or '', STEADY)}")
    models = read_models(model or [])
    [mix, *others], folders = read_style_mixes(style or [])
    if others or folders:
        raise StylekitError(
            "A clip has one style, or several that are blended, but --style is a folder. Give its files."
        )
    check_streams(clip, out, raw, live, preview, resume, json, steady)
    pipe = reserve_stdout(context) if out == STREAM else None
    keep_inputs([out] if out != STREAM else [], [clip, *mix.files, *(mask or [])])
    check_output(out, quality, overwrite, preview)
    if not preview:
        check_part(out, resume, overwrite, resumable=not (live or clip == STREAM))
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit.cli.clip_masks import open_masks
    from stylekit.cli.clip_preview import write_preview
    from stylekit.cli.engines import open_stylizer
    from stylekit.cli.filming import Look, film
    from stylekit.cli.stylizing import describe_styles
    from stylekit.inference import controls

    controls.check_controls(strength, keep_color)
    controls.check_scale(style_scale)
    require_clip(clip, live)
    given = {"--with": with_, "--set": assignments, "--steady statistics": True if steady == "statistics" else None}
    torch_only = [name for name, value in given.items() if value is not None]
    twice, exported = not (live or preview or clip == STREAM), any(Path(name).suffix in SUFFIXES for name, _ in models)
    if engine == "auto" and twice and steady != "off" and not exported:
        engine = "torch"  # exported models have no statistics that frames could share
    loaded, _ = open_stylizer(models, engine, device, MANY, strength, torch_only, method_options(assignments or []))
    source = open_source(clip, raw, live, Fraction(fps).limit_denominator(1001), loaded.arrays)
    options = loaded.resolve_options(read_assignments(with_ or [], "--with"))
    [styles] = describe_styles(loaded, [mix], style_scale, len(mask or []), quiet)
    if isinstance(styles, Exception):
        raise styles
    shared = twice and steady != "off" and not (loaded.arrays or loaded.keeps_state or loaded.optimizes)
    controlled = {"strength": strength, "keep_color": keep_color, "seed": seed, **options}
    masks = open_masks(mask or [], source, loaded.arrays)
    look = Look(loaded, styles, controlled, shared, steady == "flow", max_size, masks)
    if preview:
        count = write_preview(look, source, selection, out, quiet)
        report_preview(clip, out, count, quiet, json)
        return
    settings = {
        "stylekit": stylekit.__version__, "clip": digest(clip), "output": out.suffix.lower(), "quality": quality,
        "model": [loaded.name, type(loaded).__name__, engine, device],
        "models": [[model_digest(name), weight] for name, weight in models],
        "plugin": [*map(digest, plugin or [])], "style": described(mix), "mask": [*map(digest, mask or [])],
        "strength": strength, "keep_color": keep_color, "style_scale": style_scale, "steady": steady, "max_size": max_size,
        "from": from_, "to": to, "every": every, "fps": fps, "seed": seed, "with": with_files(with_, "--with"),
        "set": with_files(assignments, "--set"),
    }  # fmt: skip
    if loaded.keeps_state and resume:
        warn(f"The method {loaded.name!r} keeps a state from frame to frame, so the clip is stylised from its start.")
        resume = False
    with contextlib.ExitStack() as held:
        if isinstance(source, Newest):
            held.enter_context(ended_by_ctrl_c(source))
        if pipe is not None:
            parts: Parts = RawOutput(pipe)
        else:
            part = held.enter_context(claimed(out, settings, resume))
            held.enter_context(kept_after_errors(part, resumable=twice))
            parts = make_parts(part, source, selection, out, quality, look.steady)
        filmed = film(look, source, selection, parts, quiet)
        if not filmed.frames:
            raise StylekitError(f"{clip} has no frame from {from_} to {to or 'its end'}.")
        parts.finish(out, filmed.times)
        if pipe is None:
            discard(part)
    report(clip, out, filmed, source.dropped if isinstance(source, Newest) else 0, quiet, json)


def read_time(text: str, option: str) -> Fraction:
    """The seconds that ``90``, ``1:30`` or ``0:01:30.0`` stand for.

    Raises:
        StylekitError: it is none of these.
    """
    match = TIME.fullmatch(text)
    if not match:
        raise StylekitError(
            f"{option} is a time in seconds, such as 90 or 1.5, or H:MM:SS, such as 0:01:30, not {text!r}."
        )
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def with_files(assignments: list[str] | None, option: str) -> list[list[str]]:
    """What the user wrote for ``--with`` or ``--set``, with digests of the files that it names."""
    return [[item, *digests_in(read_assignments([item], option))] for item in assignments or []]


def report(clip: Path, out: Path, filmed: Filmed, dropped: int, quiet: bool, json: bool) -> None:
    """Prints what was written."""
    if json:
        height, width = filmed.size
        print_json(
            {
                "source": str(clip), "target": str(out), "frames": filmed.frames, "resumed": filmed.resumed, "width": width,
                "height": height, "duration": round(float(filmed.duration), 3), "seconds": round(filmed.seconds, 3),
            }
        )  # fmt: skip
    if not quiet:
        earlier = f", {filmed.resumed} of them by an earlier run" if filmed.resumed else ""
        without = f", and dropped {dropped}" if dropped else ""
        echo(f"Wrote {counted(filmed.frames, 'frame')} to {out}{earlier}{without}", stderr=True)


def report_preview(clip: Path, out: Path, frames: int, quiet: bool, json: bool) -> None:
    """Prints that a preview was written."""
    if json:
        print_json({"source": str(clip), "target": str(out), "frames": frames})
    if not quiet:
        echo(f"Wrote a preview of {counted(frames, 'frame')} to {out}", stderr=True)
