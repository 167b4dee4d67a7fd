"""Published weights that networks of stylekit can use: their addresses, hashes and licences. Does not import torch.

They are fetched only on the user's request, verified, and kept in one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylekit._files import explain_os_errors
from stylekit.errors import StylekitError, suggest
from stylekit.weights.restoring import is_restoring

_CHUNK = 2**20
_TIMEOUT = 30.0
"""Seconds without data after which a download fails."""
_LARGEST = 2**30
"""Maximum size of a file whose size is unknown."""


@dataclass(frozen=True)
class Published:
    """A published file of weights.

    Attributes:
        name: name of the weights in stylekit
        url: address of the file
        sha256: hash of the content, in hexadecimal digits
        size: size in bytes; None if unknown
        licence: the licence and other terms of use
        what: description of the content
    """

    name: str
    url: str
    sha256: str
    size: int | None
    licence: str
    what: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def told_size(self) -> str:
        return f"{self.size / 1e6:.0f} MB" if self.size else "size unknown"


# Source of the addresses, and of the first 8 digits of the hashes, which are part of the names: torchvision/models/vgg.py.
# torchvision's code is under BSD-3-Clause. For the weights, its README says that terms of the training data may apply.
_TORCHVISION = "https://download.pytorch.org/models"
_IMAGENET = "BSD-3-Clause, as torchvision; trained on ImageNet, whose terms may apply"
# Linked from the README of naoto0804/pytorch-AdaIN (MIT), which converted the files of xunhuang1995/AdaIN-style (MIT). The
# hashes are published by several independent projects that fetched the files from there.
_ADAIN = "https://github.com/naoto0804/pytorch-AdaIN/releases/download/v0.0.0"

PUBLISHED = {
    each.name: each
    for each in (
        Published(
            "vgg16",
            f"{_TORCHVISION}/vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            553_433_881,
            _IMAGENET,
            "VGG-16 trained to classify ImageNet, for the encoder vgg16",
        ),
        Published(
            "vgg19",
            f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",
            "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
            574_673_361,
            _IMAGENET,
            "VGG-19 trained to classify ImageNet, for the encoder vgg19",
        ),
        Published(
            "vgg19-normalised",
            f"{_ADAIN}/vgg_normalised.pth",
            "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a",
            80_102_481,
            "MIT, as its repository; a VGG-19 trained on ImageNet, whose terms may apply",
            "VGG-19 with filters of mean activation 1, for the encoder vgg19-normalised",
        ),
        Published(
            "adain-decoder",
            f"{_ADAIN}/decoder.pth",
            "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472",
            None,
            "MIT, as its repository",
            "the decoder of AdaIN, for stylekit import together with vgg19-normalised",
        ),
    )
}
"""All known files, by the name of the weights."""


def cache_folder() -> Path:
    """The folder of fetched files: ``STYLEKIT_WEIGHTS``, or ``stylekit/weights`` in the user's cache folder."""
    if chosen := os.environ.get("STYLEKIT_WEIGHTS"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "stylekit" / "weights"


def pretrained_file(name: str, chosen: str | Path | None = None) -> Path | None:
    """The file of the weights of that name; None if it was not fetched.

    While a model file is read, it is always None: the weights are in the model file, and its header, which anyone may have
    written, must not have other files opened.

    Args:
        name: name of the weights in stylekit
        chosen: the user's own file, which is returned instead, whether it exists or not

    Raises:
        StylekitError: there are no weights of that name, or the size of the file differs from the published one.
    """
    known = _known(name)
    if is_restoring():
        return None
    if chosen is not None:
        return Path(chosen)
    path = cache_folder() / known.file
    if not path.is_file():
        return None
    if known.size and path.stat().st_size != known.size:
        raise StylekitError(
            f"{path} is damaged: it has {path.stat().st_size:,} bytes instead of {known.size:,}. Remove it, and fetch it "
            f"again with `stylekit weights fetch {name}`."
        )
    return path


def verify(path: Path) -> None:
    """Checks the hash of a file that has the name of a published one. Files of other names are not checked.

    Raises:
        StylekitError: the content differs from the published one.
    """
    for known in PUBLISHED.values():
        if path.name == known.file:
            _require_same(known, sha256_of(path), path.stat().st_size, str(path))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        StylekitError: the file cannot be read.
    """
    digest = hashlib.sha256()
    for chunk in _read(path):
        digest.update(chunk)
    return digest.hexdigest()


def fetch_hint(name: str) -> str:
    """A sentence that says how to get weights that have not been fetched.

    Raises:
        StylekitError: there are no weights of that name.
    """
    known = _known(name)
    return (
        f"Fetch them once with `stylekit weights fetch {name}` ({known.told_size}; licence: {known.licence}), or use a file "
        "that you have, with weights=FILE."
    )


def fetch(
    name: str, offline: bool = False, source: Path | None = None, progress: Callable[[int], None] = lambda size: None
) -> Path:
    """Fetches a published file into the cache folder, unless it is already there, and returns its path.

    The file is verified, also if it is already there. It is written to a temporary file and then renamed, so it is either
    complete or missing.

    Args:
        name: name of the weights in stylekit
        offline: refuse to use the network
        source: a local file to copy instead of fetching; replaces a file that is already there
        progress: called after each chunk with its size in bytes

    Raises:
        StylekitError: the name is unknown, there is no network or no space, or the content differs from the published one.
    """
    known, path = _known(name), cache_folder() / _known(name).file
    if source is None and pretrained_file(name):
        verify(path)
        return path
    if offline and source is None:
        raise StylekitError(
            f"{known.file} is not in {path.parent}, and cannot be fetched offline. Omit --offline, or pass a file that you "
            "have with --from FILE."
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        try:
            chunks = _download(known) if source is None else _read(source)
            _write(chunks, temporary, known, str(source or known.url), progress)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def _known(name: str) -> Published:
    if name not in PUBLISHED:
        raise StylekitError(f"There are no weights {name!r}. {suggest(name, PUBLISHED)}")
    return PUBLISHED[name]


def _remove_abandoned(path: Path) -> None:
    """Removes what fetches of this file left when they were killed: nothing was written to it for longer than a fetch waits."""
    for part in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part", part.name):
            with contextlib.suppress(OSError):  # another fetch has just removed it
                if time.time() - part.stat().st_mtime > 2 * _TIMEOUT:
                    part.unlink()


def _write(chunks: Iterator[bytes], path: Path, known: Published, source: str, progress: Callable[[int], None]) -> None:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > (known.size or _LARGEST):
                raise StylekitError(
                    f"{source} is not the published {known.file}: it is larger than the {known.size or _LARGEST:,} bytes that "
                    "are allowed."
                )
            file.write(chunk)
            digest.update(chunk)
            progress(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    _require_same(known, digest.hexdigest(), size, source)


def _require_same(known: Published, sha256: str, size: int, source: str) -> None:
    if sha256 == known.sha256:
        return
    truncated = f"It has only {size:,} of {known.size:,} bytes. " if known.size and size < known.size else ""
    raise StylekitError(
        f"{source} is not the published {known.file}, so it is not used. {truncated}Its SHA-256 is {sha256} instead of "
        f"{known.sha256}. Remove it, or rename it. The published file is at {known.url}."
    )


def _download(known: Published) -> Iterator[bytes]:
    from stylekit.weights import downloading

    try:
        yield from downloading.chunks(known.url, _TIMEOUT, _CHUNK)
    except OSError as error:
        raise StylekitError(
            f"Fetching {known.url} failed: {error}. Check the network and try again, or download the file by other means and "
            f"run `stylekit weights fetch {known.name} --from FILE`."
        ) from error


def _read(source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise StylekitError(f"{source} cannot be read: {error.strerror or error}.") from error
