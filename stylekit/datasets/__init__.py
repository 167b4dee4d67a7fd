"""Image files: finding and opening them, and the folder layouts of data sets. Does not import torch."""

from stylekit.datasets.files import SUFFIXES, find_images, named_files, open_image
from stylekit.datasets.layouts import SPLITS, Layout, find_layout, split_of, subfolders
from stylekit.datasets.pairs import Pair, check_pairs, find_pairs

__all__ = [
    "SPLITS",
    "SUFFIXES",
    "Layout",
    "Pair",
    "check_pairs",
    "find_images",
    "find_layout",
    "find_pairs",
    "named_files",
    "open_image",
    "split_of",
    "subfolders",
]
