"""Model files, and weights of other programs to import: received from anyone, so nothing in them is trusted."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stylekit
from stylekit import images
from stylekit.inference.importing import import_model
from tests.fuzz import containers
from tests.fuzz.cases import Case, Kind
from tests.fuzz.containers import (
    CONTAINER_DAMAGES,
    CONTROL,
    deep,
    tensor_names,
    with_arguments,
    with_metadata,
    with_values,
)
from tests.fuzz.damage import damaged, place, spliced
from tests.fuzz.judge import CLEAR, RIGHT, Bad
from tests.fuzz.pictures import require_image

kind = Kind("model_files", 400)
SECRET = "root:x:0:0:secret"
opened: list[str] = []
"""Paths that Python opened in this process."""


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened.append(os.fsdecode(arguments[0]))


sys.addaudithook(_listen)


# What is done with a model file


def base(case: Case) -> bytes:
    """A whole model file: a translator, one for any style, or the one that is shipped."""
    shipped = Path(stylekit.__file__).parent.parent / "plugins" / "models" / "any" / "stylekit-any.safetensors"
    return case.random.choice(
        (case.material.cyclegan, case.material.cyclegan, case.material.adain, shipped)
    ).read_bytes()


def written(case: Case, data: bytes, name: str = "received.safetensors") -> Path:
    path = case.folder / name
    path.write_bytes(data)
    return path


def use(case: Case, path: Path) -> None:
    """Stylises a picture with a model file, in Python and with the program. Errors name the file, or its method."""
    case.mentions = (path.name, str(path), "The method")
    case.keep(path)
    output = case.folder / "out.png"
    arguments = ("stylize", case.material.photo, "-o", output, "--model", path, "--device", "cpu")
    size = path.stat().st_size if path.is_file() else 0
    case.every(lambda: stylize(case, path, size), lambda: run_program(case, arguments, size))


def run_program(case: Case, arguments: tuple[object, ...], size: int) -> None:
    try:
        case.program(*arguments, size=size)
    except Exception as error:
        if "needs a style" not in str(error):
            raise
        case.program(*arguments, "--style", case.material.painting, size=size)


def stylize(case: Case, path: Path, size: int) -> torch.Tensor:
    opened.clear()
    model = case.measured(stylekit.load, path, "cpu", size=size)
    content = images.read(case.material.photo).image
    styles = [case.material.painting] if model.method.takes_styles() else []
    if getattr(model.method, "steps", 0) > 100_000:
        raise Bad(f"a file may ask for {model.method.steps} steps")
    output: torch.Tensor = case.measured(model.stylize, content, *styles, size=size)
    require_image(output)
    if output.shape != content.shape:
        raise Bad(f"the output has the shape {tuple(output.shape)}")
    return output


# Damage


@kind.often(5)
def damaged_bytes(case: Case) -> None:
    use(case, written(case, damaged(base(case), case.random)))


@kind.often(10)
def damaged_container(case: Case) -> None:
    use(case, written(case, case.random.choice(CONTAINER_DAMAGES)(base(case), case.random)))


@kind
def spliced_files(case: Case) -> None:
    use(case, written(case, spliced(base(case), base(case), case.random)))


@kind
def unchanged(case: Case) -> None:
    """The file as it is: the same output, bit by bit."""
    case.expected = RIGHT
    path = written(case, case.material.cyclegan.read_bytes())
    use(case, path)
    if not torch.equal(stylize(case, path, 0), stylize(case, case.material.cyclegan, 0)):
        raise Bad("the same model gives another output")


@kind.often(4)
def impossible_weights(case: Case) -> None:
    """NaN, infinity, integers and zeros: refused, not used."""
    case.expected = CLEAR
    data = case.random.choice((case.material.cyclegan, case.material.adain)).read_bytes()
    name = case.random.choice([each for each in tensor_names(data) if each.endswith("weight")])
    form = case.random.choice(("nan", "inf", "-inf", "large", "integers", "zeros", "all integers"))
    case.tried = f"{form} in {name}"

    def change(key: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if form == "zeros":
            return np.zeros_like(values)
        if form == "all integers":
            return values.astype(np.int64)
        if key != name:
            return values
        if form == "integers":
            return (values * 100).astype(np.int32)
        if form == "large":
            return np.full(values.shape, 1e308)
        values.flat[case.random.randrange(values.size)] = float(form)
        return values

    use(case, written(case, with_values(data, change)))


@kind.often(2)
def other_precision(case: Case) -> None:
    """Weights in half or double precision are weights."""
    case.expected = RIGHT
    kind_ = case.random.choice((np.float16, np.float64))
    use(case, written(case, with_values(case.material.cyclegan.read_bytes(), lambda _, values: values.astype(kind_))))


# Headers


ABSURD: tuple[Any, ...] = (
    0,
    -1,
    2.5,
    10**9,
    10**12,
    2**63,
    2**64,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 100_000,
    None,
    True,
    [],
    {},
    [[[]]],
    [10**9],
    [1] * 100_000,
    {"callable": "os:system"},
    {"name": "os.system"},
    {"name": 7},
    {"name": None},
    *CONTROL,
)


@kind.often(8)
def absurd_argument(case: Case) -> None:
    """One argument of the method, or of a part of it, has a value that nobody would choose."""
    value = case.random.choice(ABSURD)
    case.tried = f"{value!r:.80}"

    def change(arguments: dict[str, Any]) -> None:
        key = case.random.choice(list(arguments))
        part = arguments[key]
        if isinstance(part, dict) and case.random.random() < 0.7:
            part[case.random.choice(list(part))] = value
        else:
            arguments[key] = value

    use(case, written(case, with_arguments(base(case), change)))


SIZES = (200, 600, 5000, 10**6, 10**9, 10**12)
LARGE_PARTS: dict[str, list[dict[str, Any]]] = {
    "generator": [
        *({"name": "resnet", "blocks": size, "width": 4} for size in SIZES),
        *({"name": "resnet", "blocks": 1, "width": size} for size in SIZES),
        *({"name": "resnet", "blocks": 1, "width": 4, "downs": size} for size in SIZES),
        *({"name": "unet", "downs": size} for size in SIZES),
        *({"name": "unet", "width": size} for size in SIZES),
    ],
    "discriminator": [
        *({"name": "patch", "layers": size} for size in SIZES),
        *({"name": "patch", "layers": 1, "width": size} for size in SIZES),
        *({"name": "spectral", "width": size} for size in SIZES),
    ],
    "encoder": [
        *({"name": "random", "scales": size} for size in SIZES),
        *({"name": "random", "width": size} for size in SIZES),
        *({"name": "random", "side": size + 1} for size in SIZES),
    ],
}


@kind.often(6)
def part_of_absurd_size(case: Case) -> None:
    """A small file asks for networks of gigabytes, or of endless layers."""
    data = case.random.choice((case.material.cyclegan, case.material.adain)).read_bytes()

    def change(arguments: dict[str, Any]) -> None:
        key = case.random.choice([name for name in LARGE_PARTS if name in arguments])
        arguments[key] = case.random.choice(LARGE_PARTS[key])
        case.tried = f"{key}={arguments[key]}"

    use(case, written(case, with_arguments(data, change)))


@kind.often(3)
def endless_method(case: Case) -> None:
    """A method that optimises for ever, or that has endless layers."""
    number = case.random.choice((10**6, 10**9, 10**12, 2**63))
    method, arguments = case.random.choice(
        (
            ("gatys", {"encoder": "random", "steps": number}),
            ("gatys", {"encoder": "random", "levels": number}),
            ("gatys", {"encoder": {"name": "random", "scales": number}}),
            ("any-style", {"width": number}),
            ("any-style", {"deep": number}),
            ("any-style", {"blocks": number}),
            ("perceptual", {"encoder": "random", "width": number}),
            ("perceptual", {"encoder": "random", "styles": ["a"] * 10**5}),
            ("cyclegan", {"pool": number}),
        )
    )
    case.tried = f"{method} {str(arguments)[:80]}"
    change = {"method": method, "arguments": json.dumps(arguments), "inference_modules": None}
    use(case, written(case, with_metadata(case.material.cyclegan.read_bytes(), change)))


@kind.often(3)
def unknown_method(case: Case) -> None:
    case.expected = CLEAR
    name = case.random.choice(
        ("nowhere", "", "os:system", "../../evil.py", str(case.folder / "evil.py"), "a" * 10_000, "CYCLEGAN", *CONTROL)
    )
    (case.folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(case.marker)!r}).touch()")
    origin = case.random.choice(("stylekit-torch 0.1.0", "evil 1.0", "pip install evil", *CONTROL))
    use(case, written(case, with_metadata(case.material.cyclegan.read_bytes(), {"method": name, "origin": origin})))


@kind.often(3)
def advertised_packages(case: Case) -> None:
    """A header lists packages that the method does not need: none of them is recommended."""
    packages = case.random.choice(
        (
            {"evil-package": "1.0"},
            {f"evil-{number}": "1.0" for number in range(20_000)},
            {"evil; rm -rf /": "1.0"},
            {"evil": "1.0 --index-url http://evil"},
            {"https://evil/x.whl": "1"},
            {"evil": None},
            {"evil": ["1"]},
            ["evil"],
            {f"evil{case.random.choice(CONTROL)}": "1.0"},
        )
    )
    path = written(case, with_metadata(case.material.cyclegan.read_bytes(), {"packages": json.dumps(packages)}))
    try:
        use(case, path)
    except Exception as error:
        if "pip install" in str(error):
            raise Bad(
                f"a received file has a package recommended that it does not need: {str(error)[:200]!r}"
            ) from None
        raise


@kind.often(2)
def path_in_the_header(case: Case) -> None:
    """A path in the header is not opened, and no message says anything about it."""
    secret = written(case, SECRET.encode(), "secret")
    path = str(case.random.choice((secret, "/etc/passwd", "/dev/zero", f"file://{secret}", "secret")))
    part = case.random.choice(({"name": "vgg19", "weights": path}, {"name": "vgg19-normalised", "weights": path}, path))
    received = written(case, with_arguments(case.material.adain.read_bytes(), lambda each: each.update(encoder=part)))
    try:
        use(case, received)
    except Exception as error:
        if "secret" in str(error).replace(path, "") or "directory" in str(error):
            raise Bad(f"the error tells about a file: {error}") from None
        raise
    finally:
        if any(os.path.abspath(name) == os.path.abspath(path) for name in opened):
            raise Bad(f"a path in the header was opened: {path}")


@kind
def odd_modules(case: Case) -> None:
    value = case.random.choice(
        (
            "[]",
            '["generator_ab"]',
            '["nowhere"]',
            '["__class__"]',
            "{}",
            "7",
            '[["a"]]',
            "[null]",
            deep(),
            '"generator_ab"',
        )
    )
    use(case, written(case, with_metadata(case.material.cyclegan.read_bytes(), {"inference_modules": value})))


@kind
def other_format(case: Case) -> None:
    case.expected = CLEAR
    value = case.random.choice(("0", "2", "999999999999999999999", "1.0", "", "one", *CONTROL, None))
    use(case, written(case, with_metadata(case.material.cyclegan.read_bytes(), {"format": value})))


# Files that are none


@kind.often(2)
def not_a_model(case: Case) -> None:
    case.expected = CLEAR
    path = case.folder / "received.safetensors"
    form = case.random.choice(
        ("empty", "picture", "pickle", "zip", "pipe", "loop", "folder", "zero", "text", "missing", "bare")
    )
    contents = {
        "empty": b"",
        "picture": case.material.photo.read_bytes(),
        "pickle": pickle.dumps(Evil(str(case.marker))),
        "zip": zipped({"a/data.pkl": pickle.dumps({})}),
        "text": b"stylekit",
        "bare": containers.join({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    }
    place(path, form, contents)
    use(case, path)


# Weights of other programs


class Evil:
    """Unpickling it writes a file."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, (f"touch {self.marker}",)


