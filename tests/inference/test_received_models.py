"""Model files from anyone: damaged or malicious ones cost little, open nothing, and are refused in one sentence."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Method, StylekitError, make
from stylekit.inference import building
from stylekit.inference.loading import load
from stylekit.inference.model_files import save_model
from stylekit.weights.tensors import read_tensors, write_tensors
from tests.facts import raises

TINY: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
WEIGHT = "generator_ab.model.1.weight"


@pytest.fixture(scope="module")
def cyclegan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("received") / "cyclegan.safetensors"
    save_model(make("method", {"name": "cyclegan", **TINY}), "cyclegan", path)
    return path


def changed(path: Path, folder: Path, tensors: Mapping[str, Tensor] = {}, **header: Any) -> Path:
    """A copy of a model file with other tensors and texts in its header; what is not text is stored as JSON."""
    known, texts = read_tensors(path)
    texts |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()}
    write_tensors(folder / "it.safetensors", {**known, **tensors}, texts)
    return folder / "it.safetensors"


@pytest.mark.parametrize(
    "options",
    [
        {"generator": {"name": "resnet", "blocks": 10**12}},
        {"generator": {"name": "resnet", "width": 10**9}},
        {"generator": {"name": "resnet", "blocks": 900, "width": 4}},
        {"generator": {"name": "resnet", "blocks": 900, "width": 4000}},
        {"generator": {"name": "unet", "downs": 10**9}},
        {"generator": {"name": "unet", "width": 600}},
        {"discriminator": {"name": "multiscale-sn", "scales": 10**9}},
        {"discriminator": {"name": "multiscale-sn", "scales": 16, "layers": 16, "width": 9000}},
        {"discriminator": {"name": "patch", "layers": 10**9}},
        {"discriminator": {"name": "resnet-sn", "classes": 10**12}},
    ],
    ids=str,
)
def test_networks_that_are_larger_than_the_file_cost_neither_time_nor_memory(
    cyclegan: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = changed(cyclegan, tmp_path, arguments={**TINY, **options})
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with raises(StylekitError, path):
        load(path, "cpu")
    assert time.monotonic() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_200_000  # KiB


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gatys", {"levels": 10**9}),
        ("gatys", {"steps": 10**9}),
        ("gatys", {"encoder": {"name": "random", "side": 10**6 + 1}}),
        ("gatys", {"encoder": {"name": "random", "width": 10_000, "side": 999}}),
        ("any-style", {"width": 10**6}),
        ("any-style", {"width": 8, "deep": 10**9}),
        ("any-style", {"width": 8, "blocks": 10**9}),
        ("perceptual", {"styles": [str(n) for n in range(10_000)], "width": 10_000}),
        ("wct", {"encoder": {"name": "random", "scales": 10**6}}),
    ],
)
def test_every_method_bounds_its_counts(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    save_model(make("method", "gatys", encoder={"name": "random", "width": 8}), "gatys", tmp_path / "a.safetensors")
    path = changed(tmp_path / "a.safetensors", tmp_path, method=name, arguments=options)
    start = time.monotonic()
    with raises(StylekitError, path):
        load(path, "cpu")
    assert time.monotonic() - start < 20


class Greedy(Method):
    """Reads the value of a tensor, which is not possible on the meta device, and has no bounds."""

    def __init__(self, width: int = 4, layers: int = 1, repeats: int = 1) -> None:
        super().__init__()
        self.first = float(torch.rand(20_000).sum())
        self.layers = nn.Sequential(*(nn.Conv2d(3, width, 3) for _ in range(layers)))
        self.register_buffer("table", torch.ones(3).repeat(repeats), persistent=False)

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content


@pytest.mark.parametrize("options", [{"width": 10**8}, {"layers": 10**6}, {"repeats": 10**9}], ids=str)
def test_methods_that_cannot_be_built_on_the_meta_device_have_the_same_limits(
    tmp_path: Path, options: dict[str, int]
) -> None:
    save_model(Greedy(), "greedy", tmp_path / "a.safetensors")
    assert isinstance(load(tmp_path / "a.safetensors", method=Greedy).method, Greedy)
    path = changed(tmp_path / "a.safetensors", tmp_path, arguments=options)
    start = time.monotonic()
    with raises(StylekitError, path, "larger than the file"):
        load(path, method=Greedy)
    assert time.monotonic() - start < 20


def test_a_file_of_another_shape_is_refused_before_the_method_is_built_for_real(
    cyclegan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(building._Limits):
        def __init__(self, size: int, calls: int, dry: bool = False) -> None:
            super().__init__(size, calls, dry)
            made.append(dry)

    monkeypatch.setattr(building, "_Limits", Counted)
    path = changed(cyclegan, tmp_path, arguments={**TINY, "generator": {"name": "resnet", "blocks": 1, "width": 5}})
    with raises(StylekitError, path, "tensor", "shape"):
        load(path)
    assert made == [True]


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        (lambda weight: weight.fill_(float("nan")), ["NaN"]),
        (lambda weight: weight[0, 0, 0].fill_(float("inf")), ["infinity"]),
        (lambda weight: weight.double().mul_(1e308), ["infinity"]),
        (lambda weight: weight.fill_(1e30), ["1e+30"]),
        (lambda weight: weight.mul_(100).int(), ["int32", "float32"]),
        (lambda weight: weight > 0, ["bool", "float32"]),
    ],
)
def test_damaged_weights_are_refused_by_name(
    cyclegan: Path, tmp_path: Path, value: Callable[[Tensor], Tensor], facts: list[str]
) -> None:
    weight = read_tensors(cyclegan)[0][WEIGHT].clone()
    changed_weight = value(weight)
    path = changed(cyclegan, tmp_path, {WEIGHT: weight if changed_weight.dtype == weight.dtype else changed_weight})
    with raises(StylekitError, path, "damaged", repr(WEIGHT), *facts):
        load(path)


def test_damaged_filters_of_an_encoder_are_refused_by_name(tmp_path: Path) -> None:
    save_model(make("method", "gatys", encoder="random"), "gatys", tmp_path / "a.safetensors")
    filters = read_tensors(tmp_path / "a.safetensors")[0]["encoder.filters"].clone()
    filters[0, 0, 0, 0] = float("nan")
    with raises(StylekitError, "damaged", "'encoder.filters'", "NaN"):
        load(changed(tmp_path / "a.safetensors", tmp_path, {"encoder.filters": filters}))


def test_weights_that_are_all_zero_are_refused(cyclegan: Path, tmp_path: Path) -> None:
    tensors, _ = read_tensors(cyclegan)
    zero = {name: torch.zeros_like(tensor) for name, tensor in tensors.items() if name.startswith("generator_ba")}
    with raises(StylekitError, "damaged", "'generator_ba.model.1.weight'", "zero"):
        load(changed(cyclegan, tmp_path, zero))
    with raises(StylekitError, "damaged", "zero"):
        load(changed(cyclegan, tmp_path, {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}))


class Masked(Method):
    """Has a mask of negative infinity, weights that start at zero, an empty tensor and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.exit = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)
        self.register_buffer("mask", torch.full((3,), float("-inf")))
        self.register_buffer("empty", torch.empty(0))

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content + self.exit(self.norm(content))


