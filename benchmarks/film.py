"""How quickly videos are stylised, and with how much memory.

    python benchmarks/film.py [--repeats 3] [--frames 15000] [--record]

Clips with drawn scenes, of 256 x 256, 640 x 360 and 1280 x 720 pixels, are stylised by ``stylekit video`` with the model that
ships: frames a second, with each kind of ``--steady``. The memory of a long clip is compared with that of a short one: it
should not grow.

``--record`` writes benchmarks/results/film.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from benchmarks.process import Usage, run
from stylekit import images
from stylekit.registry.extras import import_extra
from stylekit_plugins.datasets.scenes import Clip, render

SIZES = ((256, 256), (360, 640), (720, 1280))
STEADY = ("off", "statistics", "flow")
FRAMES = 32
"""Frames of one clip. Another has twice as many, and the difference counts: neither the start nor the samples of a shot do."""
DISTINCT, LARGEST = 24, 1024
"""Frames that are drawn for a clip, and the largest side in pixels at which they are."""
SHORT, LONG = 100, 15_000
"""Frames of the clips whose memory is compared: four seconds, and ten minutes, at 25 frames a second."""
SMALL = (96, 128)
"""Height and width of these clips."""


def write(path: Path, height: int, width: int, count: int) -> None:
    """Writes a clip: the camera moves to and fro in front of a scene."""
    av = import_extra("av", "video", "Writing a video")
    side = max(height, width)
    scene = Clip(3, size=min(side, LARGEST))
    drawn = [images.resize(scene.frame(number)[None], (side, side))[0] for number in range(DISTINCT)]
    pixels = [(255 * each[:, :height, :width].clamp(0, 1)).round().byte() for each in drawn]
    frames = [np.ascontiguousarray(each.permute(1, 2, 0).numpy()) for each in pixels]
    there_and_back = [*frames, *frames[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 8_000_000
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(there_and_back[number % len(there_and_back)], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def stylise(clip: Path, style: Path, *options: object) -> Usage:
    """What the command takes for a clip."""
    command = [sys.executable, "-m", "stylekit", "video", clip, "--style", style, "-o", clip.with_name("out.mp4")]
    return run([*command, "--overwrite", "--quiet", *options])


def rate(clips: tuple[Path, Path], style: Path, steady: str, repeats: int) -> float:
    """The frames a second by which two clips differ: the median of some runs."""
    options = ("--steady", steady, "--engine", "torch")
    rates = []
    for _ in range(repeats):
        seconds = [stylise(clip, style, *options).seconds for clip in clips]
        rates.append(FRAMES / (seconds[1] - seconds[0]))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--frames", type=int, default=LONG, help="frames of the long clip; 0: leave it out")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/film.json")
    options = parser.parse_args()
    report: dict[str, Any] = {"frames": FRAMES, "threads": torch.get_num_threads(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        clip, twice, style = (Path(folder) / name for name in ("clip.mp4", "twice.mp4", "style.png"))
        images.write(style, render(100, "strokes", 256))
        report["rates"] = {}
        for height, width in SIZES:
            write(clip, height, width, FRAMES)
            write(twice, height, width, 2 * FRAMES)
            rates = {steady: rate((clip, twice), style, steady, options.repeats) for steady in STEADY}
            report["rates"][f"{width} x {height}"] = rates
            print(width, height, {name: round(rate, 2) for name, rate in rates.items()}, flush=True)
        if options.frames:
            report["memory"] = {"size": SMALL}
            for count in (SHORT, options.frames):
                write(clip, *SMALL, count)
                report["memory"][str(count)] = dataclasses.asdict(stylise(clip, style, "--model", "color-pca"))
                print(count, report["memory"][str(count)], flush=True)
    if options.record:
        (RESULTS / "film.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
