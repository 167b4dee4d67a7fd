"""A player's place in the game, while it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from stylekit.method import Player, Turn


class Seat:
    """A player in the game: its turns, its optimiser, and the average of its weights."""

    def __init__(self, name: str, player: Player, turns: Sequence[Turn]) -> None:
        self.name, self.player, self.turns = name, player, turns
        self.parameters = player.parameters
        self.optimizer = player.optimizer(self.parameters, lr=player.lr)
        self.average = [p.detach().clone() for p in self.parameters] if player.ema is not None else []

    def due(self, step: int) -> list[Turn]:
        """The turns to play at a step, counted from zero."""
        if step % self.player.update_every:
            return []
        return [turn for turn in self.turns if (step // self.player.update_every) % turn.lazy == 0]

    def move(self, progress: float) -> None:
        """Updates the weights by their gradients."""
        if self.player.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.player.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.player.lr * self.player.schedule(progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.player.ema is not None:
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self.player.ema)

    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "average": self.average}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        for mine, saved in zip(self.average, state["average"], strict=True):
            mine.copy_(saved)
