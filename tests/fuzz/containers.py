"""Takes safetensors files apart, and puts them together as no program would."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Header = dict[str, Any]
CONTROL = ("\x1b[31mred\x1b[0m", "two\nlines", "back\rover", "\x07", "\x9b2J", "\u202etxt.exe", "\x00")
"""Texts that control a terminal, or pretend to be others."""


def split(data: bytes) -> tuple[Header, bytes]:
    """The header and the tensors of a safetensors file."""
    (length,) = struct.unpack("<Q", data[:8])
    header: Header = json.loads(data[8 : 8 + length])
    return header, data[8 + length :]


def join(header: Header | bytes, tensors: bytes) -> bytes:
    """A safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def with_metadata(data: bytes, change: Mapping[str, Any]) -> bytes:
    """The file with other metadata; None removes an entry."""
    header, tensors = split(data)
    metadata = {**header["__metadata__"], **change}
    header["__metadata__"] = {key: value for key, value in metadata.items() if value is not None}
    return join(header, tensors)


def with_arguments(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The model file with other arguments of its method."""
    arguments = json.loads(split(data)[0]["__metadata__"]["arguments"])
    change(arguments)
    return with_metadata(data, {"arguments": json.dumps(arguments)})


def deep(levels: int = 100_000, form: str = "[]") -> str:
    """JSON with that many levels."""
    return ("[" * levels + "]" * levels) if form == "[]" else '{"a":' * levels + "1" + "}" * levels


# Damage of the container


def absurd_length(data: bytes, draw: random.Random) -> bytes:
    return struct.pack("<Q", draw.choice((0, 1, 2**31, 2**63, 2**64 - 1, len(data), 10**8))) + data[8:]


def not_json(data: bytes, draw: random.Random) -> bytes:
    text = draw.choice(
        (
            b"",
            b"{",
            b"null",
            b"[]",
            b"1",
            b'"x"',
            b"\xff\xfe",
            b"NaN",
            deep().encode(),
            deep(form="{}").encode(),
            b" " * 10**6,
        )
    )
    return join(text, split(data)[1])


def repeated_keys(data: bytes, draw: random.Random) -> bytes:
    text = data[8 : 8 + struct.unpack("<Q", data[:8])[0]]
    return join(text.rstrip()[:-1] + b"," + text.lstrip()[1:], split(data)[1])


def odd_offsets(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    name = draw.choice([key for key in header if key != "__metadata__"])
    begin, end = header[name]["data_offsets"]
    header[name]["data_offsets"] = draw.choice(
        (
            [end, begin],
            [-4, 0],
            [0, 2**63],
            [begin, end + 4],
            [begin + 1, end + 1],
            [0, 4],
            [],
            None,
            [begin],
            ["a", "b"],
            [1.5, 2],
        )
    )
    return join(header, tensors)


def odd_shape(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    name = draw.choice([key for key in header if key != "__metadata__"])
    shape = header[name]["shape"]
    header[name]["shape"] = draw.choice(
        (
            [*shape, 1],
            shape[::-1],
            [2**40, *shape[1:]],
            [-1],
            [2**62, 4],
            [1] * 1000,
            [0],
            None,
            "3",
            [1.5],
            [*shape[:-1], 7],
        )
    )
    return join(header, tensors)


def odd_type(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    for name in draw.choice(([draw.choice(list(header))], list(header))):
        if name != "__metadata__":
            header[name]["dtype"] = draw.choice(("I32", "U32", "F8_E4M3", "BOOL", "C64", "F128", "", None, 7))
    return join(header, tensors)


def odd_names(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    name = draw.choice([key for key in header if key != "__metadata__"])
    other = draw.choice((*CONTROL, "", "a" * 100_000, "../../x", "0" * 5000, "__class__", "__init__.__globals__"))
    return join({other if key == name else key: value for key, value in header.items()}, tensors)


def odd_metadata(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    header["__metadata__"] = draw.choice(
        (None, [], 7, "text", {}, {"a": 1}, {"a": {"b": "c"}}, {f"k{n}": "v" * 10 for n in range(20_000)}, {"": ""})
    )
    return join(header, tensors)


def odd_entry(data: bytes, draw: random.Random) -> bytes:
    """One entry of the metadata is not what it should be."""
    metadata = split(data)[0]["__metadata__"]
    key = draw.choice(list(metadata))
    value = draw.choice(
        (
            None,
            "",
            "null",
            "{}",
            "[]",
            "7",
            '"x"',
            "NaN",
            "{",
            deep(),
            deep(form="{}"),
            "9" * 5000,
            "a" * 10**6,
            *CONTROL,
            "[1e999]",
        )
    )
    return with_metadata(data, {key: value})


def missing_tensor(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    name = draw.choice([key for key in header if key != "__metadata__"])
    begin, end = header[name]["data_offsets"]
    if draw.random() < 0.5:
        header.pop(name)
        return join(header, tensors)
    for entry in header.values():  # without the gap that a reader would notice
        if entry is not header.get("__metadata__") and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [offset - (end - begin) for offset in entry["data_offsets"]]
    header.pop(name)
    return join(header, tensors[:begin] + tensors[end:])


def extra_tensor(data: bytes, draw: random.Random) -> bytes:
    header, tensors = split(data)
    name = draw.choice(("extra", "generator_ab.extra", "encoder.weight", draw.choice(CONTROL)))
    header[name] = {"dtype": "F32", "shape": [4], "data_offsets": [len(tensors), len(tensors) + 16]}
    return join(header, tensors + bytes(16))


CONTAINER_DAMAGES = (
    absurd_length,
    not_json,
    repeated_keys,
    odd_offsets,
    odd_shape,
    odd_type,
    odd_names,
    odd_metadata,
    odd_entry,
    odd_entry,
    missing_tensor,
    extra_tensor,
)


# Damage of the values


def with_values(data: bytes, change: Callable[[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> bytes:
    """The file with other values of its float32 tensors, possibly of another type."""
    types = {"f2": "F16", "f4": "F32", "f8": "F64", "i4": "I32", "i8": "I64", "u1": "U8", "b1": "BOOL"}
    header, tensors = split(data)
    body = b""
    for name, entry in sorted(header.items(), key=lambda each: each[1].get("data_offsets", [0])[0]):
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values, stored = tensors[begin:end], entry["dtype"]
        if stored == "F32":
            array = change(name, np.frombuffer(values, np.float32).reshape(entry["shape"]).copy())
            values, stored = array.tobytes(), types[array.dtype.str[1:]]
        header[name] = {**entry, "dtype": stored, "data_offsets": [len(body), len(body) + len(values)]}
        body += values
    return join(header, body)


def tensor_names(data: bytes) -> list[str]:
    return [name for name, entry in split(data)[0].items() if name != "__metadata__" and entry["dtype"] == "F32"]
