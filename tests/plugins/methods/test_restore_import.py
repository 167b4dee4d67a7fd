"""Weights of ESRGAN, Real-ESRGAN and NAFNet: they are recognised, and make the pictures that their own programs make."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import StylekitError
from stylekit.inference.importing import import_model
from stylekit.weights.tensors import read_tensors
from stylekit_plugins.methods.restore import RestoreGAN
from tests.facts import raises

RRDB = {"name": "rrdb", "width": 4, "blocks": 2, "growth": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    **{f"rrdb_x{scale}": {**RRDB, "scale": scale} for scale in (1, 2, 4)},
    "esrgan_old": {**RRDB, "scale": 4},
    "esrgan_new": {**RRDB, "scale": 4},
    "srvgg_x4": {"name": "srvgg", "width": 4, "convs": 2, "scale": 4},
    "nafnet": {"name": "nafnet", "width": 4, "blocks": [1, 2, 2], "decoder": 1},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_makes_the_picture_of_its_own_program(name: str, fixtures: Path, tmp_path: Path) -> None:
    expected, _ = read_tensors(fixtures / "restore/expected.safetensors")
    import_model([fixtures / f"restore/{name}.pth"], "restore", tmp_path / "model.safetensors")
    model = stylekit.load(tmp_path / "model.safetensors", "cpu")
    assert model.method.arguments["generator"] == NETWORKS[name]
    found = model.stylize(expected["input"])
    truth = expected["rrdb_x4" if name.startswith("esrgan") else name].clamp(0, 1)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)
    assert truth.std() > 0.01


def test_two_files_are_blended(fixtures: Path, tmp_path: Path) -> None:
    """The weights of both networks are interpolated, as in ESRGAN's ``net_interp.py``."""
    sharp = tmp_path / "sharp.pth"
    state = torch.load(fixtures / "restore/rrdb_x2.pth", weights_only=True)["params"]
    other = {name: 0.5 * tensor + 0.1 for name, tensor in state.items()}
    torch.save(other, sharp)
    import_model([fixtures / "restore/rrdb_x2.pth", sharp], "restore-gan", tmp_path / "model.safetensors")
    model = stylekit.load(tmp_path / "model.safetensors", "cpu")
    image = torch.rand(1, 3, 8, 8)
    for fidelity in (0.0, 0.25, 1.0):
        mixed = {name: fidelity * state[name] + (1 - fidelity) * other[name] for name in state}
        torch.save(mixed, tmp_path / "mixed.pth")
        import_model([tmp_path / "mixed.pth"], "restore", tmp_path / "mixed.safetensors")
        truth = stylekit.load(tmp_path / "mixed.safetensors", "cpu").stylize(image)
        torch.testing.assert_close(model.stylize(image, fidelity=fidelity), truth, rtol=0, atol=1e-5)


def test_a_trained_one_keeps_the_network_that_it_started_with() -> None:
    method = RestoreGAN("gaussian-noise", {"name": "srvgg", "width": 4, "convs": 1}, discriminator="patch", blend=True)
    image = torch.rand(1, 3, 8, 8)
    start = method.eval().stylize(image)
    method.prepare()
    for parameter in method.generator.parameters():
        parameter.data += 0.1
    torch.testing.assert_close(method.stylize(image, fidelity=1.0), start)
    assert not torch.allclose(method.stylize(image), start, atol=0.01)
    assert {key.split(".")[0] for key in method.state_dict()} == {"generator", "faithful", "adversary"}


def test_what_does_not_fit_is_refused(fixtures: Path, tmp_path: Path) -> None:
    x2, x4 = (fixtures / f"restore/rrdb_x{scale}.pth" for scale in (2, 4))
    with raises(StylekitError, "restore", "by itself"):
        import_model([x2, x4], "restore", tmp_path / "model.safetensors")
    with raises(StylekitError, x2.name, x4.name, "different architectures"):
        import_model([x2, x4], "restore-gan", tmp_path / "model.safetensors")
    with raises(StylekitError, "first the faithful one"):
        import_model([x2, x4, Path(shutil.copy(x4, tmp_path))], "restore-gan", tmp_path / "model.safetensors")
    method = RestoreGAN("gaussian-noise", "srvgg", discriminator="patch")
    with raises(StylekitError, "fidelity", "blend=true"):
        method.stylize(torch.rand(1, 3, 8, 8), fidelity=0.5)
    with raises(StylekitError, "fidelity", 2, "from 0 to 1"):
        method.stylize(torch.rand(1, 3, 8, 8), fidelity=2)
