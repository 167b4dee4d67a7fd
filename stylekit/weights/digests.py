"""Digests of weights, so that a report tells which ones were used."""

from __future__ import annotations

import hashlib

from torch import nn

from stylekit.weights.tensors import update_digest


def module_digest(module: nn.Module) -> str:
    """A SHA-256 of the names, shapes and float32 values of a module's tensors, shortened to 16 digits."""
    digest = hashlib.sha256()
    update_digest(digest, module.state_dict())
    return digest.hexdigest()[:16]
