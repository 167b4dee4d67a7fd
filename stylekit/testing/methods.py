"""What a method must do: stylise any image, train, and come back exactly the same from a file."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylekit.errors import StylekitError
from stylekit.inference import model, model_files
from stylekit.inference.options import sample_options, stylize_options
from stylekit.method import Method
from stylekit.registry.parts import make
from stylekit.registry.schema import arguments, unwrap_partial, validate_arguments
from stylekit.seeding import seeded
from stylekit.testing.devices import TENSORS, Called, require_float64, require_moves
from stylekit.testing.graphs import require_exports
from stylekit.testing.kit import Check, Subject, require
from stylekit.testing.method_calls import batch, calls, choices, fill, outputs, ready, same
from stylekit.testing.method_training import TRAINING
from stylekit.testing.options import OPTIONS, undescribed
from stylekit.testing.pictures import (
    BATCHES,
    ODD,
    SIDE,
    difference,
    drawn,
    equal,
    parameters_of,
    pictures,
    require_image,
    require_shape,
)
from stylekit.training.rehearsal import require_output


def _builds(subject: Subject) -> str:
    method = subject.build()
    require(isinstance(method, Method), "A method must be a subclass of stylekit.Method.")
    return parameters_of(method)


RESERVED = {
    name
    for call in (
        model.Model.stylize,
        model.Model.stylize_picture,
        model.Model.frames,
        model.Model.clip,
        model.Model.draw,
    )
    for name in inspect.signature(call).parameters
}
"""Arguments of a model's own functions: no option of a method can have such a name."""


def _call_options(subject: Subject) -> str:
    method = subject.build()
    known = {**stylize_options(method), **sample_options(method)}
    for name in known:
        require(name not in RESERVED, f"An option of stylize may not be called {name!r}: stylekit itself has that one.")
    require(not (faults := undescribed(known)), f"{faults} (a keyword-only argument of stylize, transfer or sample).")
    return f"with {', '.join(known)}" if known else ""


def _made(subject: Subject, count: int, height: int, width: int) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """Calls the method in each way: what to call it, the output's scale, the content, and the output.

    Before any rehearsal, whose turns would report an output of a wrong size in words of their own.
    """
    method = subject.build().eval()
    require_output(method)
    content, style = pictures(count, height, width), pictures(count, height, width, which="style")
    for what, run in calls(method):
        given = content.clone()
        with torch.no_grad():
            out = run(given, style)
        require(torch.equal(given, content), f"{what} changes its input: work on a copy, content.clone().")
        yield what, method.scale, content, out


def _size(subject: Subject) -> str:
    for count in BATCHES:
        for what, scale, content, out in _made(subject, count, SIDE, SIDE):
            if what.startswith("sample"):
                require_shape(out, out.new_zeros(count, 3, *out.shape[2:]) if out.ndim == 4 else content, what)
                require_image(out, out, what)
            else:
                require_image(out, content, what, scale)
    return ""


def _odd(subject: Subject) -> str:
    kept = False
    for what, scale, content, out in _made(subject, 1, *ODD):
        if not what.startswith("sample"):
            require_shape(out, content, what, scale)
            kept = True
    return f"keeps {ODD[0]}x{ODD[1]}" if kept else ""


@torch.no_grad()
def _styles(subject: Subject) -> str:
    """A method that describes styles: what it takes from them, and what it makes of their averages."""
    method = subject.build().eval()
    if not method.takes_styles():
        return ""
    shapes: dict[str, torch.Size] = {}
    for count, height, width in ((BATCHES[-1], SIDE, SIDE), (1, *ODD), (1, 1, 1)):
        given = method.describe(pictures(count, height, width, which="style"))
        _require_statistics(given, count, f"describe(style) of {count} x {height} x {width}")
        now = {name: each.shape[1:] for name, each in given.items()}
        shapes = shapes or now
        require(
            now == shapes,
            f"describe(style) must return statistics of one shape for images of every size, so that styles can be averaged: "
            f"{now} for {height} x {width}, and {shapes} for {SIDE} x {SIDE}.",
        )
    rows = method.describe(pictures(2, which="style"))
    average = {name: each.mean(0, keepdim=True) for name, each in rows.items()}
    content = pictures(2)
    for style, what in ((rows, "of each image's own style"), (average, "of the average of two styles")):
        for strength in (1.0, 0.5):
            out = drawn(lambda x, style=style, strength=strength: method.transfer(x, style, strength), (content,))
            require_image(out, content, f"transfer(content, style, {strength}) {what}", method.scale)
    _require_style_modules(method)
    return f"styles of {sum(each[0].numel() for each in rows.values()):,} numbers"


