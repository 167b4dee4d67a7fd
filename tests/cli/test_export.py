"""``stylekit export`` and ``verify``, and stylising with what they wrote."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylekit.inference.exported.card import KEY, read_onnx_card
from tests.cli.conftest import Paint, Program

pytest.importorskip("onnxscript", reason="writing ONNX files needs onnxscript")
pytest.importorskip("onnxruntime", reason="running ONNX files needs onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported CycleGAN."""
    from stylekit.inference.exported.export import export
    from tests.inference.exported.conftest import small

    file = tmp_path_factory.mktemp("exported") / "horses.onnx"
    export(small({"name": "cyclegan", "generator": {"name": "resnet", "width": 4, "blocks": 1}}), file)
    return file


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path)).astype(int)


def test_export_prints_differences_and_seconds(program: Program, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.onnx"
    result = program("export", trained, "-o", out)
    assert (result.code, result.err) == (0, "")
    assert "96x64" in result.out
    assert f"{out}: " in result.out
    assert program("export", trained, "-o", out).error == f"{out} exists. --overwrite replaces it."
    assert read_onnx_card(out).method == "cyclegan"


def test_no_file_that_exists_is_replaced(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.describe.onnx").write_text("keep")
    result = program("export", "stylekit-any", "-o", tmp_path / "x.onnx")
    assert result.error == f"{tmp_path / 'x.describe.onnx'} exists. --overwrite replaces it."
    assert (tmp_path / "x.describe.onnx").read_text() == "keep"


def test_too_little_memory_is_one_sentence(
    program: Program, paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = paint(tmp_path / "photo.png", 32, 48)
    monkeypatch.setattr("stylekit.inference.exported.model.LARGE", 1000)
    monkeypatch.setattr("stylekit.inference.exported.model.free_cpu_memory", lambda: 2**17)
    result = program("stylize", photo, "--style", photo, "-o", tmp_path / "out.png", "--engine", "onnxruntime")
    assert result.code == 1
    assert re.search(r"48x32 pixels need about [\d.]+ MiB with this model, but only 0.1 MiB", result.err)


def test_verify_reports_as_json(program: Program, exported: Path) -> None:
    facts = json.loads(program("verify", exported, "--json").out)
    assert facts["files"] == [{"path": str(exported), "bytes": exported.stat().st_size}]
    assert [check["size"] for check in facts["checks"]] == [[64, 96], [61, 83], [150, 101]]


def test_a_file_with_other_weights_is_found_out(program: Program, exported: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    largest = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    largest.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(largest), largest.name))
    onnx.save(model, tmp_path / "other.onnx")
    result = program("verify", tmp_path / "other.onnx")
    assert result.code == 2
    assert "differs from what it should compute" in result.err


def test_an_exported_translator_stylises_a_folder(
    program: Program, paint: Paint, exported: Path, tmp_path: Path
) -> None:
    for number in range(3):
        paint(tmp_path / "in" / f"{number}.png", 30 + number, 40, number)
    result = program("stylize", tmp_path / "in", "--model", exported, "-o", tmp_path / "out", "--strength", "0.5")
    assert (result.code, result.err) == (0, f"wrote 3 of 3 images to {tmp_path / 'out'}\n")
    full = program("stylize", tmp_path / "in", "--model", exported, "-o", tmp_path / "full")
    assert full.code == 0
    for number in range(3):
        content, half, whole = (pixels(tmp_path / name / f"{number}.png") for name in ("in", "out", "full"))
        assert half.shape == (30 + number, 40, 3)
        assert np.abs(half - (content[..., :3] + whole) / 2).max() <= 1


def test_the_shipped_model_starts_without_torch_by_default(
    program: Program, paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, style = paint(tmp_path / "photo.png"), paint(tmp_path / "style.png", seed=1)

    def fail(*given: object, **more: object) -> None:
        raise AssertionError

    outputs = {}
    for engine in ("torch", "onnxruntime", "auto"):
        if engine == "auto":
            monkeypatch.setattr("stylekit.inference.loading.load", fail)
        out = tmp_path / f"{engine}.png"
        result = program("stylize", photo, "--style", style, "-o", out, "--engine", engine)
        assert result.code == 0, result.err
        outputs[engine] = pixels(out)
    assert np.abs(outputs["torch"] - outputs["onnxruntime"]).max() <= 1
    assert np.array_equal(outputs["auto"], outputs["onnxruntime"])


def test_without_a_runtime_and_for_what_needs_torch_it_is_taken(
    program: Program, paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, style = paint(tmp_path / "photo.png"), paint(tmp_path / "style.png", seed=1)
    opened: list[str] = []
    monkeypatch.setattr("stylekit.inference.exported.runtimes.open_runtime", lambda *given: opened.append("exported"))
    result = program("stylize", photo, "--style", style, "-o", tmp_path / "a.png", "--set", "lr=0.1")
    assert (result.code, opened) == (0, [])
    monkeypatch.setattr("stylekit.cli.engines.importlib.util.find_spec", lambda name: None)
    result = program("stylize", photo, "--style", style, "-o", tmp_path / "b.png")
    assert (result.code, opened) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--engine tensorrt", "There is no engine 'tensorrt'. Available: auto, onnxruntime, openvino, torch."),
        (
            "--engine onnxruntime --set lr=1",
            "--set needs the engine torch. Leave --engine onnxruntime out.",
        ),
        (
            "--engine onnxruntime --model color-pca",
            "The engine 'onnxruntime' needs an exported model: run `stylekit export color-pca -o model.onnx`, then give "
            "--model model.onnx.",
        ),
        (
            "--model {exported} --with direction=b-to-a",
            "--with cannot be used with {exported}. Give the model that it was exported from.",
        ),
        (
            "--model {exported} --engine torch",
            "The engine 'torch' does not read .onnx files. Use onnxruntime or openvino.",
        ),
        ("--model nowhere.onnx", "There is no file nowhere.onnx."),
        ("--model {exported} --device gpu", "onnxruntime has no device 'gpu'."),
        (
            "--device directml --model color-pca",
            "The device 'directml', which only onnxruntime has, needs an exported model: run `stylekit export color-pca -o "
            "model.onnx`, then give --model model.onnx.",
        ),
        (
            "--device directml --set lr=1",
            "--set needs the engine torch. Leave --device directml out.",
        ),
        (
            "--device directml --engine torch",
            "There is no device 'directml'. Available: auto, cpu, cuda, mps.",
        ),
        (
            "--device coreml --engine onnxruntime --set lr=1",
            "--set needs the engine torch. Leave --engine onnxruntime out.",
        ),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    program: Program, paint: Paint, exported: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    photo = paint(tmp_path / "photo.png")
    given = arguments.format(exported=exported).split()
    error = program("stylize", photo, "--style", photo, "-o", tmp_path / "out.png", *given).error
    assert error.startswith(message.format(exported=exported))


@pytest.mark.parametrize("line", ["stylize photo.png --style photo.png -o out.png", "verify {exported}"])
@pytest.mark.parametrize(
    ("device", "package"),
    [("directml", "onnxruntime-directml"), ("coreml", "onnxruntime"), ("cuda", "onnxruntime-gpu")],
)
def test_a_device_of_another_build_of_onnxruntime_says_which(
    program: Program,
    paint: Paint,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    device: str,
    package: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    paint(Path("photo.png"))
    words = [*line.format(exported=exported).split(), "--device", device, "--engine", "onnxruntime"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    error = program(*words).error
    assert error.startswith(f"This build of onnxruntime has no device '{device}'. It offers CPUExecutionProvider.")
    assert f"`pip uninstall onnxruntime`, and then `pip install {package}`, " in error
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else find(name))
    error = program(*words).error
    assert error.startswith(
        f"The device '{device}' needs onnxruntime, which is not installed: `pip install {package}`, "
    )


def test_directml_is_a_device_of_onnxruntime_even_where_it_is_not_installed(
    program: Program, paint: Paint, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never one of torch or OpenVINO, which are installed."""
    photo = paint(tmp_path / "photo.png")
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else find(name))
    for model in ([], ["--model", exported]):
        line = ["stylize", photo, "--style", photo, "-o", tmp_path / "out.png", "--device", "directml", *model]
        assert program(*line).error.startswith("The device 'directml' needs onnxruntime, which is not installed: ")


def test_damaged_files_and_missing_runtimes_are_one_sentence(
    program: Program, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported)
    model.opset_import[0].version = 99
    onnx.save(model, tmp_path / "later.onnx")
    assert f"{tmp_path / 'later.onnx'} cannot be run by onnxruntime" in program("verify", tmp_path / "later.onnx").error
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:-900])
    assert f"{tmp_path / 'cut.onnx'} is damaged" in program("verify", tmp_path / "cut.onnx").error
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value="{}")
    onnx.save(model, tmp_path / "bare.onnx")
    assert f"{tmp_path / 'bare.onnx'} is damaged" in program("verify", tmp_path / "bare.onnx").error
    monkeypatch.setenv("STYLEKIT_THREADS", "many")
    assert (
        program("verify", exported).error
        == "STYLEKIT_THREADS is 'many', but must be a number of threads from 1 to 1024."
    )
    monkeypatch.delenv("STYLEKIT_THREADS")
    real = importlib.import_module

    def missing(name: str, *given: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return real(name, *given)

    monkeypatch.setattr("stylekit.registry.extras.importlib.import_module", missing)
    assert "pip install 'stylekit-torch[onnx]'" in program("verify", exported).error


def test_a_file_without_the_one_that_describes_styles_says_so(program: Program, paint: Paint, tmp_path: Path) -> None:
    from stylekit.inference.model_file import ModelFile
    from stylekit.registry import lookup

    factory = lookup.find_part("model", "stylekit-any")
    assert isinstance(factory, ModelFile)
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(factory.exported.read_bytes())
    photo = paint(tmp_path / "photo.png")
    error = program("stylize", photo, "--style", photo, "-o", tmp_path / "out.png", "--model", alone).error
    assert error == f"{alone} needs {tmp_path / 'alone.describe.onnx'} to describe styles. Put it next to the file."
