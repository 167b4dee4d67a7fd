"""Weights that other programs saved: unwrapped, cleaned, and refused if they are damaged or much larger than their file."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from stylekit import StylekitError, make
from stylekit.inference.importing import import_model
from stylekit.weights.state_dicts import clean_state_dict, load_weights, read_state_dict
from stylekit.weights.tensors import read_tensors
from tests.facts import raises

SMALL: dict[str, Any] = {"name": "resnet", "blocks": 1, "width": 2}


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.module."])
@pytest.mark.parametrize("wrapped", [None, "state_dict", "model", "params_ema"])
def test_weights_of_compiled_parallel_and_checkpointed_networks_are_imported(
    prefix: str, wrapped: str | None, tmp_path: Path
) -> None:
    network = make("generator", SMALL)
    state: Any = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    if wrapped:
        state = {"epoch": 3, wrapped: state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "args": None}
    torch.save(state, tmp_path / "net_G_A.pth")
    import_model([tmp_path / "net_G_A.pth"], "cyclegan", tmp_path / "it.safetensors")
    tensors, _ = read_tensors(tmp_path / "it.safetensors")
    assert all(torch.equal(tensors[f"generator_ab.{name}"], each) for name, each in network.state_dict().items())


def test_a_compiled_submodule_has_its_usual_names() -> None:
    state = {"encoder._orig_mod.0.weight": torch.ones(1), "module_list.0.bias": torch.ones(1)}
    assert set(clean_state_dict(state)) == {"encoder.0.weight", "module_list.0.bias"}


def test_names_that_would_become_equal_are_kept() -> None:
    state = {"weight": torch.ones(1), "module.weight": torch.zeros(1)}
    assert clean_state_dict(state) == state


def test_several_networks_in_a_file_are_refused(tmp_path: Path) -> None:
    torch.save({"G": {"a": torch.ones(1)}, "D": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    with raises(StylekitError, "a.pth", "2 networks", "state_dict"):
        read_state_dict(tmp_path / "a.pth")


def test_expanded_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(2**30)}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size < 4000
    with raises(StylekitError, "a.pth", "larger than the file"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.empty(3, device="meta")], ids=["sparse", "meta"])
def test_tensors_of_other_kinds_are_refused_by_name(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "b": tensor}, tmp_path / "a.pth")
    with raises(StylekitError, "a.pth"):
        read_state_dict(tmp_path / "a.pth")


def test_compressed_archives_are_refused_unread(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(25_000_000)}, tmp_path / "large.pth")
    source = zipfile.ZipFile(tmp_path / "large.pth")
    with source, zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with raises(StylekitError, "a.pth", "larger than the file"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(500)], ids=["empty", "broken"])
def test_wrong_archives_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with raises(StylekitError, "a.pth") as caught:
        read_state_dict(tmp_path / "a.pth")
    assert "BadZipFile" not in str(caught.value)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with raises(StylekitError, "a.pth", "damaged"):
        read_state_dict(tmp_path / "a.pth")


def test_a_network_that_is_much_larger_than_the_file_is_not_built(tmp_path: Path) -> None:
    first = {"model.1.weight": torch.ones(4096, 3, 7, 7), "model.1.bias": torch.ones(4096)}
    torch.save(
        {**first, "model.10.conv_block.1.weight": torch.ones(1), "model.11.weight": torch.ones(1)}, tmp_path / "a.pth"
    )
    start = time.monotonic()
    with raises(StylekitError, "a.pth"):
        import_model([tmp_path / "a.pth"], "cyclegan", tmp_path / "it.safetensors")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("value", "facts"),
    [(torch.tensor(float("nan")), ["NaN"]), (torch.tensor(0.0), ["zero"]), (torch.tensor(3), ["int64"])],
)
def test_damaged_weights_are_not_imported(value: torch.Tensor, facts: list[str], tmp_path: Path) -> None:
    state = {
        name: torch.zeros_like(each, dtype=value.dtype) + value
        for name, each in make("generator", SMALL).state_dict().items()
    }
    torch.save(state, tmp_path / "a.pth")
    with raises(StylekitError, "a.pth", "damaged", "'generator_ab.model.1.weight'", *facts):
        import_model([tmp_path / "a.pth"], "cyclegan", tmp_path / "it.safetensors")
    assert not (tmp_path / "it.safetensors").exists()


def test_weights_are_loaded_into_a_module(tmp_path: Path) -> None:
    one, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save({**one.state_dict(), "fc.weight": torch.ones(1)}, tmp_path / "a.pth")
    load_weights(other, tmp_path / "a.pth")
    assert torch.equal(one.weight, other.weight)
