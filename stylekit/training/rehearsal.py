"""The rehearsal: every turn is played once on a real batch before there are optimisers, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError, suggest
from stylekit.inference.options import sample_options, stylize_options
from stylekit.method import Batch, Method, Player, Turn


def rehearse(method: Method, batch: Batch) -> dict[str, dict[str, float]]:
    """Plays every turn once on a batch, before there are optimisers; gives the loss terms by turn.

    Lazy layers and pools get their shapes; weights and buffers stay as they were.

    Raises:
        StylekitError: the batch lacks a key, the method lacks ``stylize`` or ships what it does not have, a turn names no
            player, a player has no turn, a turn gives no scalars or none with a gradient, two players learn through one
            graph, or a player's parameter gets no gradient. Each is named.
    """
    kind = type(method).__name__
    for key in method.batch_keys:
        if key not in batch:
            raise StylekitError(f"{kind} needs {key!r} in a batch, and the data set gives only {', '.join(batch)}.")
    require_output(method)
    _require_preview(method)
    _require_inference_modules(method)
    batch = _Keys(kind, batch)
    before = {name: t.clone() for name, t in method.state_dict().items() if not nn.parameter.is_lazy(t)}
    made = method(batch)
    players, turns = method.players(), method.turns()
    _require_players(kind, players, turns)
    losses: dict[str, dict[str, float]] = {}
    for name, player in players.items():
        played = {turn.name: turn.play(method, batch, made) for turn in turns if turn.player == name}
        _rehearse_player(method, name, player, played)
        if not method.simultaneous:
            _move(player)
        losses |= {
            turn: {term: float(value.detach()) for term, value in terms.items()} for turn, terms in played.items()
        }
    method.zero_grad(set_to_none=True)
    now = method.state_dict()
    method.load_state_dict({k: v for k, v in before.items() if v.shape == now[k].shape}, strict=False)
    return losses


class _Keys(dict[str, Tensor]):
    """A batch that says which keys it has when it is asked for another."""

    def __init__(self, kind: str, batch: Batch) -> None:
        super().__init__(batch)
        self.kind = kind

    def __missing__(self, key: str) -> Tensor:
        raise StylekitError(
            f"{self.kind} asks its batch for {key!r}, which has only {', '.join(self)}. Name what it needs, as in "
            f"batch_keys = ({', '.join(map(repr, [*self, key]))})."
        )


def require_output(method: Method) -> None:
    """Refuses a method that lacks what makes images.

    Raises:
        StylekitError: it defines neither ``stylize`` nor ``sample``, and what the former follows from is incomplete.
    """
    kind = type(method).__name__
    parts = ("stylize", "describe", "styles", "transfer", "sample")
    own = {name for name in parts if getattr(type(method), name) is not getattr(Method, name)}
    if own.isdisjoint({"describe", "styles", "stylize", "sample"}):
        raise StylekitError(
            f"The method {kind} defines none of stylize(content, style=None), describe(style) and transfer(content, style, "
            "strength), or sample(count)."
        )
    if own & {"describe", "styles"} and "transfer" not in own:
        raise StylekitError(f"The method {kind} has styles, and does not define transfer(content, style, strength).")


def _require_preview(method: Method) -> None:
    known = {**stylize_options(method), **sample_options(method)}
    required = [name for name, option in known.items() if option.required]
    if required and method.players() and type(method).preview is Method.preview:
        raise StylekitError(
            f"The method {type(method).__name__} requires the option {required[0]!r} for each image: define preview(batch), "
            "which makes the sample sheets of a run, or give the option a default."
        )


def _require_inference_modules(method: Method) -> None:
    kind = type(method).__name__
    known = {name.split(".")[0] for name in method.state_dict()} | dict(method.named_children()).keys()
    for name in method.inference_modules:
        if name not in known:
            raise StylekitError(
                f"inference_modules of {kind} names {name!r}, which it does not have. {suggest(name, known)}"
            )


def _require_players(kind: str, players: Mapping[str, Player], turns: Sequence[Turn]) -> None:
    if turns and not players:
        named = f'{{"{turns[0].player}": Player(self.net)}}'
        raise StylekitError(f"{kind} has turns and no players: define players(), as in return {named}.")
    for name, player in players.items():
        if not isinstance(player, Player):
            raise StylekitError(
                f"The player {name!r} of {kind} is of the type {type(player).__name__}: give Player(module)."
            )
    for turn in turns:
        if turn.player not in players:
            raise StylekitError(
                f"The turn {turn.name!r} of {kind} is for {turn.player!r}. {suggest(turn.player, players)}"
            )


def _rehearse_player(method: Method, name: str, player: Player, played: Mapping[str, Any]) -> None:
    kind = type(method).__name__
    if not played:
        raise StylekitError(f"The player {name!r} of {kind} has no turn: nothing moves it.")
    if not player.parameters:
        raise StylekitError(f"The player {name!r} of {kind} has no parameter that learns (requires_grad).")
    for turn, terms in played.items():
        _require_terms(f"turn {turn!r} of {kind}", name, terms)
    scalars = [term.reshape(()) for terms in played.values() for term in terms.values()]
    try:
        torch.stack(scalars).sum().backward(inputs=player.parameters, retain_graph=method.simultaneous)
    except RuntimeError as error:
        if "second time" not in str(error) and "inplace operation" not in str(error):
            raise
        raise StylekitError(
            f"The player {name!r} of {kind} backpropagates through a tensor that another player already used. Recompute it "
            "in that turn, detach() it, merge the players, or let all move together: simultaneous = True."
        ) from error
    names = {parameter: path for path, parameter in method.named_parameters()}
    for parameter in player.parameters:
        if parameter.grad is None:
            raise StylekitError(
                f"The parameter {names.get(parameter, '?')!r} of the player {name!r} gets no gradient from any of its "
                "turns. Use it in a loss, or leave it out of the player (requires_grad_(False))."
            )


def _move(player: Player) -> None:
    """As an update would, tells graphs that are still needed that the weights have changed since."""
    with torch.no_grad():
        for parameter in player.parameters:
            parameter.add_(0)


def _require_terms(turn: str, player: str, terms: object) -> None:
    if not isinstance(terms, dict) or not terms:
        gave = "an empty dict" if isinstance(terms, dict) else type(terms).__name__
        raise StylekitError(f"The {turn} must return a dict of named scalar tensors, and gave {gave}.")
    for term, value in terms.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            was = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise StylekitError(f"The term {term!r} of the {turn} must be a scalar tensor, and is {was}.")
    if not any(value.requires_grad for value in terms.values()):
        raise StylekitError(
            f"The {turn} gives {', '.join(terms)} without a gradient, so the player {player!r} learns nothing from it. "
            "Leave no_grad, detach() and .item() out of what it is to learn through."
        )