def test_values_that_a_new_method_has_too_are_accepted(tmp_path: Path) -> None:
    save_model(Masked(), "masked", tmp_path / "a.safetensors")
    assert isinstance(load(tmp_path / "a.safetensors", method=Masked).method, Masked)


class Spectral(Method):
    """Adds the eigenvalues of a matrix that its option scales."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def stylize(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        return content + torch.linalg.eigvalsh(self.scale * torch.eye(3)).sum()


def test_options_with_which_nothing_can_be_computed_are_one_sentence(tmp_path: Path) -> None:
    save_model(Spectral(), "spectral", tmp_path / "a.safetensors")
    path = changed(tmp_path / "a.safetensors", tmp_path, arguments={"scale": float("nan")})
    with raises(StylekitError, "'spectral'", "NaN"):
        load(path, "cpu", method=Spectral).stylize(torch.rand(1, 3, 24, 24))


@pytest.mark.parametrize(
    "arguments",
    [
        "[" * 100_000 + "]" * 100_000, '{"generator": ' + "[" * 900 + "]" * 900 + "}", "[]", "null", "3", '"text"', "{",
        "", '{"generator": null}', '{"generator": 3}', '{"generator": {"name": ["resnet"]}}', '{"generator": []}',
        '{"generator": {"name": "resnet", "blocks": ' + "9" * 5000 + "}}", '{"generator": {"blocks": 1}}',
        '{"generator": {"name": "resnet", "blocks": NaN}}', '{"generator": {"name": "resnet", "dropout": Infinity}}',
        '{"\\u001b[2J": 1}', '{"generator": "\\u001b[2J"}', '{"generator": "' + "x" * 100_000 + '"}', '{"": 1}',
        '{"generator": {"name": "resnet", "\\u0000": 1}}', '{"pool": -1}', '{"pool": true}', '{"lr": "x"}',
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_arguments_of_any_other_kind_are_one_sentence(cyclegan: Path, tmp_path: Path, arguments: str) -> None:
    path = changed(cyclegan, tmp_path, arguments=arguments)
    with raises(StylekitError, path) as caught:
        load(path)
    message = str(caught.value)
    assert len(message) < 1500
    assert message.isprintable()


@pytest.mark.parametrize(
    "header",
    [
        {"method": "\x1b[2J"},
        {"method": "x" * 10_000},
        {"origin": "\x1b]0;title\x07"},
        {"packages": "["},
        {"packages": [1]},
        {"packages": {f"package-{n}": "1.0" for n in range(20_000)}},
        {"packages": {"\x1b[2J": "1.0"}},
        {"format": "\x1b[2J" * 1000},
        {"inference_modules": {"a": 1}, "arguments": "["},
    ],
    ids=lambda header: str(header)[:40],
)
def test_headers_that_are_not_a_models_are_one_printable_sentence(
    cyclegan: Path, tmp_path: Path, header: dict[str, Any]
) -> None:
    path = changed(cyclegan, tmp_path, **header)
    with raises(StylekitError, path) as caught:
        load(path)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_a_long_header_is_not_read(cyclegan: Path, tmp_path: Path) -> None:
    path = changed(cyclegan, tmp_path, note="x" * 11_000_000)
    with raises(StylekitError, path, "header", "bytes"):
        load(path)


def test_no_package_is_advertised_that_is_not_missing(cyclegan: Path, tmp_path: Path) -> None:
    with raises(StylekitError, "parts of") as caught:
        load(changed(cyclegan, tmp_path, packages={"evil": "1.0"}))
    assert "pip" not in str(caught.value)
    listed = {"evil": "1.0", "worse": "1.0", "bad": "2.0", "more": "3.0"}
    arguments = {**TINY, "generator": "petals"}
    with raises(StylekitError, "pip install evil==1.0", "not verified") as caught:
        load(changed(cyclegan, tmp_path, packages=listed, arguments=arguments))
    assert "more" not in str(caught.value)
    with raises(StylekitError, "'petals'") as caught:
        load(changed(cyclegan, tmp_path, arguments=arguments))
    assert "pip" not in str(caught.value)


OPENED = """
import os, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
import stylekit
try:
    stylekit.load(sys.argv[1], "cpu")
    print("loaded")
