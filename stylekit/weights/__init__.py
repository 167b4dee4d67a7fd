"""Weights in files: safetensors, those of other programs, and those that others published. Needs no torch by itself."""

from stylekit.weights.foreign import clean, fill, read_generators, recognise
from stylekit.weights.pretrained import advice, fetch, find, verify

__all__ = ["advice", "clean", "fetch", "fill", "find", "read_generators", "recognise", "verify"]
