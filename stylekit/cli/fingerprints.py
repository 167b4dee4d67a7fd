"""Fingerprints of what an output depends on: equal for equal content, whichever files it was read from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def fingerprint(*values: Any) -> str:
    """A digest of values: of tensors and arrays with all their elements, which their ``repr`` leaves out."""
    found = hashlib.sha256()
    for part in _parts(values):
        found.update(part)
    return found.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        yield from _parts(list(value.items()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__.encode()
        yield from _parts([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield f"{len(value)} of {type(value).__name__}".encode()
        for each in value:
            yield from _parts(each)
    else:
        yield f"{value!r};".encode()
