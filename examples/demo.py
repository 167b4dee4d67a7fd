"""Trains a CycleGAN on the built-in scenes, and scores it on held-out ones against the truth: ``make demo``.

The two domains of the training pictures show different scenes. The test scenes are drawn in both manners, so that the
translation, though learnt without pairs, can be compared with what it should be.
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


def scores(image: Tensor, truth: Tensor) -> tuple[float, float]:
    """PSNR in dB and SSIM, each the mean over the pictures ``(N, 3, H, W)`` in [0, 1]."""
    psnr = peak_signal_noise_ratio(image, truth, data_range=1.0, dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(image, truth, data_range=1.0)
    assert isinstance(ssim, Tensor)
    return float(psnr), float(ssim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=None, help="folder of the run (default: a new one below runs/)")
    options = parser.parse_args()
    run = stylekit.train(
        "cyclegan",
        preset="tiny",
        data="scenes",
        size=SIZE,
        batch_size=4,
        steps=options.steps,
        out=options.out,
        progress=True,
    )
    model = stylekit.load(run)

    test = Scenes(size=SIZE, split="test", length=HELD_OUT)
    photos = torch.stack([test[index]["content"] for index in range(HELD_OUT)])
    paintings = torch.stack([test[index]["style"] for index in range(HELD_OUT)])
    there, back = model.stylize(photos), model.stylize(paintings, direction="b-to-a")

    table = Table("", "PSNR before", "after", "SSIM before", "after")
    results = {}
    for name, source, translated, truth in (
        ("A to B: photo to painting", photos, there, paintings),
        ("B to A: painting to photo", paintings, back, photos),
    ):
        (psnr_before, ssim_before), (psnr, ssim) = scores(source, truth), scores(translated, truth)
        table.add_row(name, f"{psnr_before:.2f} dB", f"{psnr:.2f} dB", f"{ssim_before:.3f}", f"{ssim:.3f}")

        results[name] = {"psnr": [psnr_before, psnr], "ssim": [ssim_before, ssim]}
    session = json.loads((run / "run.json").read_text())["sessions"][-1]
    told = {
        "pictures": HELD_OUT,
        "size": SIZE,
        "steps": options.steps,
        "seconds": session["seconds"],
        "scores": results,
    }
    (run / "scores.json").write_text(json.dumps(told, indent=2) + "\n")

    sheet = run / "held_out.png"
    columns = (photos, there, paintings, back)
    rows = [[column[index] for column in columns] for index in range(SHOWN)]
    images.write(sheet, grid(rows, ["photo", "translated", "painting", "back"]))
    pictures = run / "pictures"
    pictures.mkdir(exist_ok=True)
    for index in range(HELD_OUT):
        images.write(pictures / f"{index:02d}_photo.png", photos[index])
        images.write(pictures / f"{index:02d}_painted.png", there[index])

    console = Console(highlight=False)
    console.print(f"\n{HELD_OUT} held-out scenes of {SIZE} pixels against their truth, before and after translation:")
    console.print(table)
    for what, path in (
        ("pictures", pictures),
        ("sheet", sheet),
        ("samples", run / "samples"),
        ("model", run / "model.safetensors"),
    ):
        console.print(f"{what}: {path}", soft_wrap=True)


if __name__ == "__main__":
    main()
