"""Can ``torch.export`` take a module, and does the exported program do the same?"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.testing.kit import one_line, require
from stylekit.testing.pictures import difference, drawn, equal


def require_exports(module: nn.Module, inputs: Sequence[Tensor], what: str, cure: str) -> None:
    """Checks that a module in eval mode becomes one graph, which gives the same for the same inputs.

    Raises:
        StylekitError: it does not; in short, what the exporter complained of, and the cure.
    """
    with torch.no_grad(), _silent():
        wanted = drawn(module, inputs)
        random = not equal(wanted, drawn(module, inputs, 1))  # a graph draws in an order of its own
        try:
            exported = torch.export.export(module, tuple(inputs)).module()
        except Exception as error:
            raise StylekitError(
                f"torch.export cannot take {what}: {type(error).__name__}: {one_line(error, 160)} {cure}"
            ) from error
        apart = 0.0 if random else difference(exported(*inputs), wanted)
    require(apart < 1e-4, f"{what}, exported by torch.export, gives other values, by {apart:.2g}. {cure}")


@contextmanager
def _silent() -> Iterator[None]:
    """What the exporter tells of itself is nothing that the writer of a part can change."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
