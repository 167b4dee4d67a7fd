"""Checks of methods: they stylise any image, train, and return the same images after saving and loading."""

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
from stylekit.inference import loading, model, model_files
from stylekit.inference.options import frames_options, sample_options, stylize_options
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
from stylekit.training.setup import prepare_arguments


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
"""Argument names of the functions of a model, which options of a method may not have."""


def _call_options(subject: Subject) -> str:
    method = subject.build()
    known = {**stylize_options(method), **sample_options(method)}
    for name in known:
        require(
            name not in RESERVED,
            f"Rename the option {name!r} of stylize, transfer, sample or sample_from: stylekit itself uses that name.",
        )
    require(
        not (faults := undescribed(known)),
        f"{faults} (a keyword-only argument of stylize, transfer, sample or sample_from).",
    )
    return f"with {', '.join(known)}" if known else ""


def _call_all(subject: Subject, count: int, height: int, width: int) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """Calls the method in each way, and yields the name of the call, the scale, the content and the output.

    There is no rehearsal before it, because that would report an output of a wrong size less clearly.
    """
    method = subject.build().eval()
    require_output(method)
    content, style = pictures(count, height, width), pictures(count, height, width, which="style")
    for what, run in calls(method):
        copy = content.clone()
        with torch.no_grad():
            out = run(copy, style)
        require(torch.equal(copy, content), f"{what} changes its input: work on a copy, as in content.clone().")
        yield what, method.scale, content, out


def _size(subject: Subject) -> str:
    for count in BATCHES:
        for what, scale, content, out in _call_all(subject, count, SIDE, SIDE):
            if what.startswith("sample"):
                require_shape(out, out.new_zeros(count, 3, *out.shape[2:]) if out.ndim == 4 else content, what)
                require_image(out, out, what)
            else:
                require_image(out, content, what, scale)
    return ""


def _odd(subject: Subject) -> str:
    stylises = False
    for what, scale, content, out in _call_all(subject, 1, *ODD):
        if not what.startswith("sample"):
            require_shape(out, content, what, scale)
            stylises = True
    return f"keeps {ODD[0]}x{ODD[1]}" if stylises else ""


@torch.no_grad()
def _styles(subject: Subject) -> str:
    """Checks the statistics of a method that describes styles, and that it stylises with their averages."""
    method = subject.build().eval()
    if not method.takes_styles():
        return ""
    shapes: dict[str, torch.Size] = {}
    for count, height, width in ((BATCHES[-1], SIDE, SIDE), (1, *ODD), (1, 1, 1)):
        statistics = method.describe(pictures(count, height, width, which="style"))
        _require_statistics(statistics, count, f"describe(style) of {count} x {height} x {width}")
        current = {name: each.shape[1:] for name, each in statistics.items()}
        shapes = shapes or current
        require(
            current == shapes,
            f"describe(style) must return statistics of the same shape for images of any size, so that styles can be averaged, "
            f"but returned {current} for {height} x {width} and {shapes} for {SIDE} x {SIDE}.",
        )
    rows = method.describe(pictures(2, which="style"))
    average = {name: each.mean(0, keepdim=True) for name, each in rows.items()}
    content = pictures(2)
    for style, what in ((rows, "with a style for each image"), (average, "with the average of two styles")):
        for strength in (1.0, 0.5):
            out = drawn(lambda x, style=style, strength=strength: method.transfer(x, style, strength), (content,))
            require_image(out, content, f"transfer(content, style, {strength}) {what}", method.scale)
    _require_style_modules(method)
    return f"styles of {sum(each[0].numel() for each in rows.values()):,} numbers"


def _require_statistics(out: Any, count: int, what: str) -> None:
    require(isinstance(out, Mapping) and len(out) > 0, f"{what} must return tensors by name, {{name: (N, ...)}}.")
    for name, each in out.items():
        require(
            isinstance(each, Tensor) and each.is_floating_point() and each.ndim > 0 and len(each) == count,
            f"{name!r} in {what} must be a float tensor with one row per image, {count} in total.",
        )
        require(bool(each.isfinite().all()), f"{name!r} in {what} contains NaN or infinity.")


