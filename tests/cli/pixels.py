"""The pixels of an image file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))
