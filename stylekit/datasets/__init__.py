"""Image files, by themselves or in shards: finding and opening them, and the layouts of data sets. Does not import torch."""

from stylekit.datasets.files import SUFFIXES, find_images, named_files, open_image
from stylekit.datasets.layouts import SPLITS, Layout, find_layout, find_sides, split_of, subfolders
from stylekit.datasets.members import AnyFile, Member
from stylekit.datasets.pairs import Pair, check_pairs, find_pairs
from stylekit.datasets.shards import image_files, is_shards, shuffled

__all__ = [
    "SPLITS",
    "SUFFIXES",
    "AnyFile",
    "Layout",
    "Member",
    "Pair",
    "check_pairs",
    "find_images",
    "find_layout",
    "find_pairs",
    "find_sides",
    "image_files",
    "is_shards",
    "named_files",
    "open_image",
    "shuffled",
    "split_of",
    "subfolders",
]
