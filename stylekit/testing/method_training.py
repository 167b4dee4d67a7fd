"""Checks of training a method: every player learns, seeds make steps reproducible, and checkpoints resume exactly."""

from __future__ import annotations

import math
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import torch

from stylekit.method import Method
from stylekit.seeding import seeded
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.method_calls import batch, prepared, ready
from stylekit.testing.pictures import BATCHES, first_difference
from stylekit.training import checkpoint
from stylekit.training.distributed import Runtime
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.rehearsal import rehearse
from stylekit.training.steps import step

STEPS, STOPPED = 3, 2
"""Steps of a run, and those before it is interrupted."""


def _rehearsal(subject: Subject) -> str:
    method = prepared(subject.build())
    for count in BATCHES:
        for name, terms in rehearse(method, batch(method, count)).items():
            for term, value in terms.items():
                require(math.isfinite(value), f"The term {term!r} of the turn {name!r} is {value}.")
    return f"turns {', '.join(turn.name for turn in method.turns())}" if method.turns() else "no turns"


def _gradients(subject: Subject) -> str:
    method = ready(subject)
    nonzero = dict.fromkeys(method.players(), False)
    for count in (2, 3):
        with seeded("gradients", count):
            example = batch(method, count)
            made = method(example)
            for player in player_states(method):
                terms = [term.sum() for turn in player.turns for term in turn.play(method, example, made).values()]
                total = torch.stack(terms).sum()
                grads = torch.autograd.grad(
                    total, player.parameters, allow_unused=True, retain_graph=method.simultaneous
                )
                nonzero[player.name] |= any(bool(grad.any()) for grad in grads if grad is not None)
    # A single parameter may have a zero gradient for a good reason, such as a gate that starts closed.
    zero = " and ".join(repr(name) for name, learns in nonzero.items() if not learns)
    require(
        not zero,
        f"All gradients of the player {zero} are zero, so it does not learn: avoid round() and sign(), which have no gradient.",
    )
    return ""


def _players(subject: Subject, draw: int = 0) -> tuple[Method, list[PlayerState]]:
    method = ready(subject, draw)
    return method, player_states(method)


def _train(method: Method, players: list[PlayerState], steps: range) -> dict[str, float]:
    """Trains some of the steps of a run, in one process on the CPU; returns the last losses."""
    runtime = Runtime(SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=nullcontext))
    losses: dict[str, float] = {}
    for index in steps:
        with seeded("step", index):
            terms = step(method, players, batch(method), index, STEPS, runtime)
            losses = {name: float(term) for name, term in terms.items()}
    return losses


def _seed(subject: Subject) -> str:
    (method, players), (again, others) = _players(subject), _players(subject)
    name = first_difference(method.state_dict(), again.state_dict())
    cure = "draw random numbers with the functions of torch, NumPy or random, whose generators are seeded."
    require(name is None, f"{name!r} differs between two builds with the same seed: {cure}")
    if players:
        require(
            _train(method, players, range(1)) == _train(again, others, range(1)),
            f"A training step returns other losses when repeated with the same seed: {cure}",
        )
        name = first_difference(method.state_dict(), again.state_dict())
        require(name is None, f"{name!r} differs after repeating a training step with the same seed: {cure}")
    return ""


def _resumed(subject: Subject) -> str:
    method, players = _players(subject)
    if not players:
        return ""
    _train(method, players, range(STEPS))
    interrupted, before = _players(subject)
    _train(interrupted, before, range(STOPPED))
    again, others = _players(subject, 1)
    with tempfile.TemporaryDirectory() as folder:
        states = {player.name: player.state() for player in before}
        path = checkpoint.save_checkpoint(Path(folder), STOPPED, interrupted, states, {})
        done, restored = checkpoint.load_checkpoint(path, again)
        for player in others:
            player.restore(restored[player.name], path)
    _train(again, others, range(done, STEPS))
    name = first_difference(method.state_dict(), again.state_dict())
    require(
        name is None,
        f"{name!r} differs when training is resumed from a checkpoint: keep everything that changes during training in "
        "parameters or buffers, not in plain attributes.",
    )
    return "resumes exactly"


_TRAINS = ("rehearsal",)

TRAINING = (
    Check("rehearsal", _rehearsal, after=("size and range",)),
    Check("gradients", _gradients, after=_TRAINS),
    Check("seed", _seed, after=_TRAINS),
    Check("resume", _resumed, after=_TRAINS),
)
