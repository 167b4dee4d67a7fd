"""One training step, and what it needs of the device: where images are, and how networks lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.method import Batch, Method, Turn
from stylekit.native.devices import computes_bf16
from stylekit.seeding import repeatable
from stylekit.training.common_options import extra_terms, waits
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import PlayerState
from stylekit.training.settings import Settings


def step(
    method: Method,
    players: Sequence[PlayerState],
    batch: Batch,
    index: int,
    total: int,
    runtime: Runtime,
    watch: Callable[[Any], None] = lambda made: None,
) -> dict[str, Tensor]:
    """Trains one step and returns its loss terms by ``turn/term``, on the device, without waiting for them.

    ``watch`` gets what ``forward`` returned.
    """
    for part in method.modules():
        if hasattr(part, "progress"):
            part.progress = index / total  # type: ignore[assignment]
    repeated = repeatable()
    with runtime.autocast():
        made = method(batch)
    watch(made)
    due = [(player, turns) for player in players if (turns := player.due(index))]
    losses: dict[str, Tensor] = {}
    for player, turns in due:
        with runtime.autocast():
            played = {turn: turn.play(method, batch, made) for turn in turns}
            further = extra_terms(method, player.name, batch, made, repeated)
        losses |= _loss_terms(played) | {name: _logged(term) for name, term in further.items()}
        scaled = [turn.interval * term.reshape(()) for turn, terms in played.items() for term in terms.values()]
        scaled += further.values()
        # Only this player's parameters receive gradients, so the other players are not affected.
        shared = method.simultaneous and player is not due[-1][0]
        if waits(method, player.spec.modules, runtime.average):
            continue
        loss = torch.stack(scaled).sum()
        loss.backward(inputs=player.parameters, retain_graph=shared)
        if player.plateau:
            player.plateau.observe(loss, runtime.average)
        runtime.average_gradients(player.parameters)
        if not method.simultaneous:
            player.update(index, method.progress)
    for player, _ in due if method.simultaneous else ():
        player.update(index, method.progress)
    return losses


def _loss_terms(played: Mapping[Turn, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{turn.name}/{term}": _logged(value) for turn, terms in played.items() for term, value in terms.items()}


def _logged(term: Tensor) -> Tensor:
    return term.detach().to(torch.float32, copy=True).reshape(())  # a term may be a parameter


def memory_format(settings: Settings, device: torch.device) -> torch.memory_format:
    """The memory format of feature maps: bfloat16 convolutions on a CPU need a pixel's channels next to each other."""
    channels_last = settings.precision == "bf16" and computes_bf16(device)
    return torch.channels_last if channels_last else torch.preserve_format


def to_device(batch: Batch, device: torch.device, layout: torch.memory_format) -> dict[str, Tensor]:
    """Moves a batch to the device, and its images to the memory format."""
    return {
        key: values.to(device, non_blocking=True, memory_format=layout if values.ndim == 4 else torch.preserve_format)
        for key, values in batch.items()
    }


def compile_networks(players: Sequence[PlayerState]) -> None:
    """Marks the players' modules for compilation, in place; they are compiled when they are first called."""
    for player in players:
        assert isinstance(player.spec.modules, list)
        for module in player.spec.modules:
            if isinstance(module, nn.Module):
                module.compile()
