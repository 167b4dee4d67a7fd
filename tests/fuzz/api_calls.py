"""Calls of the Python API with wrong values, and in surroundings that a host program may have set up."""

from __future__ import annotations

import contextlib
import copy
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rich.style  # noqa: F401  (draws a random number when it is imported)
import torch
from PIL import Image

import stylekit
from stylekit import images
from stylekit.inference.model import Model
from tests.fuzz.cases import Case, Kind
from tests.fuzz.judge import CLEAR, RIGHT, Bad, ClearError, require_clear
from tests.fuzz.material import NETWORKS, TINY
from tests.fuzz.pictures import loaded, require_image, some_image, some_pixels

kind = Kind("api_calls", 150)


def model_for(case: Case) -> Model:
    """A translator, or a model for any style."""
    return loaded(case.random.choice((case.material.cyclegan, case.material.adain)))


def stylize(case: Case, model: Model, image: Any, **options: Any) -> Any:
    styles = [case.material.painting] if model.method.takes_styles() and "style" not in options else []
    return case.measured(model.stylize, image, *styles, **options)


def plain(case: Case) -> torch.Tensor:
    return images.read(case.material.photo).image


WRONG_IMAGES: dict[str, Any] = {
    "nothing": lambda: None,
    "a number": lambda: 7,
    "a list": lambda: [[0.1]],
    "bytes": lambda: b"photo",
    "a missing file": lambda: "nowhere.png",
    "a folder": lambda: Path("."),
    "0 to 255": lambda: torch.rand(1, 3, 16, 16) * 255,
    "-1 to 1": lambda: torch.rand(1, 3, 16, 16) * 2 - 1,
    "nan": lambda: torch.full((1, 3, 16, 16), float("nan")),
    "infinite": lambda: torch.full((1, 3, 16, 16), float("inf")),
    "no batch": lambda: torch.rand(16, 16),
    "five dimensions": lambda: torch.rand(1, 1, 3, 16, 16),
    "channels last": lambda: torch.rand(1, 16, 16, 3),
    "one channel": lambda: torch.rand(1, 1, 16, 16),
    "two channels": lambda: torch.rand(1, 2, 16, 16),
    "empty": lambda: torch.rand(1, 3, 0, 16),
    "no images": lambda: torch.rand(0, 3, 16, 16),
    "integers": lambda: torch.randint(0, 255, (1, 3, 16, 16)),
    "booleans": lambda: torch.ones(1, 3, 16, 16, dtype=torch.bool),
    "complex": lambda: torch.rand(1, 3, 16, 16).to(torch.complex64),
    "meta": lambda: torch.rand(1, 3, 16, 16, device="meta"),
    "sparse": lambda: torch.rand(1, 3, 16, 16).to_sparse(),
    "nested": lambda: torch.nested.nested_tensor([torch.rand(3, 16, 16)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.rand(1, 3, 16, 16), 0.1, 0, torch.quint8),
    "a closed picture": lambda: closed_picture(),
    "array of objects": lambda: np.array([[None]]),
    "array of text": lambda: np.array([["a"]]),
    "array 0 to 255": lambda: np.random.default_rng(0).random((16, 16, 3)) * 255,
    "array of integers": lambda: np.zeros((16, 16, 3), np.int64),
    "array channels first": lambda: np.zeros((3, 16, 16), np.uint8),
    "array of five channels": lambda: np.zeros((16, 16, 5), np.uint8),
    "empty array": lambda: np.zeros((0, 16, 3), np.uint8),
    "array with nan": lambda: np.full((16, 16, 3), np.nan),
}
"""Things that are no image in [0, 1]."""


def closed_picture() -> Image.Image:
    picture = Image.new("RGB", (16, 16))
    picture.close()
    return picture


# Wrong values


@kind.often(6)
def wrong_image(case: Case) -> None:
    """As the image, as a style, as a mask, or as a frame."""
    case.expected = CLEAR
    name, role = (
        case.random.choice(list(WRONG_IMAGES)),
        case.random.choice(("image", "image", "style", "mask", "frame")),
    )
    wrong, case.tried = WRONG_IMAGES[name](), f"{name} as {role}"
    model = loaded(case.material.adain)
    if role == "image":
        stylize(case, model, wrong)
    elif role == "style":
        if wrong is None or isinstance(wrong, list):
            wrong = 7
        stylize(case, model, plain(case), style=wrong)
    elif role == "mask":
        if wrong is None or (isinstance(wrong, torch.Tensor) and wrong.shape[1:2] == (1,)):
            wrong = 7
        stylize(case, model, plain(case), mask=wrong)
    else:
        list(model.frames([wrong], case.material.painting))


@kind.often(3)
def odd_image_that_is_one(case: Case) -> None:
    """Images of other types and layouts: the result has the type and the size of what was given."""
    case.expected = RIGHT
    model, image = model_for(case), plain(case)
    array = some_pixels(case)
    given: Any = case.random.choice(
        (
            image.double(),
            image.half(),
            image.bfloat16(),
            image.to(memory_format=torch.channels_last),
            image.expand(2, -1, -1, -1),
            image[:, :, ::2, ::3],
            image.clone().requires_grad_(),
            image[..., :1, :1],
            torch.nn.Parameter(image),
            (image * 1.001).clamp(max=1.001),
            array,
            array[::2, ::-1],
            np.asfortranarray(array),
            array.astype(np.uint16) * 257,
            array.astype(np.float32) / 255,
            array.astype(np.float64) / 255,
            some_pixels(case, 4),
            array[..., 0],
            some_image(case),
            some_image(case, "RGBA"),
            some_image(case, "P"),
            some_image(case, "1"),
            some_image(case, "CMYK"),
            some_image(case, "HSV"),
            some_image(case, "LAB"),
            case.material.photo,
            str(case.material.photo),
        )
    )
    if isinstance(given, torch.Tensor) and given.shape[1] != 3:
        given = image
    output = stylize(case, model, given)
    expected = (
        Image.Image
        if isinstance(given, str | Path | Image.Image)
        else np.ndarray
        if isinstance(given, np.ndarray)
        else torch.Tensor
    )
    if not isinstance(output, expected):
        raise Bad(f"a {type(given).__name__} became a {type(output).__name__}")
    if isinstance(output, torch.Tensor) and (
        output.shape != given.shape or output.dtype != given.dtype or output.requires_grad
    ):
        raise Bad(f"{given.dtype} {tuple(given.shape)} became {output.dtype} {tuple(output.shape)}")
    if isinstance(output, np.ndarray) and (output.shape[:2] != given.shape[:2] or output.dtype != given.dtype):
        raise Bad(f"{given.dtype} {given.shape} became {output.dtype} {output.shape}")
    if isinstance(given, Image.Image) and output.size != given.size:
        raise Bad(f"a picture of {given.size} became one of {output.size}")


@kind.often(4)
def wrong_option(case: Case) -> None:
    case.expected = CLEAR
    name, values = case.random.choice(
        (
            ("strength", (-0.1, 1.1, float("nan"), float("inf"), "x", None, [1], torch.tensor([1.0, 2.0]))),
            ("keep_color", ("x", 7, "", ["luminance"], True)),
            ("style_scale", (0, -1, float("nan"), float("inf"), "x", None, 1e9)),
            ("seed", ("x", 2.5, None, [1], float("nan"))),
            (
                "mask",
                (
                    7,
                    "nowhere.png",
                    torch.rand(1, 1, 3, 3)[:, :0],
                    [torch.rand(1, 1, 48, 48)] * 5,
                    torch.rand(1, 2, 48, 48),
                ),
            ),
            ("style", ("nowhere", 7, [], [7], ("x", 1), [("x", "y")], {"a": 1}, b"x", Path("/dev/null"))),
            ("nonsense", (1,)),
            ("strenght", (1,)),
        )
    )
    value = case.random.choice(values)
    case.tried = f"{name}={value!r}"
    case.mentions = (name.replace("style_scale", "scale").replace("keep_color", "keep_color"), "style", str(value))
    stylize(case, loaded(case.material.adain), plain(case), **{name: value})


@kind.often(2)
def wrong_weights_of_styles(case: Case) -> None:
    case.expected = CLEAR
    weight = case.random.choice((-1, float("nan"), float("inf"), 0, "x", None))
    painting = case.material.painting
    stylize(
        case, loaded(case.material.adain), plain(case), style=[(painting, weight), (painting, 0 if weight == 0 else 1)]
    )


@kind.often(3)
def wrong_call_of_load(case: Case) -> None:
    case.expected = CLEAR
    good = case.material.cyclegan
    arguments, options = case.random.choice(
        (
            (("nowhere",), {}),
            (("",), {}),
            ((7,), {}),
            ((None,), {}),
            ((b"x",), {}),
            (("\0",), {}),
            (("x" * 5000,), {}),
            ((good, "gpu"), {}),
            ((good, "cuda:99"), {}),
            ((good, 7), {}),
            ((good,), {"method": 7}),
            ((good,), {"method": dict}),
            ((good,), {"nonsense": 1}),
            ((good,), {"generator": "nowhere"}),
            ((good,), {"generator": {"name": "resnet", "blocks": 10**12}}),
            ((good,), {"generator.width": 9}),
            (("gatys",), {"steps": "x"}),
            (("gatys",), {"steps": True}),
            (("gatys",), {"encoder": 3}),
            (("cyclegan",), {}),
            ((Path("/"),), {}),
            (("stylekit-any",), {"x": 1}),
        )
    )
    case.tried = f"load(*{arguments}, **{options})"
    case.measured(stylekit.load, *arguments, **options)


@kind
def device_of_any_type(case: Case) -> None:
    case.expected = RIGHT
    name = case.random.choice((case.material.cyclegan, "color-pca", "stylekit-any"))
    stylekit.load(name, case.random.choice((torch.device("cpu"), "cpu", "auto")))


@kind.often(2)
def wrong_call_of_make(case: Case) -> None:
    case.expected = CLEAR
    made = case.random.choice(
        (
            ("nowhere", "resnet"),
            ("generator", "nowhere"),
            ("generator", None),
            ("generator", 7),
            ("generator", {}),
            ("generator", {"name": 7}),
            ("generator", {"name": "resnet", "blocks": -1}),
            ("generator", {"name": "resnet", "blocks": 10**12}),
            ("generator", {"name": "unet", "downs": 10**9}),
            ("generator", {"name": "resnet", "nonsense": 1}),
            ("encoder", {"name": "random", "scales": 10**9}),
            ("encoder", {"name": "vgg19", "weights": "/nowhere"}),
            ("dataset", {"name": "folders", "data": "/nowhere"}),
            ("loss", ""),
        )
    )
    case.tried = f"make{made}"
    case.measured(stylekit.make, *made)


@kind.often(4)
def wrong_call_of_train(case: Case) -> None:
    case.expected = CLEAR
    settings: dict[str, Any] = {"steps": 1, "out": case.folder / "run", "set": NETWORKS, **TINY}
    name, values = case.random.choice(
        (
            ("steps", (0, -1, 2.5, "x", True, None, float("nan"), float("inf"))),
            ("size", (0, -1, 10**7, "x", True, 3)),
            ("batch_size", (0, 10**9, "x", False)),
            ("devices", (0, 10**6, "x")),
            ("device", ("gpu", 7)),
            ("content", (7, "nowhere", case.material.photo)),
            (
                "set",
                (
                    7,
                    {"lr": float("nan")},
                    {"lr": float("inf")},
                    {"lr": -1},
                    {"x": 1},
                    {"lr": True},
                    {"generator": dict},
                ),
            ),
            ("out", (7, case.material.photo / "run", "\0", "/proc/run")),
            ("log", (("nowhere",), 7, ("cyclegan",), "nowhere.py")),
            ("data", (7, {"name": "nowhere"}, {"x": 1}, [])),
            ("seed", (-1, "x", 2.5)),
            ("init", ("nowhere", case.material.adain)),
            ("precision", ("64", 7)),
            ("nonsense", (1,)),
            ("resume", (True,)),
        )
    )
    plugin = case.random.choice(("cyclegan",) * 6 + ("nowhere", "gatys", "nowhere.py", "color-pca"))
    value: Any = case.random.choice(values)
    case.tried = f"train({plugin!r}, {name}={value!r})"
    with contextlib.redirect_stderr(None):
        value = {**NETWORKS, **value} if name == "set" and isinstance(value, dict) else value
        case.measured(stylekit.train, plugin, **{**settings, name: value})


@kind.often(3)
def wrong_call_of_images(case: Case) -> None:
    """Reading and writing: documented exceptions, or one sentence."""
    case.expected = CLEAR
    image = torch.rand(1, 3, 8, 8)
    function, arguments = case.random.choice(
        (
            (images.read, ("nowhere.png",)),
            (images.read, (case.folder,)),
            (images.read, ("\0",)),
            (images.read, ("/dev/zero",)),
            (images.write, ("out.xyz", image)),
            (images.write, ("nowhere/out.png", image)),
            (images.write, ("out.png", image * float("nan"))),
            (images.write, ("/dev/full", image)),
            (images.write, (case.folder, image)),
            (images.write, ("\0.png", image)),
            (images.write, ("out.webp", torch.rand(1, 3, 1, 17_000))),
            (images.write, ("out.jpg", torch.rand(1, 3, 1, 66_000))),
            (images.from_pil, (closed_picture(),)),
            (images.ImageFiles, ("nowhere",)),
            (images.ImageFiles, (case.folder,)),
            (images.SquareCrop, (0, "train")),
            (images.SquareCrop, (8, "nowhere")),
        )
    )
    case.tried = f"{function.__name__}{arguments[:1]}"
    case.measured(function, *arguments)


# Surroundings


@contextlib.contextmanager
def default(setter: Any, value: Any, before: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


@kind.often(6)
def within_a_host(case: Case) -> None:
    """Autocast, other defaults and modes of the host program change nothing."""
    case.expected = RIGHT
    source = case.random.choice((case.material.cyclegan, case.material.adain, "stylekit-any", "color-pca", "gatys"))
    options = {"steps": 2, "encoder": "random"} if source == "gatys" else {}
    image = plain(case)
    expected = stylize(case, stylekit.load(source, "cpu", **options), image)
    surroundings: dict[str, Any] = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "inference_mode": torch.inference_mode,
        "no_grad": torch.no_grad,
        "enable_grad": torch.enable_grad,
        "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
        "float64": lambda: default(torch.set_default_dtype, torch.float64, torch.float32),
        "bfloat16": lambda: default(torch.set_default_dtype, torch.bfloat16, torch.float32),
        "meta": lambda: torch.device("meta"),
        "deterministic": lambda: default(torch.use_deterministic_algorithms, True, False),
        "errors": lambda: default(lambda how: np.seterr(all=how), "raise", "warn"),
    }
    name = case.random.choice(list(surroundings))
    case.tried = f"{source} within {name}"
    before = state_of_random_numbers()
    with surroundings[name]():
        output = stylize(case, stylekit.load(source, "cpu", **options), image)
    require_same_state(before)
    if not torch.allclose(output.clone(), expected, atol=2e-3) or output.dtype != expected.dtype:
        raise Bad(
            f"within {name}, {source} gives another result: by up to {float((output - expected).abs().max()):.3f}"
        )


def state_of_random_numbers() -> tuple[Any, ...]:
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()


def require_same_state(before: tuple[Any, ...]) -> None:
    """Checks that the caller's random numbers go on as if nothing had been called.

    Raises:
        Bad: they do not.
    """
    ours, arrays, pythons = state_of_random_numbers()
    for name, same in (
        ("torch", torch.equal(ours, before[0])),
        ("numpy", bool((arrays == before[1]).all())),
        ("random", pythons == before[2]),
    ):
        if not same:
            raise Bad(f"the caller's random numbers of {name} changed")


@kind.often(5)
def threads(case: Case) -> None:
    """Threads that stylise at once get what each gets alone, and the caller's random numbers are as before."""
    case.expected = RIGHT
    source = case.random.choice((case.material.cyclegan, case.material.adain, "color-pca", "gatys", "stylekit-any"))
    model = stylekit.load(
        source, "cpu", **({"steps": 2, "init": "noise", "encoder": "random"} if source == "gatys" else {})
    )
    image = plain(case)
    seeds = range(case.random.randint(2, 5))
    alone = [stylize(case, model, image, seed=seed) for seed in seeds]
    torch.manual_seed(7), np.random.seed(7), random.seed(7)
    before = state_of_random_numbers()
    found: dict[int, Any] = {}

    def work(seed: int) -> None:
        try:
            styles = [case.material.painting] if model.method.takes_styles() else []
            found[seed] = model.stylize(image, *styles, seed=seed)
        except Exception as error:
            found[seed] = error

    started = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    require_same_state(before)
    for seed in seeds:
        if isinstance(found[seed], Exception):
            raise Bad(f"a thread failed: {found[seed]!r}")
        if not torch.equal(found[seed], alone[seed]):
            raise Bad(f"{source}: a thread got another result than alone")


@kind
def copied_model(case: Case) -> None:
    """A deep copy of a model is a model."""
    case.expected = RIGHT
    model, image = model_for(case), plain(case)
    if not torch.equal(stylize(case, copy.deepcopy(model), image), stylize(case, model, image)):
        raise Bad("a copy gives another result")


@kind
def training_leaves_the_host_as_it_was(case: Case) -> None:
    case.expected = RIGHT
    before, grad = state_of_random_numbers(), torch.is_grad_enabled()
    with contextlib.redirect_stderr(None):
        run = stylekit.train("cyclegan", out=case.folder / "run", steps=1, set=NETWORKS, **TINY)
    require_same_state(before)
    if torch.is_grad_enabled() != grad or torch.get_default_dtype() != torch.float32:
        raise Bad("training changed a mode of torch")
    require_image(stylekit.load(run, "cpu").stylize(plain(case)))


@kind
def abandoned_frames(case: Case) -> None:
    """A clip that is not watched to its end leaves nothing changed; one that is wrong in the middle ends there."""
    case.expected = RIGHT
    before = state_of_random_numbers()
    model, image = loaded(case.material.cyclegan), plain(case)
    frames = model.frames([image, image, image * 300])
    require_image(next(frames))
    if case.random.random() < 0.5:
        frames.close()
    else:
        try:
            list(frames)
        except stylekit.StylekitError as error:
            require_clear(str(error))
        else:
            raise ClearError("a wrong frame was accepted")
    require_same_state(before)
