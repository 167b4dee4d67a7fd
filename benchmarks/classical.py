"""Classical filters that restore pictures: the rivals of small networks.

Each is a function of an image ``(1, 3, H, W)`` in [0, 1]. Those that fill holes are also given ``hole``, an image of the same
size that is white there and black elsewhere.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from stylekit import images
from stylekit.errors import StylekitError
from stylekit.registry.extras import import_extra


def untouched(image: Tensor, hole: Tensor | None = None) -> Tensor:
    """The image itself."""
    return image


def enlarged(scale: int, filter_: Image.Resampling, image: Tensor) -> Tensor:
    """Enlarges by a filter of Pillow."""
    picture = images.to_pil(image)
    return images.to_tensor(picture.resize((picture.width * scale, picture.height * scale), filter_))


def median(side: int, image: Tensor) -> Tensor:
    """The median of squares, in each channel."""
    return images.to_tensor(images.to_pil(image).filter(ImageFilter.MedianFilter(side)))


def unsharp(radius: float, percent: int, image: Tensor) -> Tensor:
    """Adds to each pixel its difference from the blurred image, by a normal kernel (Pillow's ``UnsharpMask``)."""
    return images.to_tensor(images.to_pil(image).filter(ImageFilter.UnsharpMask(radius, percent, threshold=0)))


def total_variation(weight: float, image: Tensor) -> Tensor:
    """The image with the least total variation that is close to this one (Chambolle 2004), by scikit-image.

    Raises:
        StylekitError: it is not installed.
    """
    restoration = _imported("skimage.restoration", "scikit-image", "Total variation")
    return _image(restoration.denoise_tv_chambolle(_floats(image), weight=weight, channel_axis=2))


def nonlocal_means(strength: float, image: Tensor) -> Tensor:
    """Non-local means of OpenCV (Buades et al. 2005), with its windows of 7 and 21 pixels.

    Raises:
        StylekitError: OpenCV is not installed.
    """
    cv2 = import_extra("cv2", "video", "Non-local means")
    return _image(cv2.fastNlMeansDenoisingColored(_bytes(image), None, strength, strength, 7, 21) / 255)


def bm3d(sigma: float, image: Tensor) -> Tensor:
    """BM3D of its authors (Dabov et al. 2007), for colours and noise of a known standard deviation, in levels of 255.

    Raises:
        StylekitError: it is not installed.
    """
    return _image(_imported("bm3d", "bm3d", "BM3D").bm3d_rgb(_floats(image), sigma / 255))


def telea(radius: int, image: Tensor, hole: Tensor) -> Tensor:
    """Fills holes from their border inwards, with weighted means of what is near (Telea 2004), by OpenCV.

    Raises:
        StylekitError: OpenCV is not installed.
    """
    return _inpainted("INPAINT_TELEA", radius, image, hole)


def navier_stokes(radius: int, image: Tensor, hole: Tensor) -> Tensor:
    """Continues lines of equal brightness into holes (Bertalmio et al. 2001), by OpenCV.

    Raises:
        StylekitError: OpenCV is not installed.
    """
    return _inpainted("INPAINT_NS", radius, image, hole)


def _inpainted(way: str, radius: int, image: Tensor, hole: Tensor) -> Tensor:
    cv2 = import_extra("cv2", "video", "Inpainting")
    mask = np.ascontiguousarray(_bytes(hole)[..., 0])
    return _image(cv2.inpaint(_bytes(image), mask, radius, getattr(cv2, way)) / 255)


def _imported(module: str, package: str, what: str) -> Any:
    """A module that need not be installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise StylekitError(f"{what} needs the package {package}: pip install {package}") from error


def _floats(image: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return image[0].permute(1, 2, 0).double().numpy()


def _bytes(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(np.asarray(images.to_pil(image)))


def _image(pixels: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
