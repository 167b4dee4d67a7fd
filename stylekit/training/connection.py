"""Errors of the communication between the processes of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from stylekit.errors import StylekitError


class ConnectionLost(StylekitError):
    """Another process of the run failed; its own error says why."""


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Raises :class:`ConnectionLost` for an error of the communication within the block."""
    try:
        yield
    except RuntimeError as error:
        # gloo raises plain RuntimeErrors. Others come from elsewhere, such as torch's report of a killed loading process.
        if not isinstance(error, torch.distributed.DistError) and not any(
            name in str(error) for name in ("gloo", "NCCL")
        ):
            raise
        raise ConnectionLost("Another process of this run failed or was killed; its own message says why.") from error
