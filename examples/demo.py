"""Trains a CycleGAN on generated scenes, and scores it on held-out scenes against the ground truth: ``make demo``.

At the end, the model that ships paints scenes in the styles of textures.

The training images of the two domains show different scenes. The test scenes are rendered in both domains, so that the
translation, although learned without pairs, can be compared with the ground truth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

import stylekit
from stylekit import images
from stylekit.training.sample_grid import grid
from stylekit_plugins.datasets.scenes import Scenes

SIZE, HELD_OUT, SHOWN = 64, 50, 8
LARGE = 256
"""Side of the images for the model that ships."""
STYLES = ("strokes", "cells", "leaves", "stripes")


def scores(image: Tensor, truth: Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM, each averaged over the images ``(N, 3, H, W)`` in [0, 1]."""
    psnr = peak_signal_noise_ratio(image, truth, data_range=1.0, dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(image, truth, data_range=1.0)
    assert isinstance(ssim, Tensor)
    return float(psnr), float(ssim)


def any_style(path: Path) -> None:
    """Writes a sheet of scenes, left, in the styles of textures, above, by the model that ships."""
    model, scenes = stylekit.load("stylekit-any"), Scenes(size=LARGE, split="test")
    textures = [stylekit.make("dataset", "textures", size=LARGE, kinds=[kind])[0]["style"] for kind in STYLES]
    styles = [model.style(texture[None]) for texture in textures]
    rows = [[torch.ones(3, LARGE, LARGE), *textures]]
    for index in range(3):
        scene = scenes[index]["content"]
        rows.append([scene, *(model.stylize(scene[None], style)[0] for style in styles)])
    images.write(path, grid(rows, []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--out", type=Path, default=None, help="folder of the run (default: a new folder in runs/)")
    options = parser.parse_args()
    run = stylekit.train(
        "cyclegan",
        preset="tiny",
        data="scenes",
        size=SIZE,
        batch_size=4,
        steps=options.steps,
        precision=options.precision,
        out=options.out,
        progress=True,
    )
    model = stylekit.load(run)

    test = Scenes(size=SIZE, split="test", length=HELD_OUT)
    photos = torch.stack([test[index]["content"] for index in range(HELD_OUT)])
    paintings = torch.stack([test[index]["style"] for index in range(HELD_OUT)])
    to_painting, to_photo = model.stylize(photos), model.stylize(paintings, direction="b-to-a")

    table = Table("", "PSNR before", "after", "SSIM before", "after")
    results = {}
    for name, source, translated, truth in (
        ("A to B: photo to painting", photos, to_painting, paintings),
        ("B to A: painting to photo", paintings, to_photo, photos),
    ):
        (psnr_before, ssim_before), (psnr, ssim) = scores(source, truth), scores(translated, truth)
        table.add_row(name, f"{psnr_before:.2f} dB", f"{psnr:.2f} dB", f"{ssim_before:.3f}", f"{ssim:.3f}")

        results[name] = {"psnr": [psnr_before, psnr], "ssim": [ssim_before, ssim]}
    session = json.loads((run / "run.json").read_text())["sessions"][-1]
    report = {
        "pictures": HELD_OUT,
        "size": SIZE,
        "steps": options.steps,
        "precision": options.precision,
        "seconds": session["seconds"],
        "scores": results,
    }
    (run / "scores.json").write_text(json.dumps(report, indent=2) + "\n")

    any_style(run / "any_style.png")
    sheet = run / "held_out.png"
    columns = (photos, to_painting, paintings, to_photo)
    rows = [[column[index] for column in columns] for index in range(SHOWN)]
    images.write(sheet, grid(rows, ["photo", "translated", "painting", "translated"]))
    pictures = run / "pictures"
    pictures.mkdir(exist_ok=True)
    for index in range(HELD_OUT):
        images.write(pictures / f"{index:02d}_photo.png", photos[index])
        images.write(pictures / f"{index:02d}_painted.png", to_painting[index])

    console = Console(highlight=False)
    console.print(
        f"\n{HELD_OUT} held-out scenes of {SIZE} x {SIZE} pixels against the ground truth, before and after translation:"
    )
    console.print(table)
    for name, path in (
        ("pictures", pictures),
        ("sheet", sheet),
        ("any style, by the model that ships", run / "any_style.png"),
        ("samples", run / "samples"),
        ("model", run / "model.safetensors"),
    ):
        console.print(f"{name}: {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
