"""Style files: small files that people send each other, so nothing in them is trusted."""

from __future__ import annotations

import contextlib
import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylekit import images
from tests.fuzz.cases import Case, Kind
from tests.fuzz.containers import (
    CONTAINER_DAMAGES,
    CONTROL,
    deep,
    join,
    split,
    tensor_names,
    with_metadata,
    with_values,
)
from tests.fuzz.damage import damaged, place, spliced
from tests.fuzz.judge import CLEAR, RIGHT, Bad, ClearError
from tests.fuzz.model_files import Evil, written
from tests.fuzz.pictures import loaded, require_image

kind = Kind("style_files", 150)


def use(case: Case, path: Path, look: str = "") -> None:
    """Stylises with a style file, in Python and with the program, and shows it."""
    case.mentions = (path.name, str(path))
    case.keep(path)
    size = path.stat().st_size if path.is_file() else 0
    model = ("--model", case.material.adain, "--device", "cpu")
    stylized = ("stylize", case.material.photo, "-o", case.folder / "out.png", "--style", f"{path}{look}", *model)
    try:
        case.every(lambda: stylize(case, f"{path}{look}", size), partial(case.program, *stylized, size=size))
    finally:
        with contextlib.suppress(ClearError):  # what it cannot show
            case.program("style", "show", path, *model, size=size)


def stylize(case: Case, source: str, size: int) -> torch.Tensor:
    model, content = loaded(case.material.adain), images.read(case.material.photo).image
    style = case.measured(model.style, source, size=size)
    output: torch.Tensor = case.measured(model.stylize, content, style, size=size)
    require_image(output)
    return output


def base(case: Case) -> bytes:
    return case.material.style.read_bytes()


@kind.often(4)
def damaged_bytes(case: Case) -> None:
    use(case, written(case, damaged(base(case), case.random), "received.style"))


@kind.often(8)
def damaged_container(case: Case) -> None:
    use(case, written(case, case.random.choice(CONTAINER_DAMAGES)(base(case), case.random), "received.style"))


@kind
def spliced_files(case: Case) -> None:
    data = case.random.choice((base(case), case.material.adain.read_bytes()))
    use(case, written(case, spliced(base(case), data, case.random), "received.style"))


@kind
def unchanged(case: Case) -> None:
    case.expected = RIGHT
    path = written(case, base(case), "received.style")
    use(case, path, case.random.choice(("", "#1", "#2")))
    if not torch.equal(stylize(case, str(path), 0), stylize(case, str(case.material.style), 0)):
        raise Bad("the same style gives another output")


@kind.often(3)
def impossible_statistics(case: Case) -> None:
    case.expected = CLEAR
    name, form = (
        case.random.choice(tensor_names(base(case))),
        case.random.choice(("nan", "inf", "-inf", "1e30", "integers")),
    )

    def change(key: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if key == name and form == "integers":
            return values.astype(np.int32)
        if key == name:
            values.flat[case.random.randrange(values.size)] = float(form)
        return values

    use(case, written(case, with_values(base(case), change), "received.style"))


@kind.often(2)
def odd_statistics(case: Case) -> None:
    """Values that no picture has, but that are numbers: the output is an image, or they are refused."""
    factor = case.random.choice((0, -1, 1e6, 1e-30, 1e14))
    use(case, written(case, with_values(base(case), lambda _, values: values * np.float32(factor)), "received.style"))


@kind.often(3)
def odd_shares(case: Case) -> None:
    odd = (
        "[1]",
        "[0.5,0.5]",
        "[2,-1]",
        "[NaN,1]",
        "[Infinity,0]",
        "[0,0]",
        "[]",
        "{}",
        "null",
        "[[1]]",
        "[1e400,0]",
        "1",
    )
    value = case.random.choice((*odd, '["a","b"]', f"[{'9' * 5000},0]", f"[{'0,' * 10**5}1]", deep(), ""))
    use(case, written(case, with_metadata(base(case), {"shares": value}), "received.style"))


@kind.often(2)
def odd_header(case: Case) -> None:
    key = case.random.choice(("key", "method", "kind", "stylekit"))
    value = case.random.choice((*CONTROL, "", "a" * 10**5, "0" * 16 + ":1e999", "0" * 16 + ":nan", "adain", "²", None))
    use(case, written(case, with_metadata(base(case), {key: value}), "received.style"))


@kind
def many_looks(case: Case) -> None:
    """A hundred thousand looks, with statistics of a few values."""
    count = case.random.choice((0, 3, 100_000))
    header, tensors = split(base(case))
    for entry in header.values():
        if "shape" in entry and case.random.random() < 0.8:
            entry["shape"] = [count, *entry["shape"][1:]]
    header["__metadata__"]["shares"] = json.dumps([1 / max(count, 1)] * count)
    use(case, written(case, join(header, tensors), "received.style"))


@kind.often(2)
def odd_look(case: Case) -> None:
    case.expected = CLEAR
    path = written(case, base(case), "received.style")
    look = case.random.choice(
        ("#0", "#-1", "#3", "#²", "#1.5", "#99999999999999999999", "#", "#one", "#1#1", "#\n", "#1 ")
    )
    use(case, path, look)


@kind
def style_of_another_model(case: Case) -> None:
    """The statistics of another model, or of one with other weights, do not fit."""
    case.expected = CLEAR
    model = loaded(case.material.adain)
    key = case.random.choice(("0" * 16, f"{model.style_key[:16]}:99.0000", f"1{model.style_key[1:]}"))
    use(case, written(case, with_metadata(base(case), {"key": key}), "received.style"))


@kind.often(2)
def not_a_style(case: Case) -> None:
    case.expected = CLEAR
    path = case.folder / "received.style"
    form = case.random.choice(
        ("empty", "picture", "model", "pickle", "text", "pipe", "loop", "folder", "zero", "missing")
    )
    contents = {
        "empty": b"",
        "picture": case.material.photo.read_bytes(),
        "model": case.material.adain.read_bytes(),
        "pickle": pickle.dumps(Evil(str(case.marker))),
        "text": b"stylekit",
    }
    place(path, form, contents)
    use(case, path)


@kind
def wrong_suffix(case: Case) -> None:
    """A style named like an image, and a picture's style by an upper-case suffix."""
    case.expected = CLEAR
    use(
        case,
        written(
            case, base(case), case.random.choice(("received.png", "received", "received.STYLE", "received.style.txt"))
        ),
    )
