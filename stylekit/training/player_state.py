"""A player's place in the game, while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.method import Method, Player, Turn


class PlayerState:
    """A player in the game: its turns, its optimiser, and the average of its weights."""

    def __init__(self, name: str, player: Player, turns: Sequence[Turn]) -> None:
        self.name, self.player, self.turns = name, player, turns
        self.parameters = player.parameters
        self.optimizer = player.optimizer(self.parameters, lr=player.lr)
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise StylekitError(
                f"The player {name!r} has LBFGS, which plays a turn several times a step: not supported yet."
            )
        self.average = [p.detach().clone() for p in self.parameters] if player.ema is not None else []

    def due(self, step: int) -> list[Turn]:
        """The turns to play at a step, counted from zero."""
        if step % self.player.update_every:
            return []
        return [turn for turn in self.turns if (step // self.player.update_every) % turn.interval == 0]

    def move(self, index: int, total: int) -> None:
        """Updates the weights by their gradients, at a step counted from zero."""
        if self.player.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.player.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.player.lr * self.player.schedule(index / total)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.player.ema is not None:
            # Short at first, so that the initial weights are soon forgotten.
            updates = index // self.player.update_every
            decay = min(self.player.ema, (1 + updates) / (10 + updates))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"optimizer": self.optimizer.state_dict(), "average": self.average}

    def restore(self, state: Mapping[str, Any], source: Path) -> None:
        """Takes a state up again.

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
    """A player for each of a method's players, in their order."""
    turns = method.turns()
    return [
        PlayerState(name, player, [t for t in turns if t.player == name]) for name, player in method.players().items()
    ]