def _require_statistics(given: Any, count: int, what: str) -> None:
    require(isinstance(given, Mapping) and len(given) > 0, f"{what} must return tensors by name, {{name: (N, ...)}}.")
    for name, each in given.items():
        require(
            isinstance(each, Tensor) and each.is_floating_point() and each.ndim > 0 and len(each) == count,
            f"{name!r} in {what} must be a float tensor with a row for each image, {count} in all.",
        )
        require(bool(each.isfinite().all()), f"{name!r} in {what} has NaN or infinity.")


def _require_style_modules(method: Method) -> None:
    known = {name.split(".")[0] for name in method.state_dict()} | dict(method.named_children()).keys()
    for name in method.style_modules:
        require(
            name in known,
            f"style_modules names {name!r}, which it does not have: name the submodules whose weights describe uses, or "
            "none, style_modules = ().",
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


def _frames(subject: Subject) -> str:
    """A method with a state along a clip: as many frames come out as go in, and two clips do not affect each other."""
    method = ready(subject).eval()
    if type(method).frames is Method.frames:
        return ""
    clips = [[pictures(1, which=f"clip {clip} frame {n}") for n in range(3)] for clip in (1, 2)]
    with torch.no_grad():
        style = next(iter(method.styles().values()), None)
        if method.takes_styles():
            style = method.describe(pictures(1, which="style"))
        _, options = next(choices(stylize_options(method)))
        given = fill(options, clips[0][0]) | ({} if style is None else {"strength": 1.0})
        alone = [list(_drawn_frames(method.frames(clip, style, **given))) for clip in clips]
        both = [_drawn_frames(method.frames(clip, style, **given)) for clip in clips]
        together = list(zip(*both, strict=True))
    for clip, out in zip(clips, alone, strict=True):
        require(len(out) == len(clip), f"frames(contents, style) gave {len(out)} frames for {len(clip)}.")
        for content, frame in zip(clip, out, strict=True):
            require_image(frame, content, "frames(contents, style)", method.scale)
    require(
        all(equal(list(pair), [first, second]) for pair, first, second in zip(together, *alone, strict=True)),
        "frames gives other frames when two clips are stylised at once: keep its state in local variables.",
    )
    return "keeps a state along a clip"


def _drawn_frames(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """The frames, each with random numbers of its own, as when a model stylises a clip."""
    frames = iter(frames)
    for number in itertools.count():
        with seeded("frame", number):
            try:
                frame = next(frames)
            except StopIteration:
                return
        yield frame


def _preview(subject: Subject) -> str:
    method = ready(subject).eval()
    if not method.players():
        return ""
    with torch.no_grad():
        columns = method.preview(batch(method))
    good = isinstance(columns, Mapping) and all(
        isinstance(each, Tensor) and each.ndim == 4 and each.shape[1] == 3 for each in columns.values()
    )
    require(good and bool(columns), "preview(batch) must return the columns of a sample sheet, {name: (N, 3, H, W)}.")
    return f"previews {', '.join(columns)}"


def _twice(subject: Subject) -> str:
    method = ready(subject)
    first = outputs(method)
    require(
        same(first, outputs(method)),
        "It must return the same twice, in eval mode: draw with torch's own functions, which are seeded.",
    )
    if method.samples() and not method.stylizes():
        with torch.no_grad():
            others = [drawn(call.run, (pictures(1), pictures(1, which="style")), 1) for call in calls(method)]
        require(not same(first, others), "sample must draw: another seed gives the same image.")
    return ""


def _threads(subject: Subject) -> str:
    method = ready(subject).eval()
    if not method.capabilities.thread_safe:
        return ""
    style = pictures(1, which="style")
    contents = [pictures(1, SIDE + 8 * number) for number in range(8)]
    for what, run in calls(method):
        quiet = torch.no_grad()(run)
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
            f"{what} returns other images when threads call it at once: keep nothing on the method or its parts between "
            "lines that another call changes, or leave thread_safe False.",
        )
    return "threads at once"


def _saved(subject: Subject) -> str:
    method = ready(subject)
    before = outputs(method)
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
        f"Stylising needs {' and '.join(map(repr, left))}, which inference_modules leaves out: name it there too.",
    )
    require(
        same(before, outputs(loaded)),
        "A saved and loaded method stylises otherwise: keep what it draws or learns in parameters or buffers.",
    )
    return "saves and loads"


