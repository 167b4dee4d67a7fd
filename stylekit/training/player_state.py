"""A player during training: its turns, its optimizer, and the average of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.method import Method, Player, Turn


class PlayerState:
    """A player during training.

    Args:
        name: its name
        spec: what the method says of it
        turns: its turns
    """

    def __init__(self, name: str, spec: Player, turns: Sequence[Turn]) -> None:
        self.name, self.spec, self.turns = name, spec, turns
        self.parameters = spec.parameters
        self.optimizer = spec.optimizer(self.parameters, lr=spec.lr)
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise StylekitError(
                f"The player {name!r} uses LBFGS, which evaluates a turn several times per step: not supported yet."
            )
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._averaged: list[Tensor] = [*self.parameters, *spec.buffers] if spec.ema is not None else []
        self.average = [each.detach().clone() for each in self._averaged]

    def due(self, step: int) -> list[Turn]:
        """The turns to play at a step, counted from zero."""
        if step % self.spec.update_every:
            return []
        return [turn for turn in self.turns if (step // self.spec.update_every) % turn.interval == 0]

    def update(self, index: int, progress: float) -> None:
        """Updates the weights by their gradients.

        Args:
            index: the step, counted from zero
            progress: how far the run is, from 0 to 1
        """
        if self.spec.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip)
        factor = self.spec.schedule(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.spec.ema is not None:
            # Short at first, so that the initial weights are soon forgotten.
            updates = index // self.spec.update_every
            decay = min(self.spec.ema, (1 + updates) / (10 + updates))
            torch._foreach_lerp_(self.average, [each.detach() for each in self._averaged], 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the averaged weights and buffers in place within the block."""
        kept = [each.detach().clone() for each in self._averaged]
        for current, average in zip(self._averaged, self.average, strict=True):
            current.data.copy_(average)
        try:
            yield
        finally:
            for current, own in zip(self._averaged, kept, strict=True):
                current.data.copy_(own)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"optimizer": self.optimizer.state_dict(), "average": self.average}

    def restore(self, state: Mapping[str, Any], source: Path) -> None:
        """Restores a state.

        Raises:
            StylekitError: it does not fit the player; ``source`` is named.
        """
        try:
            saved, average = state["optimizer"], state["average"]
            if [tuple(value.shape) for value in average] != [tuple(mine.shape) for mine in self.average]:
                raise ValueError("its average has other shapes")
            for index, values in saved["state"].items():
                for name, value in values.items():
                    mine = self.parameters[index]
                    if isinstance(value, Tensor) and value.ndim == mine.ndim and value.shape != mine.shape:
                        raise ValueError(
                            f"{name} of parameter {index} is {tuple(value.shape)}, not {tuple(mine.shape)}"
                        )
            self.optimizer.load_state_dict(saved)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise StylekitError(
                f"The state of the player {self.name!r} in {source} does not fit the method as it is set up ({error})."
            ) from None
        for mine, value in zip(self.average, average, strict=True):
            mine.copy_(value)


def player_states(method: Method) -> list[PlayerState]:
    """The state of each of a method's players, in their order."""
    turns = method.turns()
    return [PlayerState(name, spec, [t for t in turns if t.player == name]) for name, spec in method.players().items()]
