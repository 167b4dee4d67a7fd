"""Measures the knob of content-gan: as it goes from style to content, the distance from the content should fall and that from
the style rise.

    python benchmarks/knob.py --model runs/ukiyo-e --content DIR --style DIR --count 20 --json benchmarks/results/knob.json

For 11 values of the option ``content``, with the VGG-19 that was trained on ImageNet, means over the contents:

content     the metric content-distance
style       the squared error of the Gram matrices at relu1_1 to relu5_1, relative to their mean over the images of the style
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
import stylekit
from benchmarks.judge import training
from benchmarks.marks import TRAINED
from stylekit import images, make
from stylekit.encoders import encode, frozen_encoder, shared_features
from stylekit.errors import StylekitError
from stylekit.evaluation import FolderPictures
from stylekit.evaluation.pictures import quantised
from stylekit.losses import StyleLoss
from stylekit.training.sample_grid import grid

VALUES = [number / 10 for number in range(11)]
SHOWN = (1.0, 0.5, 0.0)
ROWS = 4
"""Contents on the sheet."""


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's correlation of the ranks of two sequences without ties."""
    ranks = torch.tensor([one, other], dtype=torch.float64).argsort(1).argsort(1).double()
    return float(torch.corrcoef(ranks)[0, 1])


class Style:
    """How far an output is from the mean Gram matrices of a set."""

    def __init__(self, pictures: FolderPictures) -> None:
        self.encoder, self.loss = frozen_encoder(TRAINED), StyleLoss()
        targets = [self.loss.target(encode(self.encoder, image, half=False)) for image in pictures.values()]
        self.target = {key: torch.cat([each[key] for each in targets]).mean(0, keepdim=True) for key in targets[0]}

    def __call__(self, output: Tensor) -> float:
        return float(self.loss(encode(self.encoder, output, half=False), self.target))


def measure(model: str, contents: FolderPictures, styles: FolderPictures) -> tuple[dict[str, Any], list[list[Tensor]]]:
    """The distances at each value, their rank correlations with it, and the rows of a sheet."""
    loaded = stylekit.load(model, "cpu")
    content = make("metric", "content-distance", encoder=TRAINED)
    rows: list[list[Tensor]] = []
    distances: dict[str, list[list[float]]] = {"content": [], "style": []}
    with torch.no_grad(), shared_features():
        style = Style(styles)
        for name, image in contents.items():
            outputs = {value: quantised(loaded.stylize(image, content=value)) for value in VALUES}
            distances["content"].append([float(content(outputs[value], image)) for value in VALUES])
            distances["style"].append([style(outputs[value]) for value in VALUES])
            if len(rows) < ROWS:
                rows.append([image[0], *(outputs[value][0] for value in SHOWN)])
            print(f"{name}: {distances['content'][-1][0]:.3f} to {distances['content'][-1][-1]:.3f}", file=sys.stderr)
    means = {key: torch.tensor(each, dtype=torch.float64).mean(0).tolist() for key, each in distances.items()}
    correlations = {key: rank_correlation(VALUES, each) for key, each in means.items()}
    return {"values": VALUES, **means, "rank_correlation": correlations, "contents": len(contents)}, rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME", help="the folder of a run")
    parser.add_argument("--content", type=Path, required=True, help="folder of contents")
    parser.add_argument("--style", type=Path, action="append", required=True, help="folder of the style, one per model")
    parser.add_argument("--size", type=int, default=256, help="longer side of the images in pixels")
    parser.add_argument("--count", type=int, default=20, help="number of contents")
    parser.add_argument("-o", "--out", type=Path, help="file for a sheet of the first contents with the first model")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args(arguments)
    contents, results, sheets = FolderPictures(options.content, options.size, options.count), {}, []
    for model, style in zip(options.model, options.style, strict=True):
        found, rows = measure(model, contents, FolderPictures(style, options.size))
        results[Path(model).name] = {**found, "training": training(model)}
        sheets.append(rows)
        print(f"{model}: rank correlation {found['rank_correlation']}")
    if options.out:
        images.write(options.out, grid(sheets[0], ["content", *(f"content={value:g}" for value in SHOWN)]))
    if options.json:
        options.json.write_text(json.dumps({"size": options.size, "models": results}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except StylekitError as error:
        sys.exit(str(error))
