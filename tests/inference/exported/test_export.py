"""Exporting: what is written computes what torch computes, for all sizes; or nothing is written."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylekit import Method, StylekitError
from stylekit.inference.exported import export as exporting
from stylekit.inference.exported.card import drawn
from stylekit.inference.exported.export import export
from stylekit.inference.exported.file import ExportedFile
from stylekit.inference.exported.verify import verify
from stylekit.inference.model import Model
from stylekit.training.written import read_assignments
from tests.facts import raises
from tests.inference.exported.conftest import small

pytest.importorskip("onnxscript", reason="writing ONNX files needs onnxscript")
CYCLEGAN = {"name": "cyclegan", "generator": {"name": "resnet", "width": 4, "blocks": 1}}
RANDOM = {"name": "random", "width": 8, "scales": 2}


def test_a_translator_becomes_one_file(tmp_path: Path) -> None:
    model = small(CYCLEGAN)
    checks = export(model, tmp_path / "x.onnx")
    assert [check.size for check in checks] == [(64, 96), (61, 83), (150, 101)]
    assert max(check.difference for check in checks) < 0.5
    assert [each.name for each in tmp_path.iterdir()] == ["x.onnx"]
    file = ExportedFile(tmp_path / "x.onnx")
    assert (file.card.method, file.card.graph) == ("cyclegan", "stylize")
    for size in ((7, 12), (33, 200)):
        image = drawn(*size)
        with torch.no_grad():
            expected = model.method.stylize(torch.from_numpy(image))
        assert np.abs(file.stylize(image, {}) - expected.numpy()).max() < 1e-4
    assert max(check.difference for check in verify(file)) < 0.5


def test_separable_convolutions_are_exported(tmp_path: Path) -> None:
    network = {"name": "resnet", "width": 4, "blocks": 1, "separable": True}
    model, image = small({"name": "student", "generator": network}), drawn(33, 40)
    assert max(check.difference for check in export(model, tmp_path / "x.onnx")) < 0.5
    with torch.no_grad():
        expected = model.method.stylize(torch.from_numpy(image))
    assert np.abs(ExportedFile(tmp_path / "x.onnx").stylize(image, {}) - expected.numpy()).max() < 1e-4


def test_an_option_becomes_part_of_the_file(tmp_path: Path) -> None:
    model, image = small(CYCLEGAN), drawn(24, 40)
    method: Any = model.method
    export(model, tmp_path / "x.onnx", {"direction": "b-to-a"})
    found = ExportedFile(tmp_path / "x.onnx")
    with torch.no_grad():
        back = method.stylize(torch.from_numpy(image), direction="b-to-a")
        forth = model.method.stylize(torch.from_numpy(image))
    assert found.card.options == {"direction": "b-to-a"}
    assert np.abs(found.stylize(image, {}) - back.numpy()).max() < 1e-4
    assert np.abs(found.stylize(image, {}) - forth.numpy()).max() > 1e-2
    with raises(StylekitError, "direction", "up"):
        export(model, tmp_path / "y.onnx", {"direction": "up"})


@pytest.mark.long
def test_a_strength_is_an_input_where_the_method_allows_it(tmp_path: Path) -> None:
    model = small({"name": "adain", "encoder": RANDOM})
    export(model, tmp_path / "x.onnx")
    file = ExportedFile(tmp_path / "x.onnx")
    assert file.card.strength == "input"
    image, style = drawn(40, 56), drawn(30, 30, phase=1.0)
    with torch.no_grad():
        statistics = model.method.describe(torch.from_numpy(style))
        for strength in (1.0, 0.4):
            expected = model.method.transfer(torch.from_numpy(image), statistics, strength)
            found = file.stylize(image, file.describe(style), strength)
            assert np.abs(found - expected.numpy()).max() < 1e-4


@pytest.mark.long
def test_learned_styles_are_in_the_file(tmp_path: Path) -> None:
    network = {"name": "resnet", "width": 4, "blocks": 1}
    model = small({"name": "stargan", "classes": ["dawn", "dusk"], "generator": network})
    export(model, tmp_path / "x.onnx")
    card = ExportedFile(tmp_path / "x.onnx").card
    assert card.learned == {"dawn": {"domain": [[1.0, 0.0]]}, "dusk": {"domain": [[0.0, 1.0]]}}
    assert not card.takes_styles


@pytest.mark.slow
def test_samples_are_drawn_from_codes(tmp_path: Path) -> None:
    model = small({"name": "gan", "side": 16, "width": 4})
    checks = export(model, tmp_path / "x.onnx")
    assert max(check.difference for check in checks) < 0.5
    file = ExportedFile(tmp_path / "x.onnx")
    assert file.sample(np.zeros((5, *file.card.codes), np.float32)).shape == (5, 3, 16, 16)


@pytest.mark.slow
def test_the_label_of_samples_becomes_part_of_the_file(tmp_path: Path) -> None:
    model = small({"name": "gan", "side": 16, "width": 4, "classes": 3})
    export(model, tmp_path / "x.onnx", read_assignments(["label=2"], "--with"))
    file = ExportedFile(tmp_path / "x.onnx")
    assert file.card.options == {"label": 2}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", pytest.param(".xml", marks=pytest.mark.long)])
def test_other_formats_compute_the_same(tmp_path: Path, suffix: str) -> None:
    if suffix == ".xml":
        pytest.importorskip("openvino")
    checks = export(small({"name": "adain", "encoder": RANDOM}), tmp_path / f"x{suffix}")
    assert max(check.difference for check in checks) < 0.5
    assert max(check.difference for check in verify(ExportedFile(tmp_path / f"x{suffix}"))) < 0.5


@pytest.mark.long
def test_half_precision_halves_the_file_and_int8_makes_it_smaller(tmp_path: Path) -> None:
    model, sizes = small({**CYCLEGAN, "generator": {"name": "resnet", "width": 32, "blocks": 1}}), {}
    for weights in ("32", "16", "int8"):
        checks = export(model, tmp_path / f"{weights}.onnx", weights=weights)
        sizes[weights] = (tmp_path / f"{weights}.onnx").stat().st_size
        assert max(check.difference for check in checks) < (2 if weights != "int8" else 255)
    assert sizes["int8"] < 0.45 * sizes["32"] < sizes["16"] < 0.6 * sizes["32"]


class Normed(Method):
    """A network with a spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.net = spectral_norm(nn.Conv2d(3, 3, 3, padding=1))

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        image: Tensor = self.net(content).sigmoid()
        return image


