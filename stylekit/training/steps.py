"""One training step, and what it needs of the device: where images are, and how networks lie in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
    watch: Callable[[Batch, Any], None] = lambda batch, made: None,
    parts: int = 1,
) -> dict[str, Tensor]:
    """Trains one step and returns its loss terms by ``turn/term``, on the device, without waiting for them.

    Args:
        method: the method
        players: the state of its players
        batch: the batch
        index: number of the step, from 0
        total: number of steps of the run
        runtime: the devices
        watch: called with the batch, or the first part of it, and with what ``forward`` returned for it
        parts: number of parts of the batch, which are computed one after the other. If there are several, all players are
            updated at the end, as those of a ``simultaneous`` method
    """
    for part in method.modules():
        if hasattr(part, "progress"):
            part.progress = index / total  # type: ignore[assignment]
    due = [(player, turns) for player in players if (turns := player.due(index))]
    losses: list[dict[str, Tensor]] = []
    at_once = parts == 1 and not method.simultaneous
    for number, each in enumerate(_divided(batch, parts)):
        repeated = repeatable()
        with runtime.autocast():
            made = method(each)
        if number == 0:
            watch(each, made)
        losses.append({})
        for player, turns in due:
            with runtime.autocast():
                played = {turn: turn.play(method, each, made) for turn in turns}
                further = extra_terms(method, player.name, each, made, repeated)
            losses[-1] |= _loss_terms(played) | {name: _logged(term) for name, term in further.items()}
            scaled = [turn.interval * term.reshape(()) for turn, terms in played.items() for term in terms.values()]
            scaled += further.values()
            if waits(method, player.spec.modules, runtime.average):
                continue
            loss = torch.stack(scaled).sum() / parts
            # Only this player's parameters receive gradients, so the other players are not affected.
            loss.backward(inputs=player.parameters, retain_graph=method.simultaneous and player is not due[-1][0])
            if player.plateau:
                player.plateau.observe(loss * parts, runtime.average)
            if at_once:
                _update(player, index, method, runtime)
    for player, _ in () if at_once else due:
        _update(player, index, method, runtime)
    return (
        losses[0] if parts == 1 else {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}
    )


def _divided(batch: Batch, parts: int) -> Iterator[Batch]:
    """Equal parts of a batch, whose size is a multiple of their number."""
    if parts == 1:
        yield batch
        return
    divided = {key: values.chunk(parts) for key, values in batch.items()}
    for number in range(parts):
        yield {key: values[number] for key, values in divided.items()}


def _update(player: PlayerState, index: int, method: Method, runtime: Runtime) -> None:
    runtime.average_gradients(player.parameters)
    player.update(index, method.progress)


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
