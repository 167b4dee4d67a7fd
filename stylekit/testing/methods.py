"""What a method must do: play its game, stylise any picture, and come back exactly the same from a file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.inference import model, model_files
from stylekit.method import Method
from stylekit.registry.parts import make
from stylekit.seeding import seeded
from stylekit.testing.devices import TENSORS, Called, require_float64, require_moves
from stylekit.testing.graphs import require_exports
from stylekit.testing.kit import Check, Subject, require, unwrap_partial
from stylekit.testing.options import OPTIONS
from stylekit.testing.pictures import (
    BATCHES,
    ODD,
    SIDE,
    difference,
    drawn,
    equal,
    first_difference,
    min_size,
    parameters_of,
    pictures,
    require_image,
    require_shape,
)
from stylekit.training import checkpoint
from stylekit.training.distributed import Runtime
from stylekit.training.engine import step
from stylekit.training.player_state import PlayerState, player_states
from stylekit.training.rehearsal import rehearse, require_stylize


def _builds(subject: Subject) -> str:
    method = subject.build()
    require(isinstance(method, Method), "A method must be a subclass of stylekit.Method.")
    return parameters_of(method)


def _batch(method: Method, count: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    side = min_size(method)
    return {key: pictures(count, side, side, which=key).to(dtype) for key in method.batch_keys}


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


def _gradients(subject: Subject) -> str:
    method = _ready(subject)
    moved = dict.fromkeys(method.players(), False)
    for count in (2, 3):
        with seeded("gradients", count):
            batch = _batch(method, count)
            made = method(batch)
            for player in player_states(method):
                terms = [term.sum() for turn in player.turns for term in turn.play(method, batch, made).values()]
                slopes = torch.autograd.grad(torch.stack(terms).sum(), player.parameters, allow_unused=True)
                moved[player.name] |= any(bool(slope.any()) for slope in slopes if slope is not None)
    # One parameter alone may be still for good reason, such as a gate that starts closed.
    still = " and ".join(repr(name) for name, moves in moved.items() if not moves)
    require(
        not still, f"Every gradient of the player {still} is zero, so it learns nothing: round() and sign() have none."
    )
    return ""


def _directions(method: Method) -> Iterator[tuple[str, Any]]:
    """``stylize`` for each direction, and what to call it."""
    for direction in method.directions or (None,):
        given = {} if direction is None else {"direction": direction}
        what = "stylize(content)" if direction is None else f"stylize(content, direction={direction!r})"
        yield what, lambda content, style, given=given: method.stylize(content, style, **given)


def _stylised(subject: Subject, count: int, height: int, width: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Stylises pictures in each direction: what to call it, the pictures, and what became of them.

    Before any rehearsal, whose turns would meet an output of a wrong size in words of their own.
    """
    method = subject.build().eval()
    require_stylize(method)
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


@torch.no_grad()
def _styles(subject: Subject) -> str:
    """A method that describes styles: what it takes from them, and what it makes of their averages."""
    method = subject.build().eval()
    if not method.takes_styles():
        return ""
    for count, height, width in ((BATCHES[-1], SIDE, SIDE), (1, *ODD), (1, 1, 1)):
        given = method.describe(pictures(count, height, width, which="style"))
        _require_statistics(given, count, f"describe(style) of {count} x {height} x {width}")
    rows = method.describe(pictures(2, which="style"))
    average = {name: each.mean(0, keepdim=True) for name, each in rows.items()}
    content = pictures(2)
    for style, what in ((rows, "of each picture's own style"), (average, "of the average of two styles")):
        for strength in (1.0, 0.5):
            out = drawn(lambda x, style=style, strength=strength: method.transfer(x, style, strength), (content,))
            require_image(out, content, f"transfer(content, style, {strength}) {what}")
    _require_described_by(method)
    return f"styles of {sum(each[0].numel() for each in rows.values()):,} numbers"


def _require_statistics(given: Any, count: int, what: str) -> None:
    require(isinstance(given, Mapping) and len(given) > 0, f"{what} must return tensors by name, {{name: (N, ...)}}.")
    for name, each in given.items():
        require(
            isinstance(each, Tensor) and each.is_floating_point() and each.ndim > 0 and len(each) == count,
            f"{name!r} in {what} must be a float tensor with a row for each picture, {count} in all.",
        )
        require(bool(each.isfinite().all()), f"{name!r} in {what} has NaN or infinity.")


def _require_described_by(method: Method) -> None:
    known = {name.split(".")[0] for name in method.state_dict()} | dict(method.named_children()).keys()
    for name in method.style_modules:
        require(
            name in known,
            f"style_modules names {name!r}, which it does not have: name the submodules whose weights describe uses, or none, "
            "style_modules = ().",
        )
    style = pictures(1, which="style")
    before = drawn(method.describe, (style,))
    for name, tensor in method.state_dict().items():
        if name.split(".")[0] not in method.style_modules and tensor.is_floating_point():
            tensor.add_(0.1)
            require(
                equal(before, drawn(method.describe, (style,))),
                f"describe uses {name!r}, which style_modules leaves out: name its submodule there too.",
            )


def _look(method: Method) -> list[Tensor]:
    """What the method makes of a picture, in each direction, with one draw of random numbers."""
    method.eval()
    with torch.no_grad():
        return [drawn(stylize, (pictures(1), pictures(1, which="style"))) for _, stylize in _directions(method)]


def _same(looks: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(looks, others, strict=True))


