"""``stylekit explain``: shows what happens inside a model while it stylises an image."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylekit._files import explain_os_errors, write_atomic
from stylekit.cli.options import FILES, METHOD, STYLE, Device, Overwrite, PluginFiles, Quiet
from stylekit.cli.output import echo
from stylekit.cli.targets import check_overwrite, keep_inputs
from stylekit.errors import StylekitError, warn
from stylekit.registry import lookup

if TYPE_CHECKING:
    from torch import Tensor

    from stylekit.evaluation.explain import Region
    from stylekit.inference.model import Model

PAGE = "explain.html"


def command(
    model: Annotated[str, typer.Argument(help="a model, or a run's folder, whose discriminators are shown, too")],
    picture: Annotated[Path, typer.Argument(help="the image")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder for the images and a page", rich_help_panel=FILES)],
    style: Annotated[
        str | None,
        typer.Option(help="an image, a .style file or the name of a style of the model", rich_help_panel=STYLE),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="LEFT,TOP,WIDTH,HEIGHT",
            help="part of the output whose causes are shown, in pixels (default: the sixteenth in the centre)",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="module of the method whose features are shown (default: six convolutions)", rich_help_panel=METHOD
        ),
    ] = None,
    max_size: Annotated[
        int, typer.Option(min=32, metavar="PIXELS", help="longer side to which a larger image is reduced")
    ] = 512,
    device: Device = "auto",
    plugin: PluginFiles = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Show the inside of a model: features, attention, what the output depends on, and where content and style are lost.

    For example: [bold]stylekit explain stylekit-any photo.jpg --style painting.jpg -o inside[/bold]
    """
    keep_inputs([out / PAGE], [picture])
    check_overwrite(out / PAGE, overwrite)
    for file in plugin or []:
        lookup.add_file(file)
    from stylekit import images
    from stylekit.evaluation.pictures import read_reduced
    from stylekit.inference.loading import load

    loaded, image = load(model, device), read_reduced(picture, max_size)
    loaded.require_pictures()
    chosen = _region(region, image.shape[-1], image.shape[-2])
    with explain_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, caption, figure in _figures(loaded, model, image, style, chosen, layer or []):
        images.write(out / f"{name}.png", figure)
        shown.append((f"{name}.png", caption))
    write_atomic(out / PAGE, _page(f"{loaded.name}: {picture.name}", shown))
    if not quiet:
        echo(f"Wrote {out / PAGE} and {len(shown)} images", stderr=True)


def _region(text: str | None, width: int, height: int) -> Region:
    """The region that the user gave, or the centre.

    Raises:
        StylekitError: it is not four numbers, or not within the image.
    """
    if text is None:
        return 3 * width // 8, 3 * height // 8, max(1, width // 4), max(1, height // 4)
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise StylekitError(f"--region needs LEFT,TOP,WIDTH,HEIGHT in pixels, not {text!r}.")
    left, top, wide, high = map(int, parts)
    if min(wide, high) < 1 or left + wide > width or top + high > height:
        raise StylekitError(f"--region {text} is not within the image of {width}x{height} pixels.")
    return left, top, wide, high


def _figures(
    model: Model, source: str, image: Tensor, style: str | None, region: Region, layers: list[str]
) -> Iterator[tuple[str, str, Tensor]]:
    """The images ``(3, H, W)`` to write, each with its name and what it shows."""
    from stylekit.encoders import shared_features
    from stylekit.evaluation import explain
    from stylekit.evaluation.drawing import channels, framed, heat
    from stylekit.evaluation.pictures import read_reduced

    described = None if style is None else model.style(style)
    output = model.stylize(image, described)
    yield "content", "The content.", image[0]
    yield "output", "The output; the region is framed.", framed(output[0], region)
    try:
        depends = explain.sensitivity_map(model, image, described, region)
        yield (
            "sensitivity",
            "What the region depends on: the root of the absolute gradient of its sum.",
            heat(depends.sqrt(), image),
        )
    except StylekitError as error:
        warn(f"Left out: {error}")
    for number, weights in enumerate(explain.attention_maps(model, image, described, region), 1):
        yield f"attention-{number}", f"Where attention {number} looks for the region.", heat(weights, image)
    with shared_features():
        if output.shape == image.shape:
            lost = explain.content_map(output, image)
            yield "content-distance", f"Where content is lost (mean {float(lost.mean()):.3g}).", heat(lost, output)
        if style is not None and Path(style).is_file() and model.method.takes_styles():
            far = explain.style_map(output, read_reduced(Path(style), max(image.shape)))
            yield "style-distance", f"Where the style is far (mean {float(far.mean()):.3g}).", heat(far, output)
    for name, scores in _scores(source, output).items():
        caption = f"What {name} takes for real, from {float(scores.min()):.3g} to {float(scores.max()):.3g}."
        yield f"scores-{name}", caption, heat(scores, output)
    for name, features in explain.feature_maps(model, image, described, layers).items():
        size = " x ".join(map(str, features.shape))
        yield f"features-{name}", f"Features of {name}, {size}: the channels that vary most.", channels(features)


def _scores(source: str, output: Tensor) -> dict[str, Tensor]:
    """The score maps of a run's discriminators; its model file holds none, but its last checkpoint does."""
    from stylekit.evaluation.explain import score_maps
    from stylekit.training.runs import Run
    from stylekit.training.setup import build_method
    from stylekit.weights.tensors import read_tensors

    run = Run(Path(source))
    latest = run.latest() if run.exists() else None
    if latest is None:
        return {}
    _, method, _ = build_method(run.settings())
    tensors, _ = read_tensors(latest / "method.safetensors")
    method.load_state_dict({key: value for key, value in tensors.items() if key in method.state_dict()}, strict=False)
    return score_maps(method.eval(), output)


def _page(title: str, shown: list[tuple[str, str]]) -> str:
    figures = "\n".join(
        f'<figure><img src="{html.escape(file)}" alt=""><figcaption>{html.escape(caption)}</figcaption></figure>'
        for file, caption in shown
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1.2rem }}
figure {{ margin: 0 }} img {{ max-width: 100% }}</style></head>
<body><h1>{html.escape(title)}</h1><main>
{figures}
</main></body></html>
"""
