"""Options of training that every method has: further losses, another schedule, and how its players learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError, suggest
from stylekit.method import Batch, Method, Player, constant, cosine, linear_decay, steps
from stylekit.registry.parts import Part, make, part_key
from stylekit.training.adversary import Adversary

Pair = tuple[Tensor, Tensor]
CHANGEABLE = ("clip", "clip_value", "lr", "update_every")
"""The values of a player that the option ``players`` may change."""
ATTRIBUTE = "common_options"
"""The attribute of a method that holds its :class:`CommonOptions`."""
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear_decay,
    "cosine": cosine,
    "steps": steps,
    "plateau": constant,  # times the factor of Plateau
}


def options(
    extra: tuple[Part, ...] = (),
    schedule: Literal["constant", "linear", "cosine", "steps", "plateau"] | None = None,
    warmup: float = 0.0,
    balance: float = 0.0,
    half_life: float | None = None,
    players: Mapping[str, Mapping[str, float]] = {},
) -> None:
    """The options of training that every method has.

    Args:
        extra: further losses that compare generated images with their contents, each with its weight (1 by default), as in
            ``[edges, {name: ssim, weight: 2}]``
        schedule: course of the learning rates: constant; linear, constant for the first half and then falling to zero;
            cosine, falling to zero; steps, a tenth after every third of the run; or plateau, a tenth whenever the player's
            mean loss has not fallen for 1,000 updates. By default, that of the method
        warmup: share of the run in which the learning rates rise from zero
        balance: a discriminator waits while its loss is below this, where 1 is that of one that cannot decide, and 0 the least
            that is possible; 0: never
        half_life: number of images after which older weights count half as much in the moving averages (Karras et al. 2018);
            by default, the decay per step that the method's ``ema`` states
        players: other values of a player, by its name: its learning rate ``lr``; the largest norm ``clip`` of its gradient, or
            the largest ``clip_value`` of each element; and ``update_every``, for an update at every n-th step only. As in
            ``{discriminator: {lr: 4e-4}, generator: {clip: 1, update_every: 5}}``
    """


class Extra(nn.Module):
    """Losses of images, by name.

    Args:
        specs: specifications of the losses; those with options may have a ``weight``
    """

    def __init__(self, specs: Sequence[Part]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        for spec in specs:
            given = dict(spec) if isinstance(spec, Mapping) else spec
            weight = given.pop("weight", 1.0) if isinstance(given, dict) else 1.0
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise StylekitError(f"The weight of an extra loss must be a number, not {weight!r}.")
            key = part_key(given, self.losses, "loss")
            self.losses[key], self.weights[key] = make("loss", given), weight

    def forward(
        self, pairs: Sequence[Pair], again: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    ) -> dict[str, Tensor]:
        """The terms of pairs of an output and its reference, each the mean over the pairs.

        Args:
            pairs: the pairs
            again: makes the outputs for other references
        """
        terms = {}
        for name, loss in self.losses.items():
            compared = _changed(loss, pairs, again) if hasattr(loss, "change") else pairs
            terms[name] = self.weights[name] * torch.stack([loss(*pair) for pair in compared]).mean()
        return terms


def _changed(loss: Any, pairs: Sequence[Pair], again: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> Sequence[Pair]:
    """The outputs for references that a loss changes, each with what it should be."""
    wanted, references = zip(*(loss.change(*pair) for pair in pairs), strict=True)
    return list(zip(again(references), wanted, strict=True))


class CommonOptions(nn.Module):
    """The values of :func:`options` for a run.

    Raises:
        StylekitError: a value is out of range.
    """

    def __init__(
        self,
        extra: Sequence[Part] = (),
        schedule: str | None = None,
        warmup: float = 0.0,
        balance: float = 0.0,
        half_life: float | None = None,
        players: Mapping[str, Mapping[str, float]] = {},
    ) -> None:
        super().__init__()
        for name, value in {"warmup": warmup, "balance": balance}.items():
            if not 0 <= value < 1:
                raise StylekitError(f"The option {name!r} is {value}, but must be at least 0 and below 1.")
        if half_life is not None and half_life <= 0:
            raise StylekitError(f"The option 'half_life' is {half_life}, but must be above 0.")
        self.extra = Extra(extra)
        self.schedule, self.warmup, self.balance, self.half_life = schedule, warmup, balance, half_life
        self.players = players

    def factor(self, own: Callable[[float], float], progress: float) -> float:
        """The factor on a player's learning rates, whose own schedule is given."""
        chosen = SCHEDULES[self.schedule](progress) if self.schedule else own(progress)
        return chosen * min(1.0, progress / self.warmup) if self.warmup else chosen

    def changed(self, players: Mapping[str, Player]) -> dict[str, Player]:
        """A method's players with the values of the option ``players``.

        Raises:
            StylekitError: there is no such player, or no such value, or it is out of range.
        """
        for name, values in self.players.items():
            if name not in players:
                raise StylekitError(f"There is no player {name!r}. {suggest(name, players)}")
            for key, value in values.items():
                if key not in CHANGEABLE:
                    raise StylekitError(f"A player has no value {key!r} to change. {suggest(key, CHANGEABLE)}")
                if key == "update_every" and not (1 <= value < math.inf and value == int(value)):
                    raise StylekitError(f"A player's update_every is {value}, but must be a whole number from 1 on.")
        return {name: _with(player, self.players.get(name, {})) for name, player in players.items()}


