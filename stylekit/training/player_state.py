"""A player during training: its turns, its optimizer, and the moving average of its weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.method import Method, Player, Turn
from stylekit.training.common_options import common_options
from stylekit.training.plateau import Plateau


class PlayerState:
    """A player during training.

    Args:
        name: name of the player
        spec: the player as the method defines it
        turns: turns of the player
    """

    def __init__(self, name: str, spec: Player, turns: Sequence[Turn]) -> None:
        self.name, self.spec, self.turns = name, spec, turns
        self.parameters = spec.parameters
        try:
            self.optimizer = spec.optimizer(self.parameters, lr=spec.lr)
        except (ValueError, TypeError) as error:
            raise StylekitError(f"The optimizer of the player {name!r} cannot be built: {error}.") from error
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise StylekitError(
                f"The player {name!r} uses LBFGS, which evaluates a turn several times per step. This is not supported yet."
            )
        _fuse(self.optimizer)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.schedule, self.ema = spec.schedule, spec.ema
        self.plateau: Plateau | None = None
        self.scale = 1.0
        """A factor on the learning rates, which the guard halves when training goes wrong."""
        self._averaged: list[Tensor] = [*self.parameters, *spec.buffers] if spec.ema is not None else []
        self.average = [each.detach().clone() for each in self._averaged]

    def due(self, step: int) -> list[Turn]:
        """The turns to play at a step, counted from zero."""
        if step % self.spec.update_every:
            return []
        return [turn for turn in self.turns if (step // self.spec.update_every) % turn.interval == 0]

    def update(self, index: int, progress: float) -> None:
        """Updates the weights with their gradients.

        Args:
            index: the step, counted from zero
            progress: progress of the run, from 0 to 1
        """
        if self.spec.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip)
        if self.spec.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.spec.clip_value)
        factor = self.scale * self.schedule(progress) * (self.plateau.factor if self.plateau else 1)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            # A smaller decay at first, so that the initial weights are soon forgotten.
            updates = index // self.spec.update_every
            decay = min(self.ema, (1 + updates) / (10 + updates))
            torch._foreach_lerp_(self.average, [each.detach() for each in self._averaged], 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Swaps in the averaged weights and buffers within the block."""
        originals = [each.detach().clone() for each in self._averaged]
        for current, average in zip(self._averaged, self.average, strict=True):
            current.data.copy_(average)
        try:
            yield
        finally:
            for current, original in zip(self._averaged, originals, strict=True):
                current.data.copy_(original)

    def state(self) -> dict[str, Any]:
        """The state that a checkpoint stores."""
        plateau = {"plateau": self.plateau.state()} if self.plateau else {}
        return {"optimizer": self.optimizer.state_dict(), "average": self.average, "scale": self.scale, **plateau}

    def restore(self, state: Mapping[str, Any], source: Path) -> None:
        """Restores the state from a checkpoint.

        Raises:
            StylekitError: the state does not fit the player; the message names ``source``.
        """
        try:
            saved, average = state["optimizer"], state["average"]
            if [tuple(value.shape) for value in average] != [tuple(current.shape) for current in self.average]:
                raise ValueError("the shapes of its average differ")
            # Optimizers number parameters in the order of their groups.
            parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            for index, values in saved["state"].items():
                for name, value in values.items():
                    parameter = parameters[index]
                    if isinstance(value, Tensor) and value.ndim == parameter.ndim and value.shape != parameter.shape:
                        raise ValueError(
                            f"{name} of parameter {index} has the shape {tuple(value.shape)}, not {tuple(parameter.shape)}"
                        )
            for given, known in zip(saved["param_groups"], self.optimizer.state_dict()["param_groups"], strict=True):
                for key, value in known.items():
                    known_form = given[key] in (None, True, False) if key == "fused" else _alike(given[key], value)
                    if not known_form:
                        raise ValueError(f"its {key} is {given[key]!r}")
            self.optimizer.load_state_dict(saved)
            self.scale = float(state.get("scale", 1.0))
            if self.plateau:
                self.plateau.restore(state["plateau"])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            raise StylekitError(
                f"The state of the player {self.name!r} in {source} does not fit the method with its current options ({error})."
            ) from None
        for current, value in zip(self.average, average, strict=True):
            current.copy_(value)


def _fuse(optimizer: torch.optim.Optimizer) -> None:
    """Lets Adam and AdamW update weights on the CPU in one pass, unless the method decides how: pix2pix saves a fifth of its
    time."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return
    for group in optimizer.param_groups:
        fits = all(each.device.type == "cpu" and each.is_floating_point() for each in group["params"])
        if fits and group["fused"] is None and not (group["foreach"] or group["differentiable"] or group["capturable"]):
            group["fused"] = True


def _alike(given: Any, known: Any) -> bool:
    """Whether a hyperparameter of an optimizer has the form of the known one: a number stays a number."""
    if isinstance(known, list | tuple):
        return isinstance(given, list | tuple) and len(given) == len(known) and all(map(_alike, given, known))
    if type(known) in (int, float):
        return type(given) in (int, float) and (math.isfinite(given) or not math.isfinite(known))
    return known is None or isinstance(given, type(known))


def player_states(method: Method, batch_size: int = 1) -> list[PlayerState]:
    """The state of each player of a method, in the order of the players.

    Args:
        method: the method
        batch_size: images per step, which the half-life of averages counts

    Raises:
        StylekitError: an optimizer cannot be built, a half-life is given for a method without averages, or an option for a
            player that the method lacks.
    """
    turns, common = method.turns(), common_options(method)
    specs = method.players() if common is None else common.changed(method.players())
    states = [PlayerState(name, spec, [t for t in turns if t.player == name]) for name, spec in specs.items()]
    if common is None:
        return states
    if common.half_life and all(state.ema is None for state in states):
        raise StylekitError(
            "The option 'half_life' needs a method that averages weights, but this one averages none. Add --set ema=0.999, or "
            "leave half_life out."
        )
    for state in states:
        state.schedule = partial(common.factor, state.spec.schedule)
        state.plateau = Plateau() if common.schedule == "plateau" else None
        if common.half_life and state.ema is not None:
            state.ema = 0.5 ** (batch_size * state.spec.update_every / common.half_life)
    return states
