"""A model in a file that a plugin ships. Does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylekit.inference.model import Model

__all__ = ["ModelFile"]


class ModelFile:
    """A model for the hook ``stylekit_models``, in a file of the plugin's package.

    If ``stylekit export`` has written the model to a file of the same name with the suffix ``.onnx``, ``stylekit stylize`` uses
    that one where it can, without importing torch.

    Args:
        path: the ``.safetensors`` file
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exported(self) -> Path:
        """Where the exported form is, if there is one."""
        return self.path.with_suffix(".onnx")

    def __call__(self, device: Any = "auto", **changes: Any) -> Model:
        """Loads the model; the arguments are those of :func:`stylekit.load`."""
        from stylekit.inference.loading import load

        return load(self.path, device, **changes)
