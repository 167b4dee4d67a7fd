"""Styles: blended as weights say, kept in files, and gathered into looks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylekit import Method, StylekitError
from stylekit.method import Statistics
from stylekit.styles import Style, blend, condense, key_of, read_style, write_style
from stylekit.tensors import write_tensors


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

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 2), nn.Linear(2, 2)

    def describe(self, style: Tensor) -> Statistics:
        return {"mean": style.mean((2, 3))}


def test_the_key_is_that_of_the_weights_that_describe() -> None:
    method = Two()
    key = key_of(method, "two")
    with torch.no_grad():
        method.decoder.weight.add_(1)
    assert key_of(method, "two") == key
    assert key_of(method, "other") != key
    with torch.no_grad():
        method.encoder.weight[0, 0] += 1e-6
    assert key_of(method, "two") != key


def test_a_style_file_holds_everything(tmp_path: Path) -> None:
    statistics = {"mean": torch.rand(3, 4), "gram": torch.rand(3, 2, 2)}
    write_style(tmp_path / "a.style", Style(statistics, torch.tensor([0.5, 0.25, 0.25]), "abc", "adain"))
    again = read_style(tmp_path / "a.style")
    assert (again.key, again.method, again.shares.tolist()) == ("abc", "adain", [0.5, 0.25, 0.25])
    assert again.statistics.keys() == statistics.keys()
    assert all(torch.equal(again.statistics[name], rows) for name, rows in statistics.items())
    with pytest.raises(StylekitError, match=r"ends in \.style"):
        write_style(tmp_path / "a.png", again)


@pytest.mark.parametrize(
    ("tensors", "header", "told"),
    [
        ({"mean": torch.ones(1, 2)}, {"kind": "style", "key": "k", "method": "m"}, "is no style file"),
        ({"shares": torch.ones(1)}, {"method": "m"}, "is no style file"),
        ({"shares": torch.ones(2), "mean": torch.ones(2, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.ones(2, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.full((1, 2), float("nan"))}, None, "is damaged"),
        ({"shares": torch.ones(()), "mean": torch.ones(1, 2)}, None, "is damaged"),
        ({"shares": torch.ones(1), "mean": torch.ones(())}, None, "is damaged"),
        ({"shares": torch.ones(1)}, None, "is damaged"),
    ],
)
def test_files_that_hold_no_style(
    tmp_path: Path, tensors: dict[str, Tensor], header: dict[str, str] | None, told: str
) -> None:
    write_tensors(tmp_path / "a.style", tensors, header or {"kind": "style", "key": "k", "method": "m"})
    with pytest.raises(StylekitError, match=told):
        read_style(tmp_path / "a.style")


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
    statistics, shares = condense(described, len(sizes))
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
        statistics, shares = condense(described, looks)
        assert len(shares) <= min(looks, 12)
        torch.testing.assert_close(blend([(Style(statistics, shares, "", ""), 1)])["mean"], average)


def test_pictures_that_are_all_the_same_make_one_look() -> None:
    statistics, shares = condense([{"mean": torch.ones(1, 3)}] * 4, 3)
    assert (shares.tolist(), statistics["mean"].tolist()) == ([1.0], [[1.0, 1.0, 1.0]])