def _left_out(method: Method) -> list[str]:
    """The submodules that stylising needs, and ``inference_modules`` does not name."""
    left = []
    for name, module in dict(method.named_children()).items():
        if method.inference_modules and name not in method.inference_modules:
            setattr(method, name, nn.Module())  # which can do nothing
            try:
                outputs(method)
            except Exception:
                left.append(name)
            setattr(method, name, module)
    return left


def _float64(subject: Subject) -> str:
    method = ready(subject).eval()
    for what, run in calls(method):
        if what.startswith("stylize"):
            require_float64(method, torch.no_grad()(run), (pictures(1), pictures(1, which="style")), what)
    return ""


def _device(subject: Subject) -> str:
    method = ready(subject)
    example = batch(method)
    for turn in method.turns():

        def play(*values: Tensor, turn: Any = turn) -> Any:
            given = dict(zip(example, values, strict=True))
            return turn.play(method, given, method(given))

        require_moves(Called(method, play), tuple(example.values()), f"the turn {turn.name!r}")
    method.eval()
    if method.capabilities.optimizes and not torch.cuda.is_available():
        return ""  # an optimisation goes backward, and without a device there are only tensors without values
    for what, run in calls(method):
        require_moves(Called(method, run), (pictures(1), pictures(1, which="style")), what)
    return ""


def _exported(subject: Subject) -> str:
    method = ready(subject).eval()
    if not method.capabilities.exportable or method.capabilities.optimizes or not method.stylizes():
        return "not exportable, as it says" if method.stylizes() else ""
    cure = "Let stylising read no values (.item(), if on a tensor), or declare exportable=False in capabilities."
    for what, run in calls(method):
        if what.startswith("stylize"):
            require_exports(Called(method, run), (pictures(1), pictures(1, which="style")), what, cure)
    return "exports"


def _presets(subject: Subject) -> str:
    presets = getattr(unwrap_partial(subject.target), "presets", {})
    for name, given in presets.items():
        try_preset(subject.target, name, given)
    return f"presets {', '.join(presets)}" if presets else ""


def try_preset(method: Any, name: str, given: Any) -> None:
    """Builds a method with a preset, without memory for its weights where that can be. If the preset leaves a required
    argument to the user, only its own arguments are validated.

    Raises:
        StylekitError: it cannot be built.
    """
    known = arguments(method)
    missing = {key for key, argument in known.items() if argument.required and key not in given}
    try:
        if missing:
            rest = {key: argument for key, argument in known.items() if key not in missing}
            validate_arguments(rest, given, "method")
            return
        try:
            with torch.device("meta"):
                make("method", method, **given)
        except Exception:  # it looks at values, which are not there
            make("method", method, **given)
    except Exception as error:
        raise StylekitError(f"The preset {name!r} does not fit: {error}") from error


_SIZE, _TRAINS = ("size and range",), ("rehearsal",)

CHECKS = (
    Check("builds", _builds),
    OPTIONS,
    Check("call options", _call_options),
    TENSORS,
    Check("size and range", _size),
    Check("odd sizes", _odd, after=_SIZE),
    Check("styles", _styles, after=_SIZE),
    *TRAINING,
    Check("preview", _preview, after=_TRAINS),
    Check("frames", _frames, after=_TRAINS),
    Check("repeated", _twice, after=_TRAINS),
    Check("threads", _threads, after=("repeated", *_TRAINS)),
    Check("save and load", _saved, after=("options", "tensors", "repeated", *_TRAINS)),
    Check("float64", _float64, after=("tensors", *_TRAINS)),
    Check("devices", _device, after=("tensors", *_TRAINS)),
    Check("export", _exported, after=_TRAINS),
    Check("presets", _presets),
)