def _with(player: Player, values: Mapping[str, float]) -> Player:
    whole = {"update_every": int(values["update_every"])} if "update_every" in values else {}
    return replace(player, **{**values, **whole})  # type: ignore[arg-type]


def common_options(method: Method) -> CommonOptions | None:
    """The options of a method's run, if any were given."""
    found = getattr(method, ATTRIBUTE, None)
    return found if isinstance(found, CommonOptions) else None


def extra_terms(
    method: Method,
    player: str,
    batch: Batch,
    made: Any,
    repeated: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Tensor]:
    """The terms of the extra losses for a player, ``extra/NAME``; none if there are no such losses.

    Args:
        method: the method
        player: name of the player
        batch: the batch of the step
        made: what the method's ``forward`` returned for it
        repeated: opens a block in which ``forward`` draws the same random numbers again

    Raises:
        StylekitError: the method does not say which images it generates.
    """
    common = common_options(method)
    if common is None or not common.extra.losses:
        return {}
    outputs = method.outputs(batch, made)
    if not outputs:
        raise StylekitError(
            f"{type(method).__name__} does not say which images it generates, so it accepts no --set extra. Define "
            "outputs(batch, made) in it."
        )
    pairs = outputs.get(player)
    if not pairs:
        return {}

    def again(references: Sequence[Tensor]) -> Sequence[Tensor]:
        changed = {id(old): new for (_, old), new in zip(pairs, references, strict=True)}
        if len(changed) < len(pairs) or not changed.keys() <= {id(image) for image in batch.values()}:
            raise StylekitError(
                f"{type(method).__name__} generates several images from one, or from images that are not in the batch, so it "
                "cannot generate again from changed ones. Return an image of the batch with each output in outputs(batch, "
                "made), or leave losses that change them out of --set extra."
            )
        other = {key: changed.get(id(image), image) for key, image in batch.items()}
        with repeated():
            remade = method(other)
        return [output for output, _ in method.outputs(other, remade)[player]]

    return {f"extra/{name}": term for name, term in common.extra(pairs, again).items()}


def waits(method: Method, modules: Any, average: Callable[[list[Tensor]], None] = lambda tensors: None) -> bool:
    """Whether a player waits at this step, because its discriminators win: see ``balance``.

    Args:
        method: the method
        modules: the modules of the player
        average: averages tensors over the processes of the run, in place, so that all decide alike
    """
    common = common_options(method)
    if common is None or not common.balance:
        return False
    adversaries = [part for module in modules if isinstance(module, nn.Module) for part in module.modules()]
    doubts = [part.doubt for part in adversaries if isinstance(part, Adversary) and part.doubt is not None]
    if not doubts:
        return False
    largest = torch.stack(doubts).max().clone()
    average([largest])
    return float(largest) < common.balance
