"""The whole plugin contract: what a plugin may offer, and what each thing it offers must do.

A plugin is a module with any of these functions, each marked with ``@hookimpl``, that an installed package names in its
entry-point group ``stylekit``. Hooks that offer parts return ``{name: callable that builds}``. Images are float tensors
``(N, C, H, W)`` in ``[0, 1]`` wherever they cross from one part to another, with three channels unless a network names
the numbers that it takes in an attribute ``channels``, such as ``(1, 3)``.

A package adds a command to ``stylekit`` by an entry point in the group ``stylekit.commands``: its name, and a function
whose parameters become the options, or a ``typer.Typer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import Dataset


__all__ = ["API", "hookimpl"]

API = 1
"""The contract's version. A plugin may state the one it was written for as ``STYLEKIT_API = 1``."""

hookspec = pluggy.HookspecMarker("stylekit")
hookimpl = pluggy.HookimplMarker("stylekit")


@hookspec
def stylekit_generators() -> Mapping[str, Callable[..., nn.Module]]:
    """Networks with ``forward(content, style=None) -> image`` of the content's size.

    Here and for discriminators, an attribute ``min_size`` is the smallest side of pictures to train on, and
    ``sample_independent`` says that pictures in a batch do not see each other, so that several may share one pass."""


@hookspec
def stylekit_discriminators() -> Mapping[str, Callable[..., nn.Module]]:
    """Networks with ``forward(image) -> scores``, raw, of any shape, or a list of them (multi-scale)."""


@hookspec
def stylekit_losses() -> Mapping[str, Callable[..., nn.Module]]:
    """Image losses ``forward(output, reference) -> scalar``, or adversarial losses with three verbs on scores:
    ``real(scores)`` and ``fake(scores)`` for the discriminator, ``fool(scores)`` for the generator."""


@hookspec
def stylekit_datasets() -> Mapping[str, Callable[..., Dataset[Any]]]:
    """Map-style data sets. Built with ``size``, ``seed`` and ``split`` ("train" or "test"); ``item_keys`` names the keys of
    an item, a dict of image tensors ``(C, H, W)``. Random calls inside an item are seeded by the engine."""


@hookspec
def stylekit_encoders() -> Mapping[str, Callable[..., nn.Module]]:
    """Frozen networks with ``forward(image) -> {layer: features}``."""


@hookspec
def stylekit_methods() -> Mapping[str, Callable[..., nn.Module]]:
    """Subclasses of :class:`stylekit.Method`: what ``stylekit train --plugin NAME`` trains."""


@hookspec
def stylekit_presets() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Named sets of arguments for methods, one's own or others': ``{method: {preset: {argument: value}}}``."""


@hookspec
def stylekit_models() -> Mapping[str, Callable[..., object]]:
    """Finished models that the package ships, ready for ``stylekit stylize --model NAME``: functions that load one, such
    as ``functools.partial(stylekit.load, FILE)``."""


@hookspec
def stylekit_run_started(run: Path, settings: Mapping[str, Any]) -> object | None:
    """A run begins, or goes on: its folder and every setting. Run hooks are called for plugins named by ``--log``.

    May return an object with further run hooks, which then follow this run: the place for what a logger keeps open."""


@hookspec
def stylekit_step_finished(step: int, metrics: Mapping[str, float]) -> None:
    """A step was logged: its number, counted from one, and its loss terms by name."""


@hookspec
def stylekit_checkpoint_saved(step: int, path: Path) -> None:
    """A checkpoint lies whole in the folder ``path``."""


@hookspec
def stylekit_run_finished(run: Path, step: int) -> None:
    """The run ended after ``step`` steps, complete or interrupted."""
