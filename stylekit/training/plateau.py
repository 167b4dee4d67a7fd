"""A schedule that waits for the loss to stop falling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

WINDOW = 100
"""Updates whose mean loss is compared with that of those before, because the loss of one step depends on its images."""
PATIENCE = 10
"""Windows in a row without a lower loss after which the learning rate falls."""
RELATIVE = 1e-3
"""By how much a loss must be lower than the best one, relative to it."""


class Plateau:
    """A factor on learning rates, which falls to a tenth when the mean loss has not fallen for 1,000 updates."""

    def __init__(self) -> None:
        # torch's scheduler changes the learning rate of an optimizer: here of one that has nothing to train.
        self._optimizer = torch.optim.SGD([torch.zeros(())], lr=1.0)
        self._scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimizer, factor=0.1, patience=PATIENCE - 1, threshold=RELATIVE
        )
        self._losses: list[Tensor] = []

    @property
    def factor(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def observe(self, loss: Tensor, average: Callable[[list[Tensor]], None] = lambda tensors: None) -> None:
        """Adds the loss of an update, a scalar. Values are read once a window, so that steps do not wait for the device.

        Args:
            loss: the loss
            average: averages tensors over the processes of the run, in place, so that all decide alike
        """
        loss = loss.detach().float().reshape(()).clone()
        average([loss])
        self._losses.append(loss)
        if len(self._losses) == WINDOW:
            self._scheduler.step(float(torch.stack(self._losses).mean()))
            self._losses.clear()

    def state(self) -> dict[str, Any]:
        """The state that a checkpoint stores."""
        kept = {key: self._scheduler.state_dict()[key] for key in ("best", "num_bad_epochs", "last_epoch")}
        return {"factor": self.factor, "losses": [float(loss) for loss in self._losses], **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the state from a checkpoint.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        self._optimizer.param_groups[0]["lr"] = float(state["factor"])
        self._losses = [torch.tensor(float(loss)) for loss in state["losses"]]
        kept = {"best": float(state["best"]), **{key: int(state[key]) for key in ("num_bad_epochs", "last_epoch")}}
        self._scheduler.load_state_dict(kept)
