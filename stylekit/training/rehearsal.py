"""The rehearsal: plays every turn once on a real batch, before optimizers are created, and reports what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError, error_location, suggest
from stylekit.inference.options import sample_options, stylize_options
from stylekit.method import Batch, Method, Player, Turn
from stylekit.seeding import repeatable
from stylekit.training.common_options import extra_terms


def rehearse(method: Method, batch: Batch) -> dict[str, dict[str, float]]:
    """Plays every turn once on a batch, before optimizers are created; returns the loss terms by turn.

    Lazy layers and pools get their shapes; weights and buffers do not change.

    Raises:
        StylekitError: the batch lacks a key, the method lacks ``stylize`` or an inference module, a turn names an unknown
            player, a player has no turn, a turn returns no scalars or none with a gradient, two players backpropagate
            through one graph, or a player's parameter gets no gradient. The message names the cause.
    """
    kind = type(method).__name__
    for key in method.batch_keys:
        if key not in batch:
            raise StylekitError(f"{kind} needs {key!r} in a batch, but the data set provides only {', '.join(batch)}.")
    require_output(method)
    _require_preview(method)
    _require_inference_modules(method)
    batch = _Keys(kind, batch)
    before = {name: t.clone() for name, t in method.state_dict().items() if not nn.parameter.is_lazy(t)}
    repeated = repeatable()
    made = method(batch)
    players, turns = method.players(), method.turns()
    _require_players(kind, players, turns)
    losses: dict[str, dict[str, float]] = {}
    for name, player in players.items():
        played = {turn.name: _play(turn, method, batch, made) for turn in turns if turn.player == name}
        if further := extra_terms(method, name, batch, made, repeated):
            played["extra"] = further
        _rehearse_player(method, name, player, played)
        if not method.simultaneous:
            _count_as_updated(player)
        losses |= {
            turn: {term: float(value.detach()) for term, value in terms.items()} for turn, terms in played.items()
        }
    method.zero_grad(set_to_none=True)
    after = method.state_dict()
    method.load_state_dict({k: v for k, v in before.items() if v.shape == after[k].shape}, strict=False)
    return losses


class _Keys(dict[str, Tensor]):
    """A batch whose error for a missing key lists the keys that it has."""

    def __init__(self, kind: str, batch: Batch) -> None:
        super().__init__(batch)
        self.kind = kind

    def __missing__(self, key: str) -> Tensor:
        raise StylekitError(
            f"{self.kind} reads {key!r} from the batch, which has only {', '.join(self)}. Declare the keys that it needs: "
            f"batch_keys = ({', '.join(map(repr, [*self, key]))})."
        )


def require_output(method: Method) -> None:
    """Checks that a method can stylise or draw images.

    Raises:
        StylekitError: it defines neither ``stylize`` nor ``sample``, nor all of what their defaults call.
    """
    kind = type(method).__name__
    parts = ("stylize", "describe", "styles", "transfer", "sample", "codes", "sample_from")
    own = {name for name in parts if getattr(type(method), name) is not getattr(Method, name)}
    if own.isdisjoint({"describe", "styles", "stylize", "sample", "codes", "sample_from"}):
        raise StylekitError(
            f"The method {kind} must define stylize(content, style=None), describe(style) and transfer(content, style, "
            "strength), or sample(count), or codes(count) and sample_from(codes)."
        )
    if own & {"describe", "styles"} and "transfer" not in own:
        raise StylekitError(f"The method {kind} has styles, but does not define transfer(content, style, strength).")
    if len(own & {"codes", "sample_from"}) == 1:
        raise StylekitError(f"The method {kind} must define both codes(count) and sample_from(codes), or neither.")


def _require_preview(method: Method) -> None:
    known = stylize_options(method) if method.stylizes() else sample_options(method)
    required = [name for name, option in known.items() if option.required]
    if required and method.players() and type(method).preview is Method.preview:
        raise StylekitError(
            f"The method {type(method).__name__} requires the option {required[0]!r} for each image. Define preview(batch), "
            "which makes the sample grids of a run, or give the option a default."
        )


def _require_inference_modules(method: Method) -> None:
    kind = type(method).__name__
    known = {name.split(".")[0] for name in method.state_dict()} | dict(method.named_children()).keys()
    for name in method.inference_modules:
        if name not in known:
            raise StylekitError(
                f"The inference_modules of {kind} list {name!r}, but it has no such module. {suggest(name, known)}"
            )


def _require_players(kind: str, players: Mapping[str, Player], turns: Sequence[Turn]) -> None:
    if turns and not players:
        example = f'{{"{turns[0].player}": Player(self.net)}}'
        raise StylekitError(f"{kind} has turns but no players. Define players(), as in return {example}.")
    for name, player in players.items():
        if not isinstance(player, Player):
            raise StylekitError(
                f"The player {name!r} of {kind} is a {type(player).__name__}, not a Player. Return Player(module)."
            )
    for turn in turns:
        if turn.player not in players:
            raise StylekitError(
                f"The turn {turn.name!r} of {kind} is for an unknown player {turn.player!r}. {suggest(turn.player, players)}"
            )


def _play(turn: Turn, method: Method, batch: Batch, made: Any) -> Any:
    try:
        return turn.play(method, batch, made)
    except (AttributeError, TypeError) as error:
        kind = type(method)
        if made is not None or "NoneType" not in str(error):
            raise
        reason = "defines no forward(batch)" if kind.forward is Method.forward else "returns None from forward(batch)"
        raise StylekitError(
            f"The turn {turn.name!r} of {kind.__name__} failed ({error}{error_location(error)}). It receives None as its last "
            f"argument, because {kind.__name__} {reason}."
        ) from error


def _rehearse_player(method: Method, name: str, player: Player, played: Mapping[str, Any]) -> None:
    kind = type(method).__name__
    if not played:
        raise StylekitError(
            f"The player {name!r} of {kind} has no turn that trains it. Mark a function with @turn({name!r})."
        )
    if not player.parameters:
        raise StylekitError(f"The player {name!r} of {kind} has no parameter that requires a gradient (requires_grad).")
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
            "in that turn, detach() it, merge the players, or update all of them together: simultaneous = True."
        ) from error
    names = {parameter: path for path, parameter in method.named_parameters()}
    for parameter in player.parameters:
        if parameter.grad is None:
            raise StylekitError(
                f"The parameter {names.get(parameter, '?')!r} of the player {name!r} gets no gradient from any of its "
                "turns. Use it in a loss, or exclude it from the player with requires_grad_(False)."
            )


def _count_as_updated(player: Player) -> None:
    """Changes the version of the weights, as an update would, so that autograd rejects graphs that still need them."""
    with torch.no_grad():
        for parameter in player.parameters:
            parameter.add_(0)


def _require_terms(turn: str, player: str, terms: object) -> None:
    if not isinstance(terms, dict) or not terms:
        returned = "an empty dict" if isinstance(terms, dict) else type(terms).__name__
        raise StylekitError(f"The {turn} must return a dict of named scalar tensors, not {returned}.")
    for term, value in terms.items():
        if not isinstance(value, Tensor) or value.numel() != 1:
            actual = f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise StylekitError(f"The term {term!r} of the {turn} must be a scalar tensor, not {actual}.")
    if not any(value.requires_grad for value in terms.values()):
        raise StylekitError(
            f"The {turn} returns {', '.join(terms)} without a gradient, so the player {player!r} learns nothing from it. "
            "Do not compute the loss with no_grad, detach() or .item()."
        )
