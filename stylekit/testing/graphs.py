"""Checks that ``torch.export`` can export a module, and that the exported program returns the same values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.inference.exported.silence import silent
from stylekit.testing.kit import one_line, require
from stylekit.testing.pictures import difference, drawn, equal


def require_exports(module: nn.Module, inputs: Sequence[Tensor], what: str, cure: str) -> None:
    """Checks that a module in eval mode exports to one graph, which returns the same values for the same inputs.

    Raises:
        StylekitError: it does not. The message has the exporter's error, shortened, and the cure.
    """
    with torch.no_grad(), silent():
        expected = drawn(module, inputs)
        random = not equal(expected, drawn(module, inputs, 1))  # a graph may draw its random numbers in another order
        try:
            exported = torch.export.export(module, tuple(inputs)).module()
        except Exception as error:
            raise StylekitError(
                f"torch.export cannot export {what}: {type(error).__name__}: {one_line(error, 160)} {cure}"
            ) from error
        change = 0.0 if random else difference(exported(*inputs), expected)
    require(change < 1e-4, f"Exported by torch.export, {what} returns values that differ by {change:.2g}. {cure}")
