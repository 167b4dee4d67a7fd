"""Folders of pictures on the disk: finding and opening the files, and what data set a folder is. Needs no torch."""

from stylekit.datasets.files import SUFFIXES, find_images, open_image
from stylekit.datasets.layouts import SPLITS, Layout, find_layout, split_of

__all__ = ["SPLITS", "SUFFIXES", "Layout", "find_images", "find_layout", "open_image", "split_of"]
