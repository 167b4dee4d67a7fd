"""Importing weights of other programs: which architectures are recognised, and that no code in a file is run."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stylekit import StylekitError, make
from stylekit.inference.importing import import_model
from stylekit.weights.foreign import read_generators, recognise
from stylekit.weights.state_dicts import clean_state_dict, read_state_dict
from tests.facts import raises

State = dict[str, Tensor]


class Layout:
    """The tensors' names and shapes in a file of the paper's code, listed layer by layer."""

    def __init__(self, norm: str) -> None:
        self.norm, self.state = norm, State()

    def conv(self, name: str, *shape: int, bias: bool = False, outputs: int = 0) -> None:
        self.state[f"{name}.weight"] = torch.randn(shape)
        if bias or self.norm == "instance":  # the paper's code has a bias only with instance norm
            self.state[f"{name}.bias"] = torch.randn(outputs or shape[0])

    def normed(self, name: str, width: int) -> None:
        if self.norm == "batch":
            self.state |= {
                f"{name}.{leaf}": torch.rand(width) for leaf in ("weight", "bias", "running_mean", "running_var")
            }
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(3)


def paper_resnet(blocks: int, width: int, norm: str = "instance", dropout: bool = False) -> State:
    file, second = Layout(norm), 6 if dropout else 5  # dropout has no tensors but takes an index
    file.conv("model.1", width, 3, 7, 7)
    file.normed("model.2", width)
    for index, w in ((4, width), (7, 2 * width)):
        file.conv(f"model.{index}", 2 * w, w, 3, 3)
        file.normed(f"model.{index + 1}", 2 * w)
    for block in range(10, 10 + blocks):
        for index in (1, second):
            file.conv(f"model.{block}.conv_block.{index}", 4 * width, 4 * width, 3, 3)
            file.normed(f"model.{block}.conv_block.{index + 1}", 4 * width)
    for index, w in ((10 + blocks, 2 * width), (13 + blocks, width)):
        file.conv(f"model.{index}", 2 * w, w, 3, 3, outputs=w)
        file.normed(f"model.{index + 1}", w)
    file.conv(f"model.{17 + blocks}", 3, width, 7, 7, bias=True)
    return file.state


def paper_unet(downs: int, width: int, norm: str = "instance") -> State:
    file, prefix = Layout(norm), "model.model"
    outer, inner = 3, width
    for level in range(downs):
        first, last = level == 0, level == downs - 1
        down, up = (0, 3) if first else (1, 3) if last else (1, 5)
        file.conv(f"{prefix}.{down}", inner, outer, 4, 4)
        if not first and not last:
            file.normed(f"{prefix}.2", inner)
        file.conv(f"{prefix}.{up}", inner if last else 2 * inner, outer, 4, 4, bias=first, outputs=outer)
        if not first:
            file.normed(f"{prefix}.{up + 1}", outer)
        prefix += ".1.model" if first else ".3.model"
        outer, inner = inner, min(2 * inner, 8 * width)
    return file.state


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize(("blocks", "width"), [(1, 4), (6, 8), (9, 2)])
def test_every_resnet_of_the_papers_code_is_recognised_and_loads(
    blocks: int, width: int, norm: str, dropout: bool
) -> None:
    state = clean_state_dict(paper_resnet(blocks, width, norm, dropout))
    spec = recognise("generator", state, "file")
    assert spec == {
        "name": "resnet",
        "blocks": blocks,
        "width": width,
        "norm": norm,
        "dropout": 0.5 if dropout else 0.0,
        "upsample": "transpose",
        "channels": 3,
        "antialias": False,
    }
    make("generator", spec).load_state_dict(state)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("downs", [5, 6, 7, 8])
def test_every_unet_of_the_papers_code_is_recognised_and_loads(downs: int, norm: str) -> None:
    state = clean_state_dict(paper_unet(downs, 2, norm))
    spec = recognise("generator", state, "file")
    layout = {"norm": norm, "upsample": "transpose", "channels": 3}
    assert spec == {"name": "unet", "downs": downs, "width": 2, **layout}
    make("generator", spec).load_state_dict(state)


def test_resize_convolution_is_recognised() -> None:
    state = make("generator", {"name": "resnet", "blocks": 2, "width": 4, "upsample": "resize"}).state_dict()
    assert recognise("generator", state, "file")["upsample"] == "resize"


def test_unused_buffers_of_old_instance_norms_are_dropped_and_those_of_batch_norms_kept() -> None:
    old = {
        "1.weight": torch.ones(3, 3, 1, 1),
        "2.running_mean": torch.ones(3),
        "2.num_batches_tracked": torch.tensor(1),
    }
    batch = {"5.weight": torch.ones(3), "5.running_mean": torch.ones(3), "5.num_batches_tracked": torch.tensor(1)}
    assert set(clean_state_dict({**old, **batch})) == {"1.weight", *batch}


def test_data_parallel_prefix_is_removed_and_other_names_are_kept() -> None:
    assert set(clean_state_dict({"module.model.1.weight": torch.ones(1), "model.module.bias": torch.ones(1)})) == {
        "model.1.weight",
        "model.module.bias",
    }


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tensors_are_read_as_they_were_written(suffix: str, tmp_path: Path) -> None:
    state, path = paper_resnet(1, 2, "batch"), tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    read = read_state_dict(path)
    assert set(read) == set(state)
    assert all(torch.equal(read[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("how", [{"_use_new_zipfile_serialization": False}, {"pickle_protocol": 3}])
def test_files_of_older_and_other_programs_are_read(how: dict[str, Any], tmp_path: Path) -> None:
    state = {"a": torch.arange(3.0)}
    torch.save(state, tmp_path / "net.pth", **how)
    assert torch.equal(read_state_dict(tmp_path / "net.pth")["a"], state["a"])


class Malicious:
    """Copies a file when it is unpickled."""

    def __init__(self, source: Path, marker: Path) -> None:
        self.call = (shutil.copyfile, (source, marker))

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("kind", ["zip", "old", "bare"])
def test_code_in_a_file_is_refused_and_not_run(kind: str, tmp_path: Path) -> None:
    source, marker, path = tmp_path / "source", tmp_path / "marker", tmp_path / "net_G_A.pth"
    source.touch()
    value = {"model.1.weight": Malicious(source, marker)}
    if kind == "bare":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=kind == "zip")
    with raises(StylekitError, "net_G_A.pth", "code") as caught:
        import_model([path], "cyclegan", tmp_path / "m.safetensors")
    assert not marker.exists()
    assert not (tmp_path / "m.safetensors").exists()
    assert "weights_only" not in str(caught.value)  # torch's own message explains how to run the code
    with contextlib.suppress(RuntimeError):  # torch rejects the bare pickle, but only after running it
        torch.load(path, weights_only=False)
    assert marker.exists()  # so the file does contain code that runs


def whole(path: Path) -> bytes:
    torch.save(paper_resnet(1, 2), path)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    data = whole(path)
    path.write_bytes(data[: int(share * len(data))])
    with raises(StylekitError, "net.pth", "truncated"):
        read_state_dict(path)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    data = bytearray(whole(path))
    data[100:400] = b"x" * 300
    path.write_bytes(data)
    with raises(StylekitError, "net.pth", "damaged"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"just a text about weights\n", b"\x00" * 100, b"\x80\x02}q\x00."]
)
def test_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with raises(StylekitError, "net.pth"):
        import_model([path], "cyclegan", tmp_path / "m.safetensors")


def test_damaged_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"abc")
    with raises(StylekitError, "net.safetensors", "truncated"):
        read_state_dict(tmp_path / "net.safetensors")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with raises(StylekitError, tmp_path / "none.pth"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize(
    "value",
    [
        {"epoch": 3, "model": {"a": torch.ones(1)}, "ema": {"a": torch.ones(1)}},
        {"epoch": 3, "optimizer": {"state": {}}},
        [torch.ones(1)],
        {0: torch.ones(1)},
    ],
    ids=["two networks", "none", "list", "numbered"],
)
def test_a_file_that_is_not_a_state_dict_is_refused_with_advice(value: object, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "net.pth")
    with raises(StylekitError, "net.pth", "state_dict"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"fc.weight": torch.ones(3, 3)},
        {"model.1.weight": torch.ones(8, 3, 7, 7)},
        {"model.1.weight": torch.ones(8), "model.10.conv_block.1.weight": torch.ones(3)},
    ],
    ids=["empty", "linear", "only the first layer", "one dimension"],
)
def test_unknown_architecture_is_refused(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "net.pth")
    with raises(StylekitError, "net.pth", "generator", "plugin"):
        import_model([tmp_path / "net.pth"], "cyclegan", tmp_path / "m.safetensors")


def test_recognised_architecture_with_a_tensor_missing_is_refused(tmp_path: Path) -> None:
    state = paper_resnet(2, 4)
    del state["model.11.conv_block.5.weight"]
    torch.save(state, tmp_path / "net.pth")
    with raises(StylekitError, "net.pth", "model.11.conv_block.5.weight"):
        import_model([tmp_path / "net.pth"], "cyclegan", tmp_path / "m.safetensors")


ROLES = {"G_A": "forth", "G_B": "back"}


def test_generators_are_assigned_by_their_file_names() -> None:
    a, b = paper_resnet(1, 2), paper_resnet(1, 2)
    spec, states = read_generators({"latest_net_G_B.pth": b, "latest_net_G_A.pth": a}, ROLES)
    assert spec["name"] == "resnet"
    assert torch.equal(states["forth.model.1.weight"], a["model.1.weight"])
    assert torch.equal(states["back.model.1.weight"], b["model.1.weight"])
    assert len(states) == len(a) + len(b)


def test_single_file_of_any_name_is_assigned_to_the_first_role() -> None:
    _, states = read_generators({"winter.pth": paper_resnet(1, 2)}, ROLES)
    assert all(name.startswith("forth.") for name in states)


def test_several_files_need_names_that_state_their_roles() -> None:
    state = paper_resnet(1, 2)
    with raises(StylekitError, "winter.pth", *ROLES):
        read_generators({"net_G_A.pth": state, "winter.pth": state}, ROLES)


def test_files_of_different_architectures_are_refused_and_both_are_named() -> None:
    files = {"net_G_A.pth": paper_resnet(1, 2), "net_G_B.pth": paper_resnet(2, 2)}
    with raises(StylekitError, *files, "blocks", 1, 2):
        read_generators(files, ROLES)