def _require_style_modules(method: Method) -> None:
    known = {name.split(".")[0] for name in method.state_dict()} | dict(method.named_children()).keys()
    for name in method.style_modules:
        require(
            name in known,
            f"style_modules lists {name!r}, which the method does not have: list the submodules whose weights describe uses, "
            "or none, as in style_modules = ().",
        )
    style = pictures(1, which="style")
    before = drawn(method.describe, (style,))
    for name, tensor in method.state_dict().items():
        if name.split(".")[0] not in method.style_modules and tensor.is_floating_point():
            tensor.add_(0.1)
            require(
                equal(before, drawn(method.describe, (style,))),
                f"describe uses {name!r}, but style_modules does not list its submodule: add it.",
            )


def _frames(subject: Subject) -> str:
    """Checks a method with state along a clip: one output per input frame, and two clips do not affect each other."""
    method = ready(subject).eval()
    if type(method).frames is Method.frames:
        return ""
    clips = [[pictures(1, which=f"clip {clip} frame {n}") for n in range(3)] for clip in (1, 2)]
    with torch.no_grad():
        style = next(iter(method.styles().values()), None)
        if method.takes_styles():
            style = method.describe(pictures(1, which="style"))
        known = stylize_options(method)
        _, options = next(choices(known))
        required = {name: value for name, value in options.items() if known[name].required}
        strength = None if style is None else 1.0
        filled = frames_options(method, fill(required, clips[0][0]), strength, f"method {subject.name!r}")
        separate = [list(_drawn_frames(method.frames(clip, style, **filled))) for clip in clips]
        both = [_drawn_frames(method.frames(clip, style, **filled)) for clip in clips]
        interleaved = list(zip(*both, strict=True))
    for clip, out in zip(clips, separate, strict=True):
        require(
            len(out) == len(clip),
            f"frames(contents, style) returned {len(out)} frames for {len(clip)}: yield exactly one frame for each.",
        )
        for content, frame in zip(clip, out, strict=True):
            require_image(frame, content, "frames(contents, style)", method.scale)
    require(
        all(equal(list(pair), [first, second]) for pair, first, second in zip(interleaved, *separate, strict=True)),
        "frames returns other frames when two clips are stylised at the same time: keep its state in local variables.",
    )
    return "keeps state along a clip"


