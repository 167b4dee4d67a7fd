"""Files of weights: safetensors, files of other programs, and published weights. Importing this does not import torch."""

from stylekit.weights.foreign import channels_of, read_generators, recognise
from stylekit.weights.narrowing import Channels, follow, narrow
from stylekit.weights.pretrained import fetch, fetch_hint, pretrained_file, verify
from stylekit.weights.state_dicts import clean_state_dict, load_weights, read_state_dict

__all__ = [
    "Channels",
    "channels_of",
    "clean_state_dict",
    "fetch",
    "fetch_hint",
    "follow",
    "load_weights",
    "narrow",
    "pretrained_file",
    "read_generators",
    "read_state_dict",
    "recognise",
    "verify",
]
