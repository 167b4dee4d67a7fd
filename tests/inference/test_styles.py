"""Styles: blended as weights say, kept in files, and gathered into looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, StylekitError, make
from stylekit.inference.model import Model, load
from stylekit.inference.styles import Style, blend, cluster_styles, keys_match, read_style, write_style
from stylekit.method import Statistics
from stylekit.weights.tensors import write_tensors


def style(*values: float, shares: tuple[float, ...] = (1.0,)) -> Style:
    """A style of one statistic, a row a look."""
    return Style({"mean": torch.tensor(values)[:, None]}, torch.tensor(shares), "key", "method")


def test_a_blend_is_the_weighted_average_of_the_statistics() -> None:
    mixed = blend([(style(2.0), 3), (style(10.0), 1)])
    assert mixed["mean"].tolist() == [[(3 * 2 + 1 * 10) / 4]]


def test_the_looks_of_a_style_count_by_their_shares() -> None:
    looks = style(0.0, 8.0, shares=(0.75, 0.25))
    assert blend([(looks, 1)])["mean"].tolist() == [[2.0]]
    assert blend([(looks, 0.5), (style(10.0), 0.5)])["mean"].tolist() == [[6.0]]
    assert blend([(looks.look(2), 7)])["mean"].tolist() == [[8.0]]


def test_a_style_alone_stays_as_it_is_bit_for_bit() -> None:
    rows = torch.rand(1, 5, 7)
    for weight in (1.0, 0.3, 7.0):
        assert torch.equal(blend([(Style({"it": rows}, torch.ones(1), "", ""), weight)])["it"], rows)


@pytest.mark.parametrize(
    ("weights", "told"),
    [((0.0, 0.0), "sum to zero"), ((-1.0, 2.0), "from 0 on, and not -1"), ((float("nan"), 1.0), "not nan")],
)
def test_weights_that_are_none(weights: tuple[float, float], told: str) -> None:
    with pytest.raises(StylekitError, match=told):
        blend([(style(1.0), weights[0]), (style(2.0), weights[1])])


def test_styles_of_other_statistics_do_not_blend() -> None:
    other = Style({"gram": torch.ones(1, 2, 2)}, torch.ones(1), "key", "other")
    with pytest.raises(StylekitError, match="do not blend"):
        blend([(style(1.0), 1), (other, 1)])


@pytest.mark.parametrize("number", [0, 3])
def test_a_look_that_is_not_there(number: int) -> None:
    with pytest.raises(StylekitError, match=f"looks 1 to 2, and no look {number}"):
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


def test_the_key_is_that_of_the_weights_that_describe() -> None:
    method = alike()
    model = Model(method, "two")
    before = model.style_key
    with torch.no_grad():
        method.decoder.weight.add_(1)
    assert model.style_key == before == key(alike()) != key(alike(), "other")
    with torch.no_grad():
        method.encoder.weight[0, 0] += 1e-6  # the same model, changed in place
    assert not keys_match(model.style_key, before)


def test_options_count_if_something_else_is_described() -> None:
    assert key(alike()) == key(alike(lr=0.2))
    assert not keys_match(key(alike()), key(alike(power=2.0)))


RANDOM = {"name": "random", "width": 8}
TINY = {"name": "adain", "encoder": {**RANDOM, "scales": 2}}
DESCENT = {"name": "descent", "plan": (0,), "encoder": {**RANDOM, "scales": 1}}
GATYS = {"name": "gatys", "encoder": {**RANDOM, "scales": 2}}


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (TINY, {**TINY, "lr": 1.0, "style": 5.0}, True),
        (TINY, {**TINY, "layers": ["scale2"]}, True),  # the deepest layer is what it describes
        (TINY, {**TINY, "layers": ["scale1"]}, False),  # of the same shape
        (TINY, {**TINY, "unbiased": True}, False),
        (TINY, {**TINY, "encoder": {**RANDOM, "scales": 2, "seed": 1}}, False),
        ({**DESCENT, "widths": (4, 4, 4)}, {**DESCENT, "widths": (8, 4, 4), "lr": 1.0}, True),
        ({**DESCENT, "widths": (4, 4, 4)}, {**DESCENT, "widths": (4, 4, 4, 4)}, False),
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
        with pytest.raises(StylekitError, match="described by another model"):
            models[1].style(style)


def test_keys_may_differ_as_far_as_devices_round_apart() -> None:
    assert keys_match("0f:1.2340", "0f:1.2350")
    assert not keys_match("0f:1.2340", "0f:1.2440")
    assert not keys_match("0f:1.2340", "0e:1.2340")


def test_a_style_file_holds_everything(tmp_path: Path) -> None:
    statistics = {"mean": torch.rand(3, 4), "gram": torch.rand(3, 2, 2)}
    write_style(tmp_path / "a.style", Style(statistics, torch.tensor([0.5, 0.25, 0.25]), "ab:-1.25", "adain"))
    again = read_style(tmp_path / "a.style")
    assert (again.key, again.method, again.shares.tolist()) == ("ab:-1.25", "adain", [0.5, 0.25, 0.25])
    assert again.statistics.keys() == statistics.keys()
    assert all(torch.equal(again.statistics[name], rows) for name, rows in statistics.items())
    with pytest.raises(StylekitError, match=r"ends in \.style"):
        write_style(tmp_path / "a.png", again)


GOOD = {"shares": torch.ones(1), "mean": torch.ones(1, 2)}


@pytest.mark.parametrize(
    ("tensors", "header", "told"),
    [
        ({"mean": torch.ones(1, 2)}, {"kind": "style", "key": "0f", "method": "m"}, "is no style file"),
        ({"shares": torch.ones(1)}, {"method": "m"}, "is no style file"),
        ({"shares": torch.ones(2), "mean": torch.ones(2, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.ones(2, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), float("nan"))}, None, "is damaged"),
        ({"shares": torch.ones(()), "mean": torch.ones(1, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.ones(())}, None, "is damaged"),
        ({"shares": torch.ones(1)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), 1e38)}, None, "numbers in its statistics 'mean'"),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), 1e300, dtype=torch.float64)}, None, "numbers in its"),
        ({"shares": torch.ones(1), "mean": torch.ones(1, 2, dtype=torch.bool)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.ones(1, 2, dtype=torch.int64)}, None, "is damaged"),
        ({"shares": torch.ones(1, dtype=torch.bool), "mean": torch.ones(1, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean\x1b[2J": torch.ones(1, 2)}, None, "its header is none"),
        (GOOD, {"kind": "style", "key": "0f", "method": "\x1b]0;title\x07"}, "its header is none"),
        (GOOD, {"kind": "style", "key": "0f\n", "method": "m"}, "its header is none"),
        (GOOD, {"kind": "style", "key": "1.5:2", "method": "m"}, "its header is none"),
    ],
)
def test_files_that_hold_no_style(
    tmp_path: Path, tensors: dict[str, Tensor], header: dict[str, str] | None, told: str
) -> None:
    write_tensors(tmp_path / "a.style", tensors, header or {"kind": "style", "key": "0f", "method": "m"})
    with pytest.raises(StylekitError, match=told):
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
def test_a_file_whose_statistics_are_not_the_models_is_told_by_its_name(
    tmp_path: Path, change: dict[str, Tensor | None]
) -> None:
    model = load("color-pca", "cpu")
    whole = model.style(torch.rand(1, 3, 9, 9))
    edited = {name: rows for name, rows in {**whole.statistics, **change}.items() if rows is not None}
    write_style(tmp_path / "a.style", Style(edited, whole.shares, whole.key, whole.method))
    with pytest.raises(
        StylekitError, match=rf"a\.style is damaged: its statistics {next(iter(change))!r} are missing, or"
    ):
        model.style(tmp_path / "a.style")


def groups(*sizes: int) -> tuple[list[Statistics], list[int]]:
    """Pictures in shuffled groups, of which the statistics lie closely around 10, 20, ...; and whose each is."""
    torch.manual_seed(0)
    whose = [group for group, size in enumerate(sizes) for _ in range(size)]
    whose = [whose[place] for place in torch.randperm(len(whose)).tolist()]
    return [
        {"mean": 10.0 * (group + 1) + torch.rand(1, 3), "gram": 1e-4 * (group + torch.rand(1, 2, 2) / 10)}
        for group in whose
    ], whose


@pytest.mark.parametrize("sizes", [(6, 2), (2, 6), (5, 4, 2)])
def test_groups_of_pictures_become_looks(sizes: tuple[int, ...]) -> None:
    described, whose = groups(*sizes)
    statistics, shares = cluster_styles(described, len(sizes))
    order = sorted(range(len(sizes)), key=lambda group: -sizes[group])
    torch.testing.assert_close(shares, torch.tensor([sizes[group] / len(whose) for group in order]))
    for look, group in enumerate(order):
        for name in ("mean", "gram"):
            members = [each[name][0] for each, of in zip(described, whose, strict=True) if of == group]
            torch.testing.assert_close(statistics[name][look], sum(members) / len(members))


def test_whatever_the_looks_their_blend_is_the_average_of_all_pictures() -> None:
    described, _ = groups(5, 3, 4)
    average = sum(each["mean"] for each in described) / len(described)
    for looks in (1, 2, 5, 12, 99):
        statistics, shares = cluster_styles(described, looks)
        assert len(shares) <= min(looks, 12)
        torch.testing.assert_close(blend([(Style(statistics, shares, "", ""), 1)])["mean"], average)


def test_pictures_that_are_all_the_same_make_one_look() -> None:
    statistics, shares = cluster_styles([{"mean": torch.ones(1, 3)}] * 4, 3)
    assert (shares.tolist(), statistics["mean"].tolist()) == ([1.0], [[1.0, 1.0, 1.0]])
