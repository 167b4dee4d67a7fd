"""Styles: blended by weights, kept in files, and clustered into looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, StylekitError, make
from stylekit.inference.clusters import cluster_styles
from stylekit.inference.loading import load
from stylekit.inference.model import Model
from stylekit.inference.style_keys import keys_match
from stylekit.inference.styles import Style, blend, read_style, write_style
from stylekit.method import Statistics
from stylekit.weights.tensors import write_tensors
from tests.facts import raises


def style(*values: float, shares: tuple[float, ...] = (1.0,)) -> Style:
    """A style of one statistic, one row per look."""
    return Style({"mean": torch.tensor(values)[:, None]}, torch.tensor(shares), "key", "method")


def test_a_blend_is_the_weighted_average_of_the_statistics() -> None:
    mixed = blend([(style(2.0), 3), (style(10.0), 1)])
    assert mixed["mean"].tolist() == [[(3 * 2 + 1 * 10) / 4]]


def test_the_looks_of_a_style_are_weighted_by_their_shares() -> None:
    looks = style(0.0, 8.0, shares=(0.75, 0.25))
    assert blend([(looks, 1)])["mean"].tolist() == [[2.0]]
    assert blend([(looks, 0.5), (style(10.0), 0.5)])["mean"].tolist() == [[6.0]]
    assert blend([(looks.look(2), 7)])["mean"].tolist() == [[8.0]]


def test_a_single_style_is_unchanged_bit_for_bit() -> None:
    rows = torch.rand(1, 5, 7)
    for weight in (1.0, 0.3, 7.0):
        assert torch.equal(blend([(Style({"it": rows}, torch.ones(1), "", ""), weight)])["it"], rows)


@pytest.mark.parametrize(
    ("weights", "facts"),
    [((0.0, 0.0), ("weights", "zero", 0)), ((-1.0, 2.0), ("weight", "-1.0")), ((float("nan"), 1.0), ("weight", "nan"))],
)
def test_invalid_weights_are_refused(weights: tuple[float, float], facts: tuple[object, ...]) -> None:
    with raises(StylekitError, *facts):
        blend([(style(1.0), weights[0]), (style(2.0), weights[1])])


def test_styles_with_different_statistics_cannot_be_blended() -> None:
    other = Style({"gram": torch.ones(1, 2, 2)}, torch.ones(1), "key", "other")
    with raises(StylekitError, "styles", "blend", "statistics"):
        blend([(style(1.0), 1), (other, 1)])


@pytest.mark.parametrize("number", [0, 3])
def test_a_missing_look_is_refused(number: int) -> None:
    with raises(StylekitError, 1, 2, f"look {number}"):
        style(1.0, 2.0, shares=(0.5, 0.5)).look(number)


class Two(Method):
    """An encoder that describes, and a decoder that does not."""

    def __init__(self, power: float = 1.0, lr: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.decoder, self.power = nn.Linear(3, 3), nn.Linear(2, 2), power

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": self.encoder(style.pow(self.power).mean((2, 3)))}


def key(method: Method, name: str = "two") -> str:
    return Model(method, name).style_key


def alike(**options: float) -> Two:
    """A method of the same weights at each call."""
    torch.manual_seed(0)
    return Two(**options)


def test_the_key_depends_on_the_weights_that_describe() -> None:
    method = alike()
    before = key(method)
    with torch.no_grad():
        method.decoder.weight.add_(1)
    assert key(method) == before == key(alike()) != key(alike(), "other")
    with torch.no_grad():
        method.encoder.weight[0, 0] += 1e-6
    assert not keys_match(key(method), before)


def test_the_key_is_computed_once() -> None:
    described: list[int] = []

    class Counting(Two):
        def describe(self, style: Tensor) -> Statistics:
            described.append(style.shape[-1])
            return super().describe(style)

    model = Model(Counting(), "two")
    assert len({model.style_key for _ in range(3)}) == 1
    for _ in range(3):
        model.style(model.style(torch.rand(1, 3, 20, 20)))
    assert sorted(described) == [8, 20, 20, 20]  # the probe, and the style images


def test_the_key_depends_on_options_that_change_what_is_described() -> None:
    assert key(alike()) == key(alike(lr=0.2))
    assert not keys_match(key(alike()), key(alike(power=2.0)))


RANDOM = {"name": "random", "width": 8}
TINY = {"name": "adain", "encoder": {**RANDOM, "scales": 2}}
GATYS = {"name": "gatys", "encoder": {**RANDOM, "scales": 2}}


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (TINY, {**TINY, "lr": 1.0, "style": 5.0}, True),
        (TINY, {**TINY, "layers": ["scale2"]}, True),  # the deepest layer is what it describes
        (TINY, {**TINY, "layers": ["scale1"]}, False),  # of the same shape
        (TINY, {**TINY, "unbiased": True}, False),
        (TINY, {**TINY, "encoder": {**RANDOM, "scales": 2, "seed": 1}}, False),
        (GATYS, {**GATYS, "steps": 2, "style_weight": 1.0, "optimizer": "adam"}, True),
        (GATYS, {**GATYS, "levels": 2}, False),
        (GATYS, {**GATYS, "style_layers": ["scale1"]}, False),
    ],
)
def test_which_models_share_their_styles(one: dict[str, Any], other: dict[str, Any], fits: bool) -> None:
    models = [Model(make("method", each), each["name"]) for each in (one, other)]
    style = models[0].style(torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)))
    if fits:
        models[1].style(style)
    else:
        with raises(StylekitError, "another model", one["name"]):
            models[1].style(style)


def test_keys_match_within_the_rounding_of_devices() -> None:
    assert keys_match("0f:1.2340", "0f:1.2350")
    assert not keys_match("0f:1.2340", "0f:1.2440")
    assert not keys_match("0f:1.2340", "0e:1.2340")


def test_a_style_file_keeps_everything(tmp_path: Path) -> None:
    statistics = {"mean": torch.rand(3, 4), "gram": torch.rand(3, 2, 2)}
    write_style(tmp_path / "a.style", Style(statistics, torch.tensor([0.5, 0.25, 0.25]), "ab:-1.25", "adain"))
    again = read_style(tmp_path / "a.style")
    assert (again.key, again.method, again.shares.tolist()) == ("ab:-1.25", "adain", [0.5, 0.25, 0.25])
    assert again.statistics.keys() == statistics.keys()
    assert all(torch.equal(again.statistics[name], rows) for name, rows in statistics.items())
    with raises(StylekitError, "a.png", ".style"):
        write_style(tmp_path / "a.png", again)


GOOD = {"shares": torch.ones(1), "mean": torch.ones(1, 2)}


@pytest.mark.parametrize(
    ("tensors", "header", "facts"),
    [
        ({"mean": torch.ones(1, 2)}, {"kind": "style", "key": "0f", "method": "m"}, ("stylekit style learn",)),
        ({"shares": torch.ones(1)}, {"method": "m"}, ("stylekit style learn",)),
        ({"shares": torch.ones(2), "mean": torch.ones(2, 2)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean": torch.ones(2, 2)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), float("nan"))}, None, ("damaged",)),
        ({"shares": torch.ones(()), "mean": torch.ones(1, 2)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean": torch.ones(())}, None, ("damaged",)),
        ({"shares": torch.ones(1)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), 1e38)}, None, ("damaged", "'mean'")),
        (
            {"shares": torch.ones(1), "mean": torch.full((1, 2), 1e300, dtype=torch.float64)},
            None,
            ("damaged", "'mean'"),
        ),
        ({"shares": torch.ones(1), "mean": torch.ones(1, 2, dtype=torch.bool)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean": torch.ones(1, 2, dtype=torch.int64)}, None, ("damaged",)),
        ({"shares": torch.ones(1, dtype=torch.bool), "mean": torch.ones(1, 2)}, None, ("damaged",)),
        ({"shares": torch.ones(1), "mean\x1b[2J": torch.ones(1, 2)}, None, ("damaged", "header")),
        (GOOD, {"kind": "style", "key": "0f", "method": "\x1b]0;title\x07"}, ("damaged", "header")),
        (GOOD, {"kind": "style", "key": "0f\n", "method": "m"}, ("damaged", "header")),
        (GOOD, {"kind": "style", "key": "1.5:2", "method": "m"}, ("damaged", "header")),
    ],
)
def test_invalid_style_files_are_refused(
    tmp_path: Path, tensors: dict[str, Tensor], header: dict[str, str] | None, facts: tuple[str, ...]
) -> None:
    write_tensors(tmp_path / "a.style", tensors, header or {"kind": "style", "key": "0f", "method": "m"})
    with raises(StylekitError, "a.style", *facts):
        read_style(tmp_path / "a.style")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_statistics_are_read_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    header = {"kind": "style", "key": "0f", "method": "m"}
    tensors = {"shares": torch.ones(1, dtype=dtype), "mean": torch.full((1, 2), 0.5, dtype=dtype)}
    write_tensors(tmp_path / "a.style", tensors, header)
    style = read_style(tmp_path / "a.style")
    assert style.shares.dtype == style.statistics["mean"].dtype == torch.float32
    assert style.statistics["mean"].tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    "change",
    [{"root": None}, {"root": torch.ones(1, 3, 4)}, {"mean": torch.ones(1, 4)}, {"more": torch.ones(1, 2)}],
    ids=str,
)
def test_a_file_with_other_statistics_than_the_models_is_named(
    tmp_path: Path, change: dict[str, Tensor | None]
) -> None:
    model = load("color-pca", "cpu")
    whole = model.style(torch.rand(1, 3, 9, 9))
    edited = {name: rows for name, rows in {**whole.statistics, **change}.items() if rows is not None}
    write_style(tmp_path / "a.style", Style(edited, whole.shares, whole.key, whole.method))
    with raises(StylekitError, "a.style", "damaged", repr(next(iter(change))), "'color-pca'"):
        model.style(tmp_path / "a.style")


def groups(*sizes: int) -> tuple[list[Statistics], list[int]]:
    """Statistics of images in shuffled groups, close to 10, 20, ..., and the group of each."""
    torch.manual_seed(0)
    labels = [group for group, size in enumerate(sizes) for _ in range(size)]
    labels = [labels[index] for index in torch.randperm(len(labels)).tolist()]
    return [
        {"mean": 10.0 * (group + 1) + torch.rand(1, 3), "gram": 1e-4 * (group + torch.rand(1, 2, 2) / 10)}
        for group in labels
    ], labels


@pytest.mark.parametrize("sizes", [(6, 2), (2, 6), (5, 4, 2)])
def test_groups_of_images_become_looks(sizes: tuple[int, ...]) -> None:
    described, labels = groups(*sizes)
    statistics, shares = cluster_styles(described, len(sizes))
    order = sorted(range(len(sizes)), key=lambda group: -sizes[group])
    torch.testing.assert_close(shares, torch.tensor([sizes[group] / len(labels) for group in order]))
    for look, group in enumerate(order):
        for name in ("mean", "gram"):
            members = [each[name][0] for each, label in zip(described, labels, strict=True) if label == group]
            torch.testing.assert_close(statistics[name][look], sum(members) / len(members))


def test_the_blend_of_all_looks_is_the_average_of_all_images() -> None:
    described, _ = groups(5, 3, 4)
    average = sum(each["mean"] for each in described) / len(described)
    for looks in (1, 2, 5, 12, 99):
        statistics, shares = cluster_styles(described, looks)
        assert len(shares) <= min(looks, 12)
        torch.testing.assert_close(blend([(Style(statistics, shares, "", ""), 1)])["mean"], average)


def test_identical_images_make_one_look() -> None:
    statistics, shares = cluster_styles([{"mean": torch.ones(1, 3)}] * 4, 3)
    assert (shares.tolist(), statistics["mean"].tolist()) == ([1.0], [[1.0, 1.0, 1.0]])


def test_statistics_may_have_any_name(tmp_path: Path) -> None:
    names = ("shares", "key", "kind")
    statistics = {name: torch.rand(2, 3) for name in names}
    write_style(tmp_path / "a.style", Style(statistics, torch.tensor([0.3, 0.7]), "ab:-1.25", "it"))
    again = read_style(tmp_path / "a.style")
    assert torch.equal(again.shares, torch.tensor([0.3, 0.7]))
    assert all(torch.equal(again.statistics[name], statistics[name]) for name in names)


@pytest.mark.parametrize("shares", ["", "null", "{}", "[[1], [2, 3]]", '["a"]', "[0.5]", "[NaN]", "[" * 10**5])
def test_style_files_with_invalid_shares_are_refused(tmp_path: Path, shares: str) -> None:
    header = {"kind": "style", "key": "0f", "method": "m", "shares": shares}
    write_tensors(tmp_path / "a.style", {"mean": torch.ones(1, 2)}, header)
    with raises(StylekitError, "a.style", "damaged"):
        read_style(tmp_path / "a.style")