def _drawn_frames(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """The frames, each computed under its own seed, as when a model stylises a clip."""
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
    valid = isinstance(columns, Mapping) and all(
        isinstance(each, Tensor) and each.ndim == 4 and each.shape[1] == 3 for each in columns.values()
    )
    require(valid and bool(columns), "preview(batch) must return the columns of a sample grid, {name: (N, 3, H, W)}.")
    return f"previews {', '.join(columns)}"


def _twice(subject: Subject) -> str:
    method = ready(subject)
    first = outputs(method)
    require(
        same(first, outputs(method)),
        "In eval mode, calls with the same seed must return the same images: draw random numbers with torch's functions, whose "
        "generator is seeded.",
    )
    if method.samples() and not method.stylizes():
        with torch.no_grad():
            others = [drawn(call.run, (pictures(1), pictures(1, which="style")), 1) for call in calls(method)]
        require(not same(first, others), "sample returns the same images for two seeds: draw them at random.")
    return ""


def _threads(subject: Subject) -> str:
    method = ready(subject).eval()
    if not method.capabilities.thread_safe:
        return ""
    style = pictures(1, which="style")
    contents = [pictures(1, SIDE + 8 * number) for number in range(8)]
    for what, run in calls(method):
        call = torch.no_grad()(run)
        sequential = [drawn(call, (content, style)) for content in contents]
        require(
            all(
                equal(out, drawn(call, (content, style), 1)) for content, out in zip(contents, sequential, strict=True)
            ),
            f"{what} draws random numbers, and threads share the generators: leave thread_safe at False.",
        )
        with ThreadPoolExecutor(4) as pool:
            concurrent = list(pool.map(call, contents, [style] * len(contents)))
        require(
            all(
                out.shape == expected.shape and difference(out, expected) < 1e-3
                for out, expected in zip(concurrent, sequential, strict=True)
            ),
            f"{what} returns other images when several threads call it: keep no state of a call on the method or its parts, or "
            "leave thread_safe at False.",
        )
    return "thread-safe"


def _saved(subject: Subject) -> str:
    method = ready(subject)
    before = outputs(method)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model_files.save_model(method, subject.name, path)
        try:
            loaded = loading.load(path, device="cpu", method=subject.target).method
        except StylekitError as error:
            raise StylekitError(str(error).replace(str(path), "A saved model")) from error
    missing = _missing_modules(method)
    require(
        not missing,
        f"Stylising needs submodules that inference_modules does not list: add {' and '.join(map(repr, missing))}.",
    )
    require(
        same(before, outputs(loaded)),
        "Saved and loaded, the method returns other images: keep everything random or learned in parameters or buffers.",
    )
    return "saves and loads"


def _missing_modules(method: Method) -> list[str]:
    """The submodules that stylising needs and ``inference_modules`` does not list; those without tensors need not be."""
    missing = []
    for name, module in dict(method.named_children()).items():
        if method.inference_modules and name not in method.inference_modules and module.state_dict():
            setattr(method, name, nn.Module())  # fails when called
            try:
                outputs(method)
            except Exception:
                missing.append(name)
            setattr(method, name, module)
    return missing


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
            moved = dict(zip(example, values, strict=True))
            return turn.play(method, moved, method(moved))

        require_moves(Called(method, play), tuple(example.values()), f"the turn {turn.name!r}")
    method.eval()
    if method.capabilities.optimizes and not torch.cuda.is_available():
        return ""  # optimisation needs gradients, and without a CUDA device there are only fake tensors
    for what, run in calls(method):
        require_moves(Called(method, run), (pictures(1), pictures(1, which="style")), what)
    return ""


def _exported(subject: Subject) -> str:
    method = ready(subject).eval()
    if not method.capabilities.exportable or method.capabilities.optimizes or not method.stylizes():
        return "declared as not exportable" if method.stylizes() else ""
    cure = "Do not read values of tensors when stylising (.item(), if), or set exportable=False in capabilities."
    for what, run in calls(method):
        if what.startswith("stylize"):
            require_exports(Called(method, run), (pictures(1), pictures(1, which="style")), what, cure)
    return "exports"


def _presets(subject: Subject) -> str:
    presets = getattr(unwrap_partial(subject.target), "presets", {})
    for name, preset in presets.items():
        try_preset(subject.target, name, preset)
    return f"presets {', '.join(presets)}" if presets else ""


def try_preset(method: Any, name: str, given: Any) -> None:
    """Builds a method with a preset, on the meta device if possible. If the preset lacks a required argument, its own
    arguments are only validated.

    Raises:
        StylekitError: the method cannot be built with the preset.
    """
    known, training = arguments(method), prepare_arguments(method)
    missing = {key for key, argument in known.items() if argument.required and key not in given}
    try:
        trained = {key: value for key, value in given.items() if key in training and key not in known}
        validate_arguments(training, trained, "method")
        given = {key: value for key, value in given.items() if key not in trained}
        if missing:
            rest = {key: argument for key, argument in known.items() if key not in missing}
            validate_arguments(rest, given, "method")
            return
        try:
            with torch.device("meta"):
                make("method", method, **given)
        except Exception:  # such as reading values, which meta tensors lack
            make("method", method, **given)
    except Exception as error:
        raise StylekitError(f"The preset {name!r} does not match the method: {error}") from error


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
