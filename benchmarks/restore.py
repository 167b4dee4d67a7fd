"""Measures small restorers beside classical filters, on held-out pictures.

    python benchmarks/restore.py [--runs runs/restore] --holdout DIR [DIR ...] [--task x2 ...] [--sheets FOLDER] [--record]

The restorers that ship are measured, or those of ``--runs``, a folder of ``examples/restore/train.sh``. ``--sheets`` writes
crops of the results, side by side. ``--record`` writes benchmarks/results/restore.json, and keeps there what is not measured
now: other tasks, and filters whose packages are not installed.

Enlarging is measured as papers on super-resolution do it: pictures are reduced by the antialiased bicubic filter of MATLAB, and
compared in Y of ITU-R BT.601 without a border as wide as the scale. All else is compared in red, green and blue, in 8 bits:
noise of a standard deviation of 25 unless another is named, files that Pillow wrote as JPEG, pictures that were blurred by one
kernel each (of the kinds of the degradation ``blur``), and holes, of which the PSNR is that of the inside. Filters get the
setting that is best for these very pictures, and BM3D the true deviation. They need ``pip install 'stylekit-torch[video]'
scikit-image bm3d``; the licence of bm3d allows research only.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import classical
from benchmarks.figures import RESULTS
from benchmarks.shipped import restorer
from benchmarks.tables.records import read
from stylekit import images, make
from stylekit.datasets import find_images
from stylekit.errors import StylekitError
from stylekit.images import Degradations
from stylekit.seeding import seeded
from stylekit.training.sample_grid import grid

Filter = Callable[..., Tensor]
"""A way to restore an image ``(1, 3, H, W)`` in [0, 1], given as the argument, and perhaps its ``hole``."""
SIGMA = 25
SIDE = 96
"""Side of the crops on a sheet, in pixels of the clean picture."""
OWN = "`restore`"
BICUBIC, LANCZOS = Image.Resampling.BICUBIC, Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Task:
    """What is restored, and how it is compared.

    Attributes:
        name: name of the task
        model: last part of the model's name, and the name of its run
        damage: makes the input of a clean picture
        rivals: the classical filters, each with the settings of which the best one counts
        scale: by how much the model enlarges
        channels: what is compared: rgb or y
        ships: whether a model ships; otherwise only those of ``--runs`` are measured
        holes: whether the damage is a hole, which the filters are given and of which only the inside is compared
    """

    name: str
    model: str
    damage: Callable[[Tensor], Tensor]
    rivals: Mapping[str, Sequence[Filter]] = field(default_factory=dict)
    scale: int = 1
    channels: str = "rgb"
    ships: bool = True
    holes: bool = False

    @property
    def border(self) -> int:
        return self.scale if self.scale > 1 else 0


@dataclass(frozen=True)
class Damaged:
    """An image ``(1, 3, H, W)`` in [0, 1] to restore, and an image that is white where it has holes."""

    image: Tensor
    hole: Tensor | None = None

    def restored(self, restore: Filter) -> Tensor:
        """What a filter makes of it, in 8 bits."""
        output = restore(self.image) if self.hole is None else restore(self.image, hole=self.hole)
        return output.clamp(0, 1).mul(255).round().div(255)


def stored(quality: int, image: Tensor) -> Tensor:
    """What a JPEG file keeps of an image, with colours of half the resolution."""
    file = io.BytesIO()
    images.to_pil(image).save(file, "jpeg", quality=quality, subsampling="4:2:0")
    with Image.open(file) as picture:
        return images.to_tensor(picture)


def enlarging(scale: int) -> Task:
    filters = {"bicubic": BICUBIC, "Lanczos": LANCZOS}
    return Task(
        f"x{scale}",
        f"x{scale}",
        Degradations({"name": "downscale", "scale": scale}),
        {name: [partial(classical.enlarged, scale, filter_)] for name, filter_ in filters.items()},
        scale,
        "y",
    )


SMOOTHING: dict[str, Sequence[Filter]] = {
    "median filter": [partial(classical.median, side) for side in (3, 5)],
    "total variation": [partial(classical.total_variation, weight) for weight in (0.02, 0.05, 0.1, 0.2)],
    "non-local means (OpenCV)": [partial(classical.nonlocal_means, strength) for strength in (5, 10, 15, 20, 30)],
}
TASKS = (
    enlarging(2),
    enlarging(4),
    *(
        Task(
            "denoise" if sigma == SIGMA else f"denoise, deviation {sigma}",
            "denoise",
            Degradations({"name": "gaussian-noise", "sigma": sigma}),
            {"the noisy picture": [classical.untouched], **SMOOTHING, "BM3D": [partial(classical.bm3d, sigma)]},
        )
        for sigma in (SIGMA, 15, 50)
    ),
    *(
        Task(
            f"jpeg, quality {quality}",
            "jpeg",
            partial(stored, quality),
            {"the JPEG file": [classical.untouched], **SMOOTHING},
        )
        for quality in (10, 30)
    ),
    Task(
        "deblur",
        "deblur",
        Degradations("blur"),
        {
            "the blurred picture": [classical.untouched],
            "unsharp mask": [
                partial(classical.unsharp, radius, percent)
                for radius, percent in product((1, 2, 3, 5), (50, 100, 150, 200))
            ],
        },
        ships=False,
    ),
    Task(
        "inpaint",
        "inpaint",
        Degradations("mask"),
        {
            "Telea (OpenCV)": [partial(classical.telea, radius) for radius in (3, 5, 10)],
            "Navier-Stokes (OpenCV)": [partial(classical.navier_stokes, radius) for radius in (3, 5, 10)],
        },
        ships=False,
        holes=True,
    ),
)


def clean_pictures(folder: Path, scale: int, most: int) -> list[Tensor]:
    """The pictures of a folder ``(1, 3, H, W)``, cut to multiples of a scale."""
    pictures = [images.read_over_white(path) for path in find_images(folder)[:most]]
    return [each[..., : each.shape[2] // scale * scale, : each.shape[3] // scale * scale] for each in pictures]


def degraded(task: Task, clean: Sequence[Tensor]) -> list[Damaged]:
    """What the damage makes of each picture, the same in every run."""

    def damage(number: int, picture: Tensor) -> Tensor:
        with seeded("benchmark", number):
            return task.damage(picture)

    return [
        # The same holes in a black picture are white there, and nowhere else.
        Damaged(damage(number, each), damage(number, torch.zeros_like(each)) if task.holes else None)
        for number, each in enumerate(clean)
    ]


def measure(task: Task, restore: Filter, damaged: Sequence[Damaged], clean: Sequence[Tensor]) -> dict[str, Any]:
    """The PSNR and SSIM of a filter for each picture, its CPU time for all in seconds, and its outputs, in 8 bits."""
    metrics = {name: make("metric", name, channels=task.channels, border=task.border) for name in ("psnr", "ssim")}
    start = time.process_time()  # other programs on the machine do not count
    outputs = [each.restored(restore) for each in damaged]
    seconds = time.process_time() - start
    pairs = list(zip(outputs, clean, strict=True))
    scores = {name: [float(metric(*pair)) for pair in pairs] for name, metric in metrics.items()}
    if task.holes:
        scores["psnr"] = [inside(*pair, each.hole) for pair, each in zip(pairs, damaged, strict=True)]
    return {**scores, "seconds": seconds, "outputs": outputs}


def inside(output: Tensor, clean: Tensor, hole: Tensor | None) -> float:
    """The PSNR in dB within a hole."""
    assert hole is not None
    return float(-10 * (output - clean)[hole > 0.5].double().square().mean().log10())


def best(task: Task, filters: Sequence[Filter], damaged: Sequence[Damaged], clean: Sequence[Tensor]) -> dict[str, Any]:
    """The measurements of the setting with the highest mean PSNR."""
    return max((measure(task, each, damaged, clean) for each in filters), key=lambda row: statistics.mean(row["psnr"]))


def middle(image: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in image.shape[2:])
    return image[0, :, top : top + side, left : left + side]


def measured(
    task: Task, restore: Filter, clean: Sequence[Tensor], before: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[Tensor]]]:
    """The rows of a task for the pictures of a folder, and the columns of its sheet.

    Args:
        task: the task
        restore: the model
        clean: the pictures
        before: the rows that were recorded, of which those of filters that are not installed are kept
    """
    damaged, found = degraded(task, clean), {}
    for label, filters in {**task.rivals, OWN: [restore]}.items():
        try:
            found[label] = best(task, filters, damaged, clean)
        except StylekitError as error:
            print(f"{label} is {'not measured again' if label in before else 'left out'}: {error}", file=sys.stderr)
    outputs = {label: row.pop("outputs") for label, row in found.items()}
    if task.holes:
        outputs = {"erased": [each.image for each in damaged], **outputs}
    rows = {**before, **summary(found, len(clean))}
    return {label: rows[label] for label in (*task.rivals, OWN) if label in rows}, {**outputs, "clean": [*clean]}


def sheet(columns: Mapping[str, Sequence[Tensor]]) -> Tensor:
    """The middles of the first pictures."""
    count = min(8, len(columns["clean"]))
    lines = [[middle(column[number], SIDE) for column in columns.values()] for number in range(count)]
    return grid(lines, list(columns))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the runs, and their models")
    parser.add_argument("--holdout", type=Path, nargs="+", required=True, help="folders of pictures to measure on")
    parser.add_argument("--names", nargs="+", help="names of these folders in the table; by default their own")
    parser.add_argument("--task", action="append", choices=[task.name for task in TASKS], help="by default all")
    parser.add_argument("--most", type=int, default=100, help="largest number of pictures of a folder")
    parser.add_argument("--sheets", type=Path, help="folder for crops")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args(arguments)

    names = options.names or [folder.name for folder in options.holdout]
    known = read("restore") or {"models": {}, "rows": {}}
    rows: dict[str, dict[str, dict[str, dict[str, float]]]] = {**{name: {} for name in names}, **known["rows"]}
    models: dict[str, dict[str, Any]] = {}
    wanted = [each for each in TASKS if (options.runs or each.ships) and each.name in (options.task or [each.name])]
    for task in wanted:
        trained = known["models"].get(task.model, {})
        model, facts = restorer(task.model, options.runs, {} if options.runs else trained)
        if task.model not in models and facts["sha256"] != trained.get("sha256"):
            rows = {name: without(tasks, task.model) for name, tasks in rows.items()}
        models[task.model] = {**facts, "ships": task.ships}
        for name, folder in zip(names, options.holdout, strict=True):
            clean = clean_pictures(folder, task.scale, options.most)
            before = rows[name].get(task.name, {})
            before = {label: row for label, row in before.items() if row["pictures"] == len(clean)}
            found, columns = measured(task, model.stylize, clean, before)
            rows[name] = {**rows[name], task.name: found}
            if options.sheets:
                options.sheets.mkdir(parents=True, exist_ok=True)
                file = f"{name}-{task.name.replace(', ', '-').replace(' ', '-')}.png"
                images.write(options.sheets / file, sheet(columns))
            for label, row in found.items():
                print(f"{name}, {task.name}, {label}: " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if options.record:
        settings = {"sigma": SIGMA, "threads": torch.get_num_threads(), "torch": torch.__version__}
        record = {**settings, "models": {**known["models"], **models}, "rows": rows}
        (RESULTS / "restore.json").write_text(json.dumps(record, indent=1) + "\n")


def without(tasks: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The rows of a record but for those of another model of this name."""
    other = [task.name for task in TASKS if task.model == model]
    return {name: row for name, row in tasks.items() if name not in other}


def summary(found: Mapping[str, Mapping[str, Any]], count: int) -> dict[str, dict[str, float]]:
    """Means over the pictures, and on how many of them ``restore`` has a higher PSNR."""
    own = found[OWN]["psnr"]
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