def test_spectral_norms_become_plain_weights(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = Model(Normed(), "normed")
    export(model, tmp_path / "x.onnx")
    graph = onnx.load(tmp_path / "x.onnx").graph
    assert sorted({node.op_type for node in graph.node}) == ["Conv", "Sigmoid"]
    assert isinstance(model.method.net, nn.Conv2d)
    assert hasattr(model.method.net, "parametrizations")  # the model itself did not change


class Counting(Method):
    """Python code that depends on the number of images."""

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return torch.cat([1 - content[number : number + 1] for number in range(len(content))])


def test_a_method_that_counts_its_images_is_exported_for_one_at_a_time(tmp_path: Path) -> None:
    export(Model(Counting(), "counting"), tmp_path / "x.onnx")
    file = ExportedFile(tmp_path / "x.onnx")
    assert not file.card.batch
    assert np.allclose(file.stylize(drawn(13, 9), {}), 1 - drawn(13, 9))


class Branching(Method):
    """What it computes depends on the pixels."""

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content if content.mean() > 0.5 else 1 - content


class Rounded(Method):
    """A size that is not the image's."""

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content[..., : content.shape[2] // 8 * 8, :] if content.shape[2] != 72 else content


@pytest.mark.parametrize(
    ("spec", "facts"),
    [
        ("gatys", ["gatys", "optimises"]),
        (Branching, ["graph", "sizes"]),
        (Rounded, ["graph", "sizes"]),
    ],
    ids=["gatys", "branching", "rounded"],
)
def test_what_cannot_be_exported_says_why(tmp_path: Path, spec: Any, facts: list[str]) -> None:
    model = Model(spec(), "mine") if isinstance(spec, type) else small(spec)
    with raises(StylekitError, *facts):
        export(model, tmp_path / "x.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = exporting._expected
    monkeypatch.setattr(exporting, "_expected", lambda *given, **more: (1 - wrong(*given, **more)[0], 0.1))
    with raises(StylekitError, "differs", "levels", "not written"):
        export(small(CYCLEGAN), tmp_path / "x.onnx")
    assert not [*tmp_path.iterdir()]


def test_an_operation_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    with raises(StylekitError, "x.onnx", "linalg_eigh", ".pt2"):
        export(small("color-pca"), tmp_path / "x.onnx")
    assert not [*tmp_path.iterdir()]


class Attack:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_pt2_file_with_a_program_in_it_is_refused_without_running_it(tmp_path: Path) -> None:
    export(small("color-pca"), tmp_path / "x.pt2")
    attack = io.BytesIO()
    torch.save(Attack(tmp_path / "ran"), attack)
    replaced = 0
    with zipfile.ZipFile(tmp_path / "x.pt2") as good, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as evil:
        for name in good.namelist():
            hostile = "sample_inputs" in name
            evil.writestr(name, attack.getvalue() if hostile else good.read(name))
            replaced += hostile
    assert replaced
    with raises(StylekitError, "evil.pt2", "cannot be run"):
        ExportedFile(tmp_path / "evil.pt2")
    assert not (tmp_path / "ran").exists()
    assert torch.load.__module__ == "torch.serialization"


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with raises(StylekitError, "x.tflite", ".onnx"):
        export(small(CYCLEGAN), tmp_path / "x.tflite")
    with raises(StylekitError, "pt2", "weights 16"):
        export(small(CYCLEGAN), tmp_path / "x.pt2", weights="16")
