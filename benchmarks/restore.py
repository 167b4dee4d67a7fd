"""Measures small restorers beside classical filters: enlarging two and four times, and removing noise, on held-out pictures.

    python benchmarks/restore.py [--runs runs/restore] --holdout DIR [DIR ...] [--sheets FOLDER] [--record]

The restorers that ship are measured, or those of ``--runs``, a folder of ``examples/restore/train.sh``. ``--sheets`` writes
crops of the results, side by side. ``--record`` writes benchmarks/results/restore.json.

Enlarging is measured as papers on super-resolution do it: pictures are reduced by the antialiased bicubic filter of MATLAB, and
compared in Y of ITU-R BT.601 without a border as wide as the scale. Noise of standard deviation 25 is added to red, green and
blue, clipped, and stored in 8 bits; results are compared in red, green and blue. The median filter and non-local means
(``pip install 'stylekit-torch[video]'``, which has OpenCV) get the setting that is best for these very pictures, and BM3D
(``pip install bm3d``, whose licence allows research only) the true deviation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from benchmarks.shipped import restorer
from benchmarks.tables.records import read
from stylekit import images, make
from stylekit.datasets import find_images
from stylekit.errors import StylekitError
from stylekit.images import Degradations
from stylekit.registry.extras import import_extra
from stylekit.seeding import seeded
from stylekit.training.sample_grid import grid

Filter = Callable[[Tensor], Tensor]
"""A way to restore an image ``(1, 3, H, W)`` in [0, 1]."""
SIGMA = 25
SIDE = 96
"""Side of the crops on a sheet, in pixels of the clean picture."""


@dataclass(frozen=True)
class Task:
    """What is restored, and how it is compared.

    Attributes:
        preset: preset of the method ``restore``, and name of its run
        degradation: what is done to the clean pictures
        channels: rgb or y
    """

    preset: str
    degradation: Mapping[str, Any]
    channels: str

    @property
    def scale(self) -> int:
        return int(self.degradation.get("scale", 1))

    @property
    def border(self) -> int:
        return self.scale if self.scale > 1 else 0


TASKS = (
    Task("x2", {"name": "downscale", "scale": 2}, "y"),
    Task("x4", {"name": "downscale", "scale": 4}, "y"),
    Task("denoise", {"name": "gaussian-noise", "sigma": SIGMA}, "rgb"),
)


def enlarged(scale: int, filter_: Image.Resampling, image: Tensor) -> Tensor:
    """Enlarges by a filter of Pillow."""
    picture = images.to_pil(image)
    return images.to_tensor(picture.resize((picture.width * scale, picture.height * scale), filter_))


def median(side: int, image: Tensor) -> Tensor:
    """The median of squares, in each channel."""
    return images.to_tensor(images.to_pil(image).filter(ImageFilter.MedianFilter(side)))


def nonlocal_means(strength: float, image: Tensor) -> Tensor:
    """Non-local means of OpenCV (Buades et al. 2005), with its windows of 7 and 21 pixels.

    Raises:
        StylekitError: OpenCV is not installed.
    """
    cv2 = import_extra("cv2", "video", "Non-local means")
    pixels = np.ascontiguousarray(np.asarray(images.to_pil(image)))
    return images.to_tensor(Image.fromarray(cv2.fastNlMeansDenoisingColored(pixels, None, strength, strength, 7, 21)))


def bm3d(image: Tensor) -> Tensor:
    """BM3D of its authors (Dabov et al. 2007), for colours.

    Raises:
        StylekitError: it is not installed.
    """
    try:
        from bm3d import bm3d_rgb
    except ImportError as error:
        raise StylekitError("BM3D needs the package bm3d: pip install bm3d") from error
    restored = bm3d_rgb(image[0].permute(1, 2, 0).double().numpy(), SIGMA / 255)
    return torch.from_numpy(restored).permute(2, 0, 1)[None].float()


def rivals(task: Task) -> dict[str, list[Filter]]:
    """The classical filters for a task, each with the settings of which the best one counts."""
    if task.scale == 1:
        return {
            "the noisy picture": [lambda image: image],
            "median filter": [partial(median, side) for side in (3, 5)],
            "non-local means (OpenCV)": [partial(nonlocal_means, strength) for strength in (10, 15, 20, 25)],
            "BM3D": [bm3d],
        }
    names = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
    return {name: [partial(enlarged, task.scale, filter_)] for name, filter_ in names.items()}


def clean_pictures(folder: Path, scale: int, most: int) -> list[Tensor]:
    """The pictures of a folder ``(1, 3, H, W)``, cut to multiples of a scale."""
    pictures = [images.read_over_white(path) for path in find_images(folder)[:most]]
    return [each[..., : each.shape[2] // scale * scale, : each.shape[3] // scale * scale] for each in pictures]


def degraded(task: Task, clean: Sequence[Tensor]) -> list[Tensor]:
    """What the degradation makes of each picture, the same in every run."""
    degrade, made = Degradations(task.degradation), []
    for number, picture in enumerate(clean):
        with seeded("benchmark", number):
            made.append(degrade(picture))
    return made


def measure(task: Task, restore: Filter, damaged: Sequence[Tensor], clean: Sequence[Tensor]) -> dict[str, Any]:
    """The PSNR and SSIM of a filter for each picture, its CPU time for all in seconds, and its outputs, in 8 bits."""
    metrics = {name: make("metric", name, channels=task.channels, border=task.border) for name in ("psnr", "ssim")}
    start = time.process_time()  # other programs on the machine do not count
    outputs = [restore(image) for image in damaged]
    seconds = time.process_time() - start
    outputs = [output.clamp(0, 1).mul(255).round().div(255) for output in outputs]
    pairs = list(zip(outputs, clean, strict=True))
    scores = {name: [float(metric(*pair)) for pair in pairs] for name, metric in metrics.items()}
    return {**scores, "seconds": seconds, "outputs": outputs}


def best(task: Task, filters: Sequence[Filter], damaged: Sequence[Tensor], clean: Sequence[Tensor]) -> dict[str, Any]:
    """The measurements of the setting with the highest mean PSNR."""
    return max((measure(task, each, damaged, clean) for each in filters), key=lambda row: statistics.mean(row["psnr"]))


def middle(image: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in image.shape[2:])
    return image[0, :, top : top + side, left : left + side]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the runs x2, x4 and denoise, and their models")
    parser.add_argument("--holdout", type=Path, nargs="+", required=True, help="folders of pictures to measure on")
    parser.add_argument("--names", nargs="+", help="names of these folders in the table; by default their own")
    parser.add_argument("--most", type=int, default=100, help="largest number of pictures of a folder")
    parser.add_argument("--sheets", type=Path, help="folder for crops")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)

    names = options.names or [folder.name for folder in options.holdout]
    record = RESULTS / "restore.json"
    known = {} if options.runs else (read("restore") or {"models": {}})["models"]
    models: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for task in TASKS:
        model, models[task.preset] = restorer(task.preset, options.runs, known.get(task.preset, {}))
        for name, folder in zip(names, options.holdout, strict=True):
            clean = clean_pictures(folder, task.scale, options.most)
            damaged, found = degraded(task, clean), {}
            ways: dict[str, list[Filter]] = {**rivals(task), "`restore`": [model.stylize]}
            for label, filters in ways.items():
                try:
                    found[label] = best(task, filters, damaged, clean)
                except StylekitError as error:
                    print(f"{label} is left out: {error}", file=sys.stderr)
            outputs = {label: row.pop("outputs") for label, row in found.items()}
            if options.sheets:
                columns = {**outputs, "clean": clean}
                lines = [
                    [middle(column[number], SIDE) for column in columns.values()]
                    for number in range(min(8, len(clean)))
                ]
                options.sheets.mkdir(parents=True, exist_ok=True)
                images.write(options.sheets / f"{name}-{task.preset}.png", grid(lines, list(columns)))
            rows.setdefault(name, {})[task.preset] = summary(found, len(clean))
            for label, row in rows[name][task.preset].items():
                print(
                    f"{name}, {task.preset}, {label}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items())
                )
    if options.record:
        facts = {"sigma": SIGMA, "threads": torch.get_num_threads(), "torch": torch.__version__}
        text = json.dumps({**facts, "models": models, "rows": rows}, indent=1)
        record.write_text(text + "\n")


def summary(found: Mapping[str, Mapping[str, Any]], count: int) -> dict[str, dict[str, float]]:
    """Means over the pictures, and on how many of them ``restore`` has a higher PSNR."""
    own = found["`restore`"]["psnr"]
    return {
        label: {
            "psnr": statistics.mean(row["psnr"]),
            "ssim": statistics.mean(row["ssim"]),
            "seconds": row["seconds"] / count,
            "beaten": sum(mine > theirs for mine, theirs in zip(own, row["psnr"], strict=True)),
            "pictures": count,
        }
        for label, row in found.items()
    }


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
