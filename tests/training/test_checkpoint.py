"""Checkpoints: nested state survives a round trip, and folders are complete or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.errors import NotFinite
from stylekit.training import checkpoint
from stylekit.weights.tensors import write_tensors
from tests.facts import raises


def round_trip(value: Any, tmp_path: Path) -> Any:
    """The value after it was saved to a checkpoint and loaded."""
    checkpoint.save_checkpoint(tmp_path, 1, nn.Identity(), {"it": value}, {})
    return checkpoint.load_checkpoint(tmp_path / "1", nn.Identity())[1]["it"]


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1.5, None, True, "text"], "c": (1, (2, [3]))},
        {0: {"step": torch.tensor(3.0)}, 1: {}, "0": "another key"},
        {"tensor": 1, "pairs": 2, "tuple": {"tensor": torch.ones(2)}},
        [],
        {},
        (),
        {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}},
        {1: torch.ones(1), "1": torch.zeros(1)},
        torch.arange(3),
        1e-300,
        2**62,
    ],
)
def test_nested_state_is_restored_exactly(value: Any, tmp_path: Path) -> None:
    assert equal(round_trip(value, tmp_path), value)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
        lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
        lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
        lambda p: torch.optim.RMSprop(p, 0.01, centered=True),
        lambda p: torch.optim.Adafactor(p, 0.01),
    ],
)
def test_a_restored_optimizer_continues_exactly(build: Any, tmp_path: Path) -> None:
    def built() -> tuple[nn.Parameter, torch.optim.Optimizer]:
        parameter = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        return parameter, build([parameter])

    def step(parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        def loss() -> Tensor:
            optimizer.zero_grad()
            value = (parameter**4).sum()
            value.backward()
            return value

        optimizer.step(loss)

    first, optimizer = built()
    for _ in range(3):
        step(first, optimizer)
    saved, state = first.detach().clone(), round_trip(optimizer.state_dict(), tmp_path)
    second, restored = built()
    second.data.copy_(saved)
    restored.load_state_dict(state)
    for _ in range(3):
        step(first, optimizer)
        step(second, restored)
    assert torch.equal(first, second)


def test_state_that_cannot_be_saved_is_named(tmp_path: Path) -> None:
    with raises(StylekitError, "optimizer", "set", "'/it/a/0'"):
        round_trip({"a": [{1}]}, tmp_path)
    assert checkpoint.saved_steps(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_unfinished_and_other_folders_are_not_checkpoints(tmp_path: Path) -> None:
    for name in (".3.abcd.part", "3.part", "notes", "-1", "2", "\u00b2", "\u0663", "007"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    assert checkpoint.saved_steps(tmp_path) == [2]
    assert checkpoint.saved_steps(tmp_path / "nowhere") == []


def test_steps_are_ordered_as_numbers_and_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 100, 1):
        checkpoint.save_checkpoint(tmp_path, step, nn.Linear(1, 1), {}, {})
    assert checkpoint.saved_steps(tmp_path) == [1, 9, 10, 100]
    checkpoint.prune(tmp_path, 2)
    assert checkpoint.saved_steps(tmp_path) == [10, 100]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "100"]
    checkpoint.prune(tmp_path, 5)
    assert checkpoint.saved_steps(tmp_path) == [10, 100]


def test_a_checkpoint_replaces_one_of_the_same_step(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    checkpoint.save_checkpoint(tmp_path, 1, module, {"note": "old"}, {})
    nn.init.constant_(module.weight, 7.0)
    checkpoint.save_checkpoint(tmp_path, 1, module, {"note": "new"}, {})
    other = nn.Linear(1, 1)
    assert checkpoint.load_checkpoint(tmp_path / "1", other) == (1, {"note": "new"})
    assert float(other.weight.detach()) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "state", ["", "{", "[]", "{}", '{"step": "x", "players": {}}', '{"step": 1}', '{"step": null, "players": {}}']
)
def test_damaged_state_is_named_with_what_to_do(tmp_path: Path, state: str) -> None:
    path = checkpoint.save_checkpoint(tmp_path, 1, nn.Linear(1, 1), {}, {})
    (path / "state.json").write_text(state)
    with raises(StylekitError, path / "state.json", f"remove {path} "):
        checkpoint.load_checkpoint(path, nn.Linear(1, 1))


def test_a_missing_tensor_of_a_player_is_named(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path, 1, nn.Linear(1, 1), {"it": {"average": [torch.ones(1)]}}, {})
    write_tensors(path / "players.safetensors", {"/it/average/1": torch.ones(1)})
    with raises(StylekitError, path / "players.safetensors", "'/it/average/0'", f"remove {path} "):
        checkpoint.load_checkpoint(path, nn.Linear(1, 1))


def test_a_checkpoint_is_json_and_safetensors(tmp_path: Path) -> None:
    path = checkpoint.save_checkpoint(tmp_path, 4, nn.Linear(1, 1), {"it": torch.ones(1)}, {"method": "mine"})
    assert {file.name for file in path.iterdir()} == {"method.safetensors", "players.safetensors", "state.json"}
    assert json.loads((path / "state.json").read_text())["step"] == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(bad: float) -> None:
    module = nn.Linear(2, 2)
    checkpoint.require_finite(module, 1)
    module.weight.data[1, 1] = bad
    with raises(NotFinite, "step 8", "tensor 'weight'", "saved"):
        checkpoint.require_finite(module, 8)
