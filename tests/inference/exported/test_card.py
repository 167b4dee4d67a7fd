"""What exported files say about themselves, and what happens if it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stylekit import StylekitError
from stylekit.inference.exported.card import Card, Probe, drawn, parse_card, read_onnx_card, summary
from tests.facts import raises

CARD = Card("stylize", "cyclegan", "0.1.0", "00ff", codes=[], probes=[Probe([8, 8], [0.5] * 48)])


def test_a_card_is_read_as_it_was_written() -> None:
    assert parse_card(CARD.as_json(), Path("x.onnx")) == CARD


@pytest.mark.parametrize(
    "change",
    [
        {"graph": "translate"},
        {"scale": 0},
        {"scale": "big"},
        {"method": "\x1b[2J"},
        {"probes": 3},
        {"probes": [{"length": 1}]},
        {"probes": [{"size": [10**9, 10**9], "means": [0.5]}]},
        {"probes": [{"size": [-5, 5], "means": [0.5]}]},
        {"probes": [{"size": "ab", "means": [0.5]}]},
        {"probes": [{"size": [8, 8], "means": "abc"}]},
        {"statistics": 5},
        {"statistics": {"mean": [0]}},
        {"strength": "foo"},
        {"scale": "2"},
        {"scale": 1.5},
        {"learned": ["x"]},
        {"learned": {"x": {"mean": [[1.0]]}}},
        {"bytes_per_pixel": -1},
        {"codes": [10**9]},
    ],
    ids=str,
)
def test_a_damaged_card_is_refused(change: dict[str, object]) -> None:
    with raises(StylekitError, "x.onnx", "damaged"):
        parse_card(json.dumps({**json.loads(CARD.as_json()), **change}), Path("x.onnx"))


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"format": 1}', "[" * 10000])
def test_other_texts_are_refused(text: str) -> None:
    with raises(StylekitError, "x.onnx"):
        parse_card(text, Path("x.onnx"))


def test_a_card_of_another_version_says_so() -> None:
    with raises(StylekitError, "x.onnx", "another version", "again"):
        parse_card(CARD.as_json().replace('"format": 1', '"format": 2'), Path("x.onnx"))


def test_the_card_of_an_onnx_file_is_found_without_its_graph(shipped: Path, tmp_path: Path) -> None:
    card = read_onnx_card(shipped)
    assert (card.graph, card.method, card.strength, card.takes_styles) == ("stylize", "any-style", "statistics", True)
    data = shipped.read_bytes()
    for name, damaged in {"short": data[: len(data) // 2], "empty": b"", "text": b"not a model" * 9}.items():
        (tmp_path / f"{name}.onnx").write_bytes(damaged)
        with raises(StylekitError, tmp_path / f"{name}.onnx"):
            read_onnx_card(tmp_path / f"{name}.onnx")
    with raises(StylekitError, "nowhere.onnx"):
        read_onnx_card(tmp_path / "nowhere.onnx")


def test_an_onnx_file_of_another_program_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    ])  # fmt: skip
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with raises(StylekitError, "other.onnx", "stylekit export"):
        read_onnx_card(tmp_path / "other.onnx")


def test_summaries_are_means_of_cells() -> None:
    image = np.zeros((1, 3, 8, 12), np.float32)
    image[0, 1, :2, :3] = 1  # green in the first cell
    assert summary(image) == [0, 1, 0] + [0] * 45
    one = drawn(9, 14)
    assert one.shape == (1, 3, 9, 14)
    assert 0 <= one.min() < 0.3 < 0.7 < one.max() <= 1
    assert len(summary(drawn(3, 2))) < 48
