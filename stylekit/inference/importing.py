"""Converts the weights of other programs to model files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stylekit._files import real_path
from stylekit.errors import StylekitError, counted
from stylekit.inference.building import TooLarge
from stylekit.inference.model_files import save_state
from stylekit.inference.model_headers import json_arguments
from stylekit.method import Method
from stylekit.registry import lookup
from stylekit.registry.schema import arguments as arguments_of
from stylekit.weights import pretrained
from stylekit.weights.state_dicts import read_state_dict


def import_model(files: Sequence[Path], plugin: str, out: Path) -> str:
    """Converts the weights of another program to a model file; returns the arguments of the method as text.

    Raises:
        StylekitError: the method cannot import the files, or a file cannot be read or written.
    """
    if out.suffix != ".safetensors":
        raise StylekitError(f"The name of a model file must end in .safetensors, but {out} does not.")
    if real_path(out) in {real_path(file) for file in files}:
        raise StylekitError(f"{out} is one of the input files and is not overwritten. Give another --out.")
    for file in files:  # in other folders, a file with a published name may be the user's own
        if real_path(file).parent == real_path(pretrained.cache_folder()):
            pretrained.verify(file)
    name, factory = lookup.find_method([plugin])
    reader = factory if isinstance(factory, type) and issubclass(factory, Method) else Method
    arguments, state = reader.import_weights({str(file): read_state_dict(file) for file in files})
    spec = arguments.get("generator")
    generator = spec if isinstance(spec, Mapping) else {}
    channels = generator.get("channels", 3)
    if "outputs" in generator and "outputs" not in arguments_of(factory):
        raise StylekitError(
            f"{files[0]} makes images of {generator['outputs']} channels from images of {channels}, but the method {name!r} "
            "keeps their number. pix2pix can change it."
        )
    if channels != arguments.get("channels", 3):
        raise StylekitError(
            f"{files[0]} is for images of {counted(channels, 'channel')}, but the method {name!r} is for RGB. "
            "cyclegan, pix2pix and restore have any number."
        )
    try:
        save_state(state, name, arguments, out, files[0])
    except TooLarge as error:
        raise StylekitError(f"{files[0]} cannot be imported. {error}") from None
    return ", ".join(f"{key}={value}" for key, value in json_arguments(arguments).items())
