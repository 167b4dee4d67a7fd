"""What a method must do: play its game, stylise any picture, and come back exactly the same from a file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from stylekit import checkpoint, model
from stylekit.engine import rehearse, step
from stylekit.errors import StylekitError
from stylekit.method import Method
from stylekit.parts import make
from stylekit.runtime import Runtime
from stylekit.seats import Seat, seat_players
from stylekit.seeding import seeded
from stylekit.testing.devices import Called, require_float64, require_moves
from stylekit.testing.graphs import require_exports
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import (
    BATCHES,
    ODD,
    SIDE,
    first_difference,
    least_side,
    pictures,
    require_image,
    require_shape,
)


def _builds(subject: Subject) -> str:
    method = subject.build()
    require(isinstance(method, Method), "A method must be a subclass of stylekit.Method.")
    return f"{sum(p.numel() for p in method.parameters()):,} parameters"


def _batch(method: Method, count: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    side = least_side(method)
    return {key: pictures(count, side, side, which=key).to(dtype) for key in method.needs}


def _ready(subject: Subject, draw: int = 0) -> Method:
    """The method, built and rehearsed, as before the first step."""
    method: Method = subject.build(draw)
    with seeded("rehearsal"):
        rehearse(method, _batch(method))
    return method


def _rehearsal(subject: Subject) -> str:
    method = subject.build()
    for count in BATCHES:
        for name, terms in rehearse(method, _batch(method, count)).items():
            for term, value in terms.items():
                require(math.isfinite(value), f"The term {term!r} of the turn {name!r} is {value}.")
    return f"turns {', '.join(turn.name for turn in method.turns())}" if method.turns() else "no turns"


def _directions(method: Method) -> Iterator[tuple[str, Any]]:
    """``stylize`` for each direction, and what to call it."""
    for direction in method.directions or (None,):
        given = {} if direction is None else {"direction": direction}
        what = "stylize(content)" if direction is None else f"stylize(content, direction={direction!r})"
        yield what, lambda content, style, given=given: method.stylize(content, style, **given)


def _stylised(subject: Subject, count: int, height: int, width: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Stylises pictures in each direction: what to call it, the pictures, and what became of them."""
    method = _ready(subject).eval()
    content, style = pictures(count, height, width), pictures(count, height, width, which="style")
    for what, stylize in _directions(method):
        given = content.clone()
        with torch.no_grad():
            out = stylize(given, style)
        require(torch.equal(given, content), f"{what} changes its input: work on a copy, content.clone().")
        yield what, content, out


def _size(subject: Subject) -> str:
    for count in BATCHES:
        for what, content, out in _stylised(subject, count, SIDE, SIDE):
            require_image(out, content, what)
    return ""


def _odd(subject: Subject) -> str:
    for what, content, out in _stylised(subject, 1, *ODD):
        require_shape(out, content, what)
    return f"keeps {ODD[0]}x{ODD[1]}"


def _look(method: Method) -> list[Tensor]:
    """What the method makes of a picture, in each direction."""
    content, style = pictures(1), pictures(1, which="style")
    method.eval()
    with torch.no_grad():
        return [stylize(content, style) for _, stylize in _directions(method)]


def _same(looks: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(looks, others, strict=True))


def _twice(subject: Subject) -> str:
    method = _ready(subject)
    require(_same(_look(method), _look(method)), "stylize must give the same twice, in eval mode.")
    return ""


def _seats(subject: Subject, draw: int = 0) -> tuple[Method, list[Seat]]:
    method = _ready(subject, draw)
    return method, seat_players(method)


def _play(method: Method, seats: list[Seat], steps: range) -> dict[str, float]:
    """Plays steps of three as a run does, in one process on the CPU; gives the last one's losses."""
    runtime = Runtime(SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=nullcontext))
    losses: dict[str, float] = {}
    for index in steps:
        with seeded("step", index):
            losses = step(method, seats, _batch(method), index, 3, runtime)
    return losses