def zipped(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def convert(case: Case, path: Path) -> None:
    """Imports weights, in Python or with the program; a model is written, or nothing is."""
    case.mentions = (path.name, str(path))
    case.keep(path)
    target = case.folder / "imported.safetensors"
    size = path.stat().st_size if path.is_file() else 0
    try:
        if case.random.random() < 0.5:
            case.measured(import_model, [path], "cyclegan", target, size=size)
        else:
            case.program("import", path, "--plugin", "cyclegan", "-o", target, size=size)
    except Exception:
        if target.exists():
            raise Bad("an import failed, but wrote a model") from None
        raise
    stylize(case, target, target.stat().st_size)


def pth(case: Case, value: Any, **options: Any) -> Path:
    path = case.folder / "received_G_A.pth"
    torch.save(value, path, **options)
    return path


def generator_weights(case: Case) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(case.material.weights, weights_only=True)
    return state


@kind.often(3)
def damaged_import(case: Case) -> None:
    data = case.material.weights.read_bytes()
    convert(case, written(case, damaged(data, case.random), "received_G_A.pth"))


@kind.often(3)
def wrapped_import(case: Case) -> None:
    """Prefixes, one dict inside another, and the older format: taken."""
    case.expected = RIGHT
    state: Any = generator_weights(case)
    for prefix in case.random.choices(("module.", "_orig_mod."), k=case.random.randint(0, 3)):
        state = {prefix + key: value for key, value in state.items()}
    state = case.random.choice((state, {"state_dict": state}, {"model": state, "epoch": 3}, {"params_ema": state}))
    convert(case, pth(case, state, _use_new_zipfile_serialization=case.random.random() < 0.7))


@kind.often(3)
def evil_import(case: Case) -> None:
    """Code in a pickle is never run."""
    case.expected = CLEAR
    evil = Evil(str(case.marker))
    state = generator_weights(case)
    content = case.random.choice(
        (evil, {**state, "evil": evil}, [evil], {"state_dict": {**state, "evil": evil}}, {evil.marker: print})
    )
    form = case.random.choice(("zip", "old", "plain", "named"))
    if form == "plain":
        path = written(case, pickle.dumps(evil, protocol=case.random.choice((0, 2, 4))), "received_G_A.pth")
    elif form == "named":
        path = written(case, pickle.dumps(evil), "received_G_A.safetensors")
    else:
        path = pth(case, content, _use_new_zipfile_serialization=form == "zip")
    convert(case, path)


@kind.often(3)
def odd_tensors(case: Case) -> None:
    """Tensors that are larger than their file, or are not plain ones."""
    state: dict[str, Any] = generator_weights(case)
    name = case.random.choice(list(state))
    odd = case.random.choice(
        (
            lambda each: torch.zeros(1).expand(2**30),
            lambda each: torch.zeros(1).expand(40_000, 40_000),
            lambda each: each.to_sparse(),
            lambda each: torch.quantize_per_tensor(each, 0.1, 0, torch.qint8),
            lambda each: torch.zeros_like(each, dtype=torch.int64),
            lambda each: torch.full_like(each, float("nan")),
            lambda each: each.double() * 1e300,
            lambda each: each.to(torch.complex64),
            lambda each: each.bool(),
            lambda each: torch.empty(each.shape, device="meta"),
            lambda each: torch.zeros(0),
            lambda each: torch.tensor(3.0),
            lambda each: torch.nn.Parameter(each),
            lambda each: each.t() if each.ndim == 2 else each.flip(0),
        )
    )
    convert(case, pth(case, {**state, name: odd(state[name])}))


@kind
def odd_structures(case: Case) -> None:
    case.expected = CLEAR
    content: Any = case.random.choice(
        (
            {},
            [],
            7,
            None,
            "text",
            {1: torch.zeros(1)},
            {"a": "b"},
            {"a": {"b": {"c": torch.zeros(1)}}},
            {"": torch.zeros(1)},
            torch.zeros(3),
        )
    )
    convert(case, pth(case, content))


@kind.often(2)
def archive_bomb(case: Case) -> None:
    """An archive that unpacks to gigabytes, or claims to."""
    case.expected = CLEAR
    if case.random.random() < 0.5:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(
                case.random.choice(("archive/data/0", "archive/data.pkl")), "w", force_zip64=True
            ) as entry:
                for _ in range(1500):
                    entry.write(bytes(2**20))
            archive.writestr("archive/version", "3")
        data = file.getvalue()
    else:
        changed = bytearray(case.material.weights.read_bytes())
        start = changed.rindex(b"PK\1\2")
        changed[start + 20 : start + 28] = struct.pack("<II", *case.random.choice(((2**32 - 1,) * 2, (100, 2**31))))
        data = bytes(changed)
    convert(case, written(case, data, "received_G_A.pth"))


@kind
def not_weights(case: Case) -> None:
    case.expected = CLEAR
    data = case.random.choice(
        (
            b"",
            b"PK",
            b"PK\3\4",
            b"\x80\x02",
            case.material.photo.read_bytes(),
            zipped({"x": b"y"}),
            zipped({}),
            b"text",
            os.urandom(999),
        )
    )
    convert(case, written(case, data, f"received_G_A{case.random.choice(('.pth', '.pt', '.safetensors', '.bin', ''))}"))


@kind
def safetensors_weights(case: Case) -> None:
    """Weights in safetensors, whole or damaged."""
    from safetensors.torch import save

    data = save(generator_weights(case), {"format": "pt"})
    if case.random.random() < 0.7:
        data = case.random.choice((lambda each, draw: damaged(each, draw), *CONTAINER_DAMAGES))(data, case.random)
    convert(case, written(case, data, "received_G_A.safetensors"))
