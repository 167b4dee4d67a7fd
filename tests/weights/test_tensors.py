"""Tensors in files: bit-exact round trips, damaged files are refused, and tensors that do not fit are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylekit import StylekitError
from stylekit.weights.tensors import fit, read_tensors, write_tensors
from tests.facts import raises

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def round_trip(tmp_path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    write_tensors(tmp_path / "it.safetensors", tensors)
    return read_tensors(tmp_path / "it.safetensors")[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)], ids=str)
def test_every_type_and_shape_is_read_back_bit_for_bit(
    tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = (100 * torch.randn(shape)).to(dtype)
    found = round_trip(tmp_path, {"it": tensor})["it"]
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_special_floats_are_read_back_too(tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    assert torch.equal(round_trip(tmp_path, {"it": odd})["it"].view(torch.int32), odd.view(torch.int32))


def test_shared_and_strided_tensors_are_stored_separately(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "base": base,
        "same": base,
        "part": base[1:3],
        "column": base[:, 2],
        "turned": base.t(),
        "expanded": torch.ones(1, 3).expand(5, 3),
        "last": torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "parameter": nn.Parameter(base[0]),
    }
    found = round_trip(tmp_path, tensors)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert (tmp_path / "it.safetensors").stat().st_size < 3000  # a view is stored without the rest of its storage


def test_the_header_is_read_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "it.safetensors", {}, {"method": "mine", "arguments": '{"ä": 1}'})
    assert read_tensors(tmp_path / "it.safetensors") == ({}, {"method": "mine", "arguments": '{"ä": 1}'})


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_matching_tensors_are_loaded() -> None:
    one, other = net(), net()
    one[1].running_mean.fill_(5)
    fit(other, one.state_dict(), Path("it"))
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"0.weight": None}, ["'0.weight'"]),
        ({"1.running_var": None}, ["'1.running_var'"]),
        ({"0.bias": torch.ones(4)}, ["'0.bias'", (4,), (3,)]),
        ({"1.num_batches_tracked": torch.ones(1)}, ["'1.num_batches_tracked'", (1,), ()]),
        ({"2.bias": torch.ones(1)}, ["'2.bias'"]),
    ],
)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_loaded(
    change: dict[str, Tensor | None], facts: list[object]
) -> None:
    module = net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = {name: tensor + 1 for name, tensor in before.items()} | change
    with raises(StylekitError, "some.file", "tensor", *facts):
        fit(module, {name: tensor for name, tensor in given.items() if tensor is not None}, Path("some.file"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_lazy_layers_take_the_shapes_of_the_loaded_tensors() -> None:
    lazy, done = nn.Sequential(nn.LazyLinear(3)), nn.Sequential(nn.Linear(2, 3))
    fit(lazy, done.state_dict(), Path("it"))
    assert torch.equal(lazy[0].weight, done[0].weight)


def test_submodules_may_be_declared_optional() -> None:
    module, first = net(), nn.Linear(2, 3)
    other = {name: tensor.clone() for name, tensor in module[1].state_dict().items()}
    fit(module, {f"0.{name}": tensor for name, tensor in first.state_dict().items()}, Path("it"), {"1"})
    assert torch.equal(module[0].weight, first.weight)
    assert all(torch.equal(tensor, other[name]) for name, tensor in module[1].state_dict().items())


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 100, bytes(8), b"\x02" + bytes(7) + b"{}"])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.safetensors").write_bytes(content)
    if content.endswith(b"{}"):
        assert read_tensors(tmp_path / "it.safetensors") == ({}, {})  # a valid file without tensors
        return
    with raises(StylekitError, tmp_path / "it.safetensors", "truncated", "safetensors file"):
        read_tensors(tmp_path / "it.safetensors")


def test_a_file_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    write_tensors(path, {"a": torch.rand(9), "b": torch.rand(3)}, {"method": "mine"})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with raises(StylekitError, path, "truncated"):
            read_tensors(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "nowhere.safetensors"):
        read_tensors(tmp_path / "nowhere.safetensors")


def test_equal_contents_are_equal_files(tmp_path: Path) -> None:
    header = {f"key {number}": f"ä\n\x01{number}" for number in range(50)}
    tensors = {"b": torch.rand(3), "a": torch.rand(2, 5).half(), "c": torch.arange(3)}
    write_tensors(tmp_path / "a", tensors, header)
    write_tensors(tmp_path / "b", dict(reversed(tensors.items())), dict(reversed(header.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found, texts = read_tensors(tmp_path / "a")
    assert texts == header
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_whole_numbers_are_not_loaded_as_weights() -> None:
    with raises(StylekitError, "some.file", "'0.weight'", "int64", "float32"):
        fit(net(), {**net().state_dict(), "0.weight": torch.ones(3, 2, dtype=torch.int64)}, Path("some.file"))


def test_a_file_that_cannot_be_mapped_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tensors(tmp_path / "it.safetensors", {"a": torch.zeros(3)})

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 214748364800 bytes from file: Cannot allocate memory (12)")

    monkeypatch.setattr("stylekit.weights.tensors.safetensors.safe_open", fail)
    with raises(StylekitError, tmp_path / "it.safetensors", "memory"):
        read_tensors(tmp_path / "it.safetensors")