def _seed(subject: Subject) -> str:
    (method, seats), (again, others) = _seats(subject), _seats(subject)
    name = first_difference(method.state_dict(), again.state_dict())
    cure = "draw with torch's, NumPy's or random's own functions, which are seeded."
    require(name is None, f"{name!r} differs between two builds of one seed: {cure}")
    if seats:
        require(
            _play(method, seats, range(1)) == _play(again, others, range(1)),
            f"A training step gives other losses when it is repeated with the same seed: {cure}",
        )
        name = first_difference(method.state_dict(), again.state_dict())
        require(name is None, f"{name!r} differs after a training step that is repeated with the same seed: {cure}")
    return ""


def _saved(subject: Subject) -> str:
    method = _ready(subject)
    looks = _look(method)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(method, subject.name, path)
        try:
            loaded = model.load(path, device="cpu", method=subject.target).method
        except StylekitError as error:
            raise StylekitError(str(error).replace(str(path), "A saved model")) from error
    require(
        _same(looks, _look(loaded)),
        "A saved and loaded method stylises otherwise: keep what it draws or learns in parameters or buffers, and name in "
        "ships every submodule that stylize needs.",
    )
    return "saves and loads"


def _resumed(subject: Subject) -> str:
    method, seats = _seats(subject)
    if not seats:
        return ""
    _play(method, seats, range(3))
    interrupted, before = _seats(subject)
    _play(interrupted, before, range(2))
    again, others = _seats(subject, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), 2, interrupted, {seat.name: seat.state() for seat in before}, {})
        done, states = checkpoint.load(path, again)
        for seat in others:
            seat.restore(states[seat.name], path)
    _play(again, others, range(done, 3))
    name = first_difference(method.state_dict(), again.state_dict())
    require(
        name is None,
        f"{name!r} comes out otherwise when training goes on from a checkpoint: keep all that changes in training in "
        "parameters or buffers, not in plain attributes.",
    )
    return "resumes exactly"


def _float64(subject: Subject) -> str:
    method = _ready(subject).eval()
    singles = _look(method)
    content, style = pictures(1).double(), pictures(1, which="style").double()
    method.double()
    for single, (what, stylize) in zip(singles, _directions(method), strict=True):

        @torch.no_grad()
        def call(dtype: torch.dtype, single: Tensor = single, stylize: Any = stylize) -> Any:
            return single if dtype == torch.float32 else stylize(content, style)

        require_float64(call, what)
    return ""


def _device(subject: Subject) -> str:
    method = _ready(subject)
    for turn in method.turns():

        def play(*images: Tensor, turn: Any = turn) -> Any:
            batch = dict(zip(method.needs, images, strict=True))
            return turn.play(method, batch, method(batch))

        require_moves(Called(method, play), tuple(_batch(method).values()), f"the turn {turn.name!r}")
    method.eval()
    for what, stylize in _directions(method):
        require_moves(Called(method, stylize), (pictures(1), pictures(1, which="style")), what)
    return ""


def _exported(subject: Subject) -> str:
    method = _ready(subject).eval()
    if not method.exportable:
        return "not exportable, as it says"
    cure = "Let stylize ask for no values (.item(), if on a tensor), or say exportable = False."
    for what, stylize in _directions(method):
        require_exports(Called(method, stylize), (pictures(1), pictures(1, which="style")), what, cure)
    return "exports"


def _presets(subject: Subject) -> str:
    presets = getattr(subject.target, "presets", {})
    for name, arguments in presets.items():
        try_preset(subject.target, name, arguments)
    return f"presets {', '.join(presets)}" if presets else ""


def try_preset(method: Any, name: str, arguments: Any) -> None:
    """Builds a method with a preset, without memory for its weights where that can be.

    Raises:
        StylekitError: it cannot be built.
    """
    try:
        try:
            with torch.device("meta"):
                make("method", method, **arguments)
        except Exception:  # it looks at values, which are not there
            make("method", method, **arguments)
    except Exception as error:
        raise StylekitError(f"The preset {name!r} does not fit: {error}") from error


METHOD = (
    Check("builds", _builds),
    OPTIONS,
    Check("rehearsal", _rehearsal),
    Check("size and range", _size),
    Check("odd sizes", _odd),
    Check("repeated", _twice),
    Check("seed", _seed),
    Check("save and load", _saved),
    Check("resume", _resumed),
    Check("float64", _float64),
    Check("devices", _device),
    Check("export", _exported),
    Check("presets", _presets),
)
