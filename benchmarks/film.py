"""How quickly videos are stylised, and with how much memory.

    python benchmarks/film.py [--frames 15000] [--record]

Clips with drawn scenes, of 256 x 256, 640 x 360 and 1280 x 720 pixels, are stylised by ``stylekit video`` with the model that
ships: frames a second, with each kind of ``--steady``. The memory of a long clip is compared with that of a short one: it
should not grow.

``--record`` writes benchmarks/results/film.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from stylekit import images
from stylekit.registry.extras import import_extra
from stylekit_plugins.datasets.scenes import Clip, render

SIZES = ((256, 256), (360, 640), (720, 1280))
STEADY = ("off", "statistics", "flow")
FRAMES = 24
"""Frames of each clip whose time is measured."""
SHORT, LONG = 100, 15_000
"""Frames of the clips whose memory is compared: four seconds, and ten minutes, at 25 frames a second."""
SMALL = (96, 128)
"""Height and width of these clips."""


def write(path: Path, height: int, width: int, count: int) -> None:
    """Writes a clip: the camera moves to and fro in front of a scene."""
    av = import_extra("av", "video", "Writing a video")
    side = max(height, width)
    scene = Clip(3, size=side)
    drawn = [scene.frame(number)[:, :height, :width] for number in range(min(count, FRAMES))]
    frames = [np.ascontiguousarray((255 * each).round().byte().permute(1, 2, 0).numpy()) for each in drawn]
    there_and_back = [*frames, *frames[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 8_000_000
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(there_and_back[number % len(there_and_back)], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def stylise(clip: Path, style: Path, *options: object) -> tuple[float, int]:
    """The seconds that the command took, and the peak of its memory in bytes."""
    command = [
        "-m",
        "stylekit",
        "video",
        clip,
        "--style",
        style,
        "-o",
        clip.with_name("out.mp4"),
        "--overwrite",
        "--quiet",
    ]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, [*command, *options])])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"stylekit video failed for {clip.name}.")
    return time.perf_counter() - start, used.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=LONG, help="frames of the long clip; 0: leave it out")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/film.json")
    options = parser.parse_args()
    report: dict[str, Any] = {"frames": FRAMES, "threads": torch.get_num_threads(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        clip, one, style = (Path(folder) / name for name in ("clip.mp4", "one.mp4", "style.png"))
        images.write(style, render(100, "strokes", 256))
        report["rates"] = {}
        for height, width in SIZES:
            write(clip, height, width, FRAMES)
            write(one, height, width, 1)
            rates = {}
            for steady in STEADY:
                start, _ = stylise(one, style, "--steady", steady, "--engine", "torch")
                whole, _ = stylise(clip, style, "--steady", steady, "--engine", "torch")
                rates[steady] = (FRAMES - 1) / (whole - start)
            report["rates"][f"{width} x {height}"] = rates
            print(width, height, {name: round(rate, 2) for name, rate in rates.items()}, flush=True)
        if options.frames:
            report["memory"] = {"size": SMALL}
            for count in (SHORT, options.frames):
                write(clip, *SMALL, count)
                seconds, peak = stylise(clip, style, "--model", "color-pca")
                report["memory"][str(count)] = {"seconds": seconds, "peak": peak}
                print(count, report["memory"][str(count)], flush=True)
    if options.record:
        (RESULTS / "film.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
