"""Compiled kernels and operations, compilers, devices and memory. Importing this package does not import torch."""

from stylekit.native.extension import load_library, setup_arguments

__all__ = ["load_library", "setup_arguments"]
