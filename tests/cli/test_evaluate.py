"""``stylekit evaluate`` on drawn images: what it measures, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from stylekit import images
from stylekit_plugins.datasets.scenes import render
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, paintings and true paintings of the photos, of drawn scenes."""
    monkeypatch.chdir(tmp_path)
    for folder, manner in (("photos", "photo"), ("paintings", "strokes"), ("truth", "strokes")):
        (tmp_path / folder).mkdir()
        for index in range(3):
            number = index + 10 * (folder == "paintings")
            images.write(tmp_path / folder / f"{index}.png", render(number, manner, size=48)[None])
    return tmp_path


def test_it_prints_scores_and_writes_a_report(program: Program, drawn: Path) -> None:
    result = program(
        "evaluate",
        "color-pca",
        "--content",
        "photos",
        "--style",
        "paintings",
        "--metric",
        "color-histogram",
        "-o",
        "out",
    )
    assert result.code == 0, result.err
    assert_mentions(result.out, "color-histogram", "lower", "color-pca", "content untouched", "style itself")
    assert_mentions(result.err, "out/report.html", "out/report.json")
    report = json.loads((drawn / "out" / "report.json").read_text())
    assert_mentions(report["command"], "evaluate", "color-pca", "photos")
    assert report["protocol"]["pairs"] == 9
    assert report["scores"]["color-histogram"]["style itself"]["mean"] == pytest.approx(0, abs=1e-3)
    assert (drawn / "out" / "report.html").stat().st_size > 10_000


def test_json_holds_the_scores(program: Program, drawn: Path) -> None:
    found = json.loads(
        program(
            "evaluate", "photos", "--content", "photos", "--truth", "truth", "--metric", "psnr", "-o", "out", "--json"
        ).out
    )
    assert found["report"] == "out/report.html"
    scores = found["scores"]["psnr"]
    assert scores["photos"] == scores["content untouched"]
    expected = [
        -10 * torch.log10((render(i, "photo", size=48) - render(i, "strokes", size=48)).square().mean())
        for i in range(3)
    ]
    assert scores["photos"]["mean"] == pytest.approx(float(torch.stack(expected).mean()), abs=0.05)


def test_a_folder_is_compared_with_the_model_that_made_it(program: Program, drawn: Path) -> None:
    """What ``stylekit stylize`` wrote scores exactly like the model."""
    program("stylize", "photos", "--model", "color-pca", "--style", "paintings", "-o", "made", "-q")
    result = program(
        "compare", "color-pca", "made", "--content", "photos", "--style", "paintings", "-o", "out",
        "--metric", "color-histogram", "--metric", "cfsd", "--json", "-q",
    )  # fmt: skip
    assert result.code == 0, result.err
    for scores in json.loads(result.out)["scores"].values():
        assert scores["color-pca"] == scores["made"]


def test_a_data_set_may_hold_the_truth(program: Program, drawn: Path) -> None:
    result = program(
        "evaluate", "color-pca", "--data", "{name: scenes, length: 4}", "--size", "48", "-o", "out", "--metric", "psnr",
        "--json", "-q",
    )  # fmt: skip
    scores = json.loads(result.out)["scores"]["psnr"]
    assert scores["style itself"]["mean"] == 100
    assert scores["content untouched"]["mean"] < scores["color-pca"]["mean"] < 100
    assert json.loads((drawn / "out" / "report.json").read_text())["protocol"]["pairs"] == 4


def test_a_run_is_evaluated_on_its_own_held_out_images(program: Program, trained: Path, tmp_path: Path) -> None:
    metric = "{name: content-distance, encoder: {name: random, width: 8, scales: 2}}"
    result = program("evaluate", trained, "-o", tmp_path / "out", "--metric", metric, "--count", "3", "--json", "-q")
    assert result.code == 0, result.err
    assert '"curves": {}' not in (tmp_path / "out" / "report.html").read_text()


def test_the_cost_is_measured_on_request(program: Program, drawn: Path) -> None:
    program(
        "evaluate", "color-pca", "--content", "photos", "--style", "paintings", "--count", "1", "--metric", "color-histogram",
        "--cost", "-o", "out", "-q",
    )  # fmt: skip
    cost = json.loads((drawn / "out" / "report.json").read_text())["cost"]["color-pca"]
    assert cost["parameters"] == 0
    assert cost["512 x 512"]["megabytes"] == pytest.approx(4 * cost["256 x 256"]["megabytes"], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("color-pca", ("--content", "--data")),
        ("color-pca --style paintings", ("--content",)),
        ("color-pca --content photos", ("color-pca", "--style")),
        ("color-pca --content photos --style nowhere", ("nowhere",)),
        ("color-pca --content empty --style paintings", ("empty",)),
        ("color-pca --content photos --style paintings --data scenes", ("--content", "--data")),
        ("color-pca --content photos --style paintings --metric colour", ("colour", "color-histogram")),
        ("color-pca --content photos --style paintings --metric {name:", ("--metric", "YAML")),
        ("color-pca --content photos --style paintings --metric frechet", ("mind",)),
        ("color-pca --content photos --style paintings --truth empty", ("empty",)),
        ("color-pca color-pca --content photos --style paintings", ("color-pca",)),
        ("color-pcb --content photos --style paintings", ("color-pcb",)),
        ("empty --content photos --style paintings", ("empty",)),
        ("color-pca --content broken --style paintings", ("broken/0.png",)),
        ("small --content photos", ("small", "0.png", "20x20", "48x48")),
        ("color-pca --content photos --style paintings -o full", ("full/report.json", "--overwrite")),
        (
            "color-pca --content photos --style paintings --metric {name: cfsd, encoder: {name: vgg19, weights: 0.png}}",
            ("0.png",),
        ),
    ],
)
def test_bad_input_is_one_clear_error(program: Program, drawn: Path, arguments: str, facts: tuple[object, ...]) -> None:
    for folder in ("empty", "broken", "small", "full"):
        (drawn / folder).mkdir()
    (drawn / "broken" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (drawn / "full" / "report.json").write_text("{}")
    for index in range(3):
        images.write(drawn / "small" / f"{index}.png", torch.zeros(1, 3, 20, 20))
    words, brace, metric = arguments.partition("{")
    given = [*words.split(), *([brace + metric] if brace else [])]
    out = [] if "-o" in given else ["-o", "out"]
    assert_mentions(program("evaluate", *given, *out, "-q").error, *facts)
    assert not (drawn / "out").exists()
