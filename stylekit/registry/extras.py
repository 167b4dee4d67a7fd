"""Packages that are optional, and imported only where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from stylekit.errors import StylekitError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str, what: str) -> Any:
    """Imports a module of an optional package.

    Args:
        module: the module
        extra: the extra of ``stylekit-torch`` that installs it
        what: what needs it, for the message, such as ``The metric 'ssim'``

    Raises:
        StylekitError: it is not installed; the message has the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise StylekitError(
            f"{what} needs {package} ({error}). Run `pip install 'stylekit-torch[{extra}]'`."
        ) from error