except stylekit.StylekitError as error:
    print(error)
print([each for each in opened if "zzz-password" in each])
"""


@pytest.mark.slow
def test_no_file_that_a_header_names_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "zzz-password.pth"
    secret.write_text("password")
    encoder = {"name": "vgg16", "weights": "random", "layers": ["relu1_1"]}
    save_model(make("method", "adain", encoder=encoder), "adain", tmp_path / "a.safetensors")

    def result(path: Path) -> list[str]:
        line = [sys.executable, "-c", OPENED, str(path)]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines()

    named = {"encoder": {**encoder, "weights": str(secret)}}
    assert result(changed(tmp_path / "a.safetensors", tmp_path, arguments=named)) == ["loaded", "[]"]
    tensors, header = read_tensors(tmp_path / "it.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("encoder")}
    write_tensors(tmp_path / "it.safetensors", kept, header)
    message, opened = result(tmp_path / "it.safetensors")[-2:]
    assert (opened, "zzz-password" in message) == ("[]", False)


def test_an_unknown_method_imports_no_other_plugin(
    cyclegan: Path, tmp_path: Path, install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install("loud", "loud", "print('imported')\n")
    with raises(StylekitError, "'flower'", "--plugin FILE.py"):
        load(changed(cyclegan, tmp_path, method="flower", packages={}))
    assert "imported" not in capsys.readouterr().out


@pytest.fixture(params=["float64", "bfloat16", "meta"])
def host(request: pytest.FixtureRequest) -> Any:
    """A program that has changed torch's defaults."""
    if request.param == "meta":
        torch.set_default_device("meta")
    else:
        torch.set_default_dtype(getattr(torch, request.param))
    yield request.param
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["stylekit-any", "color-pca", "file"])
def test_torchs_defaults_do_not_matter(cyclegan: Path, host: str, name: str) -> None:
    image, style = (torch.rand(1, 3, 24, 20, dtype=torch.float32, device="cpu") for _ in range(2))
    given = None if name == "file" else style
    model = load(cyclegan if name == "file" else name, "cpu")
    assert {tensor.dtype for tensor in model.method.state_dict().values()} <= {torch.float32}
    styled = model.stylize(image, given)
    assert (styled.dtype, styled.device.type) == (torch.float32, "cpu")
    assert torch.get_default_device() == torch.device("meta" if host == "meta" else "cpu")
    assert torch.get_default_dtype() == (torch.float32 if host == "meta" else getattr(torch, host))
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    assert torch.equal(styled, load(cyclegan if name == "file" else name, "cpu").stylize(image, given))


def test_the_device_may_be_a_torch_device(cyclegan: Path) -> None:
    assert load(cyclegan, torch.device("cpu")).device == torch.device("cpu")
    assert load("color-pca", torch.device("cpu")).device == torch.device("cpu")
    for device in ("cuda:99", "cpu:x", "tpu", torch.device("meta")):
        with raises(StylekitError, str(device).partition(":")[0]):
            load(cyclegan, device)


def test_names_that_no_file_can_have_are_one_sentence() -> None:
    for name, reason in (("x" * 5000, os.strerror(errno.ENAMETOOLONG)), ("a\0b", "no model")):
        with raises(StylekitError, reason):
            stylekit.load(name)


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    method = make("method", {"name": "cyclegan", **TINY})
    save_model(method, "cyclegan", tmp_path / "a.safetensors")
    for number in range(8):
        save_model(method, "cyclegan", tmp_path / "b.safetensors")
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes(), number