def _twice(subject: Subject) -> str:
    method = _ready(subject)
    require(
        _same(_look(method), _look(method)),
        "stylize must give the same twice, in eval mode: draw with torch's own functions, which are seeded.",
    )
    return ""


def _threads(subject: Subject) -> str:
    method = _ready(subject).eval()
    if not method.thread_safe:
        return ""
    style = pictures(1, which="style")
    contents = [pictures(1, SIDE + 8 * number) for number in range(8)]
    for what, stylize in _directions(method):
        quiet = torch.no_grad()(stylize)
        alone = [drawn(quiet, (content, style)) for content in contents]
        require(
            all(equal(out, drawn(quiet, (content, style), 1)) for content, out in zip(contents, alone, strict=True)),
            f"{what} draws random numbers, whose generators threads share: leave thread_safe False.",
        )
        with ThreadPoolExecutor(4) as pool:
            at_once = list(pool.map(quiet, contents, [style] * len(contents)))
        require(
            all(
                out.shape == own.shape and difference(out, own) < 1e-3 for out, own in zip(at_once, alone, strict=True)
            ),
            f"{what} gives other pictures when threads call it at once: keep nothing on the method or its parts between "
            "lines that another call changes, or leave thread_safe False.",
        )
    return "threads at once"


def _seats(subject: Subject, draw: int = 0) -> tuple[Method, list[PlayerState]]:
    method = _ready(subject, draw)
    return method, player_states(method)


def _play(method: Method, players: list[PlayerState], steps: range) -> dict[str, float]:
    """Plays steps of three as a run does, in one process on the CPU; gives the last one's losses."""
    runtime = Runtime(SimpleNamespace(device=torch.device("cpu"), global_rank=0, world_size=1, autocast=nullcontext))
    losses: dict[str, float] = {}
    for index in steps:
        with seeded("step", index):
            losses = step(method, players, _batch(method), index, 3, runtime)
    return losses


def _seed(subject: Subject) -> str:
    (method, players), (again, others) = _seats(subject), _seats(subject)
    name = first_difference(method.state_dict(), again.state_dict())
    cure = "draw with torch's, NumPy's or random's own functions, which are seeded."
    require(name is None, f"{name!r} differs between two builds of one seed: {cure}")
    if players:
        require(
            _play(method, players, range(1)) == _play(again, others, range(1)),
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
        model_files.save_model(method, subject.name, path)
        try:
            loaded = model.load(path, device="cpu", method=subject.target).method
        except StylekitError as error:
            raise StylekitError(str(error).replace(str(path), "A saved model")) from error
    left = _left_out(method)
    require(
        not left,
        f"stylize needs {' and '.join(map(repr, left))}, which inference_modules leaves out: name it there too.",
    )
    require(
        _same(looks, _look(loaded)),
        "A saved and loaded method stylises otherwise: keep what it draws or learns in parameters or buffers.",
    )
    return "saves and loads"


def _left_out(method: Method) -> list[str]:
    """The submodules that ``stylize`` needs, and ``inference_modules`` does not name."""
    left = []
    for name, module in dict(method.named_children()).items():
        if method.inference_modules and name not in method.inference_modules:
            setattr(method, name, nn.Module())  # which can do nothing
            try:
                _look(method)
            except Exception:
                left.append(name)
            setattr(method, name, module)
    return left


def _resumed(subject: Subject) -> str:
    method, players = _seats(subject)
    if not players:
        return ""
    _play(method, players, range(3))
    interrupted, before = _seats(subject)
    _play(interrupted, before, range(2))
    again, others = _seats(subject, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save_checkpoint(
            Path(folder), 2, interrupted, {player.name: player.state() for player in before}, {}
        )
        done, states = checkpoint.load_checkpoint(path, again)
        for player in others:
            player.restore(states[player.name], path)
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
    for what, stylize in _directions(method):
        require_float64(method, torch.no_grad()(stylize), (pictures(1), pictures(1, which="style")), what)
    return ""


def _device(subject: Subject) -> str:
    method = _ready(subject)
    for turn in method.turns():

        def play(*images: Tensor, turn: Any = turn) -> Any:
            batch = dict(zip(method.batch_keys, images, strict=True))
            return turn.play(method, batch, method(batch))

        require_moves(Called(method, play), tuple(_batch(method).values()), f"the turn {turn.name!r}")
    method.eval()
    if not method.exportable and not torch.cuda.is_available():
        return ""  # an optimisation goes backward, and without a device there are only tensors without values
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
    presets = getattr(unwrap_partial(subject.target), "presets", {})
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


_SIZE, _PLAYS = ("size and range",), ("rehearsal",)

METHOD = (
    Check("builds", _builds),
    OPTIONS,
    TENSORS,
    Check("size and range", _size),
    Check("odd sizes", _odd, after=_SIZE),
    Check("styles", _styles, after=_SIZE),
    Check("rehearsal", _rehearsal, after=_SIZE),
    Check("gradients", _gradients, after=_PLAYS),
    Check("repeated", _twice, after=_PLAYS),
    Check("threads", _threads, after=("repeated", *_PLAYS)),
    Check("seed", _seed, after=_PLAYS),
    Check("save and load", _saved, after=("options", "tensors", "repeated", *_PLAYS)),
    Check("resume", _resumed, after=_PLAYS),
    Check("float64", _float64, after=("tensors", *_PLAYS)),
    Check("devices", _device, after=("tensors", *_PLAYS)),
    Check("export", _exported, after=_PLAYS),
    Check("presets", _presets),
)
