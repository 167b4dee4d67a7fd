"""Folders for the Hugging Face hub: what they contain, and how they are loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import stylekit
from stylekit import StylekitError, from_pretrained, save_pretrained
from stylekit.inference import hub
from stylekit.inference.model import Model
from tests.facts import raises
from tests.inference.exported.conftest import small

SMALL = {"name": "cyclegan", "generator": {"name": "resnet", "width": 4, "blocks": 1}}


@pytest.fixture
def model() -> Model:
    return small(SMALL)


def test_a_folder_is_loaded_as_the_model_that_was_saved(model: Model, tmp_path: Path) -> None:
    folder = save_pretrained(model, tmp_path / "horses")
    assert sorted(each.name for each in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    image = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_pretrained(folder, "cpu").stylize(image), model.stylize(image))
    config = json.loads((folder / "config.json").read_text())
    assert config["method"] == "cyclegan"
    assert config["arguments"]["generator"] == SMALL["generator"]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: stylekit\npipeline_tag: image-to-image\nlicense: other\n")
    assert 'model.stylize("photo.jpg")' in card
    assert "## Limits" in card


@pytest.mark.slow
def test_a_card_tells_of_the_training_and_the_evaluation_but_no_paths(tmp_path: Path) -> None:
    run = stylekit.train("cyclegan", out=tmp_path / "run", data="scenes", size=32, steps=1, seed=5, workers=0, set={
        "generator": SMALL["generator"], "discriminator": {"name": "patch", "layers": 1, "width": 4}
    })  # fmt: skip
    scores = {"psnr": {"horses": {"mean": 20.123456}, "untouched": {"mean": 15.0}}}
    (tmp_path / "report.json").write_text(json.dumps({"scores": scores, "protocol": {"pairs": 7}}))
    card = hub.model_card(stylekit.load(run, "cpu"), run, tmp_path / "report.json", "cc-by-4.0")
    for text in (
        "license: cc-by-4.0",
        "| seed | 5 |",
        "| steps | 1 |",
        "| data | scenes |",
        "| psnr | 20.12 | 15 |",
        "7 outputs",
    ):
        assert text in card
    assert str(tmp_path) not in card


def test_paths_in_settings_are_left_out_of_the_card(model: Model, tmp_path: Path) -> None:
    record = {"settings": {"set": {"style": "/home/ada/secret/style.jpg", "parts": ["/srv/x"], "lr": 0.1}, "seed": 3}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    card = hub.model_card(model, tmp_path)
    assert '| set | {"style": "style.jpg", "parts": ["x"], "lr": 0.1} |' in card
    assert "secret" not in card


@pytest.mark.parametrize("content", ["[1]", "{}", '{"scores": {"x": {"a": null}}}', '{"scores": 3}'])
def test_other_json_is_no_report_and_no_run(model: Model, tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with raises(StylekitError, tmp_path / "report.json", "stylekit evaluate"):
        hub.model_card(model, report=tmp_path / "report.json")
    (tmp_path / "run.json").write_text("[]")
    with raises(StylekitError, "run.json", "record of a run"):
        hub.model_card(model, tmp_path)


def test_only_weights_and_settings_are_fetched_from_the_hub(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_pretrained(model, tmp_path / "cached")
    asked: dict[str, Any] = {}

    def snapshot_download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    assert from_pretrained("ada/horses", "cpu", revision="v1").name == "cyclegan"
    assert asked == {"name": "ada/horses", "revision": "v1", "allow_patterns": ["model.safetensors", "config.json"]}


def test_the_cache_of_the_hub_works_offline(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    commit = "0" * 40
    place = tmp_path / "models--ada--horses"
    save_pretrained(model, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    real = hub.import_extra("huggingface_hub", "hub", "the test").snapshot_download
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *given, **more: real(*given, **more, cache_dir=str(tmp_path))
    )
    assert from_pretrained("ada/horses", "cpu").name == "cyclegan"
    with raises(StylekitError, "ada/zebras", "hub"):
        from_pretrained("ada/zebras")


def test_what_is_wrong_is_one_sentence(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(StylekitError, "nowhere", "folder"):
        from_pretrained("nowhere")
    with raises(StylekitError, "licence", "my own"):
        save_pretrained(model, tmp_path / "x", licence="my own\nlicence")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with raises(StylekitError, "pip install 'stylekit-torch[hub]'"):
        from_pretrained("ada/horses")


def test_nothing_is_uploaded_unless_told(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def upload_folder(**options: Any) -> str:
        calls.append(options)
        return "https://hub/ada/horses"

    fake = SimpleNamespace(create_repo=lambda name, **options: calls.append(name), upload_folder=upload_folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    folder = save_pretrained(model, tmp_path / "horses")
    assert calls == []
    assert hub.upload(folder, "ada/horses") == "https://hub/ada/horses"
    assert calls[0] == "ada/horses"
    assert calls[1]["allow_patterns"] == ["model.safetensors", "config.json", "README.md"]
