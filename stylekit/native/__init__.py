"""What lies below Python: compiled kernels and operations, compilers, devices, the heap. Needs no torch by itself."""

from stylekit.native.extension import load_library, setup_arguments

__all__ = ["load_library", "setup_arguments"]
