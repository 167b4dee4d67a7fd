"""The benchmark of colourisers: its figures and its table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import stylekit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import colorize, figures
from benchmarks.tables import restore, weights
from examples.half_precision import pack
from stylekit import StylekitError, images, make
from stylekit.images.color import from_lab, to_lab
from tests.facts import assert_mentions, raises


def flat(light: float, a: float, b: float, side: int = 8) -> torch.Tensor:
    """A picture of one colour."""
    return from_lab(torch.tensor([light, a, b])[None, :, None, None].expand(1, 3, side, side).contiguous())


def test_the_error_is_a_distance_in_a_and_b() -> None:
    """Grey instead of (30, 40) is wrong by 50, and all its chroma is missing."""
    true = [flat(60, 30, 40), flat(50, 0, 20)]
    row = colorize.measure(lambda number, image: colorize.tinted(image, (0, 0)), true)
    assert row["ab"] == pytest.approx([50, 20], abs=0.5)
    assert row["chroma"] == pytest.approx(0, abs=0.5)
    assert row["distribution"] == pytest.approx(35, abs=0.5)
    gap = np.mean((images.to_tensor(images.to_pil(true[0])) - row["outputs"][0]).numpy() ** 2)
    assert row["psnr"][0] == pytest.approx(-10 * np.log10(gap), abs=0.1)


def test_the_truth_has_no_error() -> None:
    true = [make("dataset", "scenes", size=32)[0]["content"][None].mul(255).round().div(255)]
    row = colorize.measure(lambda number, image: image, true)
    assert [*row["ab"], row["distribution"]] == pytest.approx([0, 0], abs=1e-3)


def test_the_distance_of_distributions_pays_no_attention_to_where_colours_are() -> None:
    true = torch.cat([flat(50, 30, 0), flat(50, 0, 10)], 3)
    row = colorize.measure(lambda number, image: image.flip(3), [true])
    assert row["ab"][0] > 25
    assert row["distribution"] < 0.5


def test_true_hints_are_colours_of_the_picture() -> None:
    image = torch.rand(1, 3, 50, 80, generator=torch.Generator().manual_seed(0))
    layer = colorize.true_dots(image, 3, 5)
    assert torch.equal(layer, colorize.true_dots(image, 3, 5))
    there = layer[0, 3] == 1
    assert 1 < int(there.sum()) <= 5
    torch.testing.assert_close(layer[0, :3, there], image[0, :, there])  # squares of one pixel


def test_the_tint_keeps_the_lightness() -> None:
    image = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    made = to_lab(colorize.tinted(image, (3, 9)))
    torch.testing.assert_close(made[:, :1], to_lab(image)[:, :1], rtol=0, atol=0.01)


@pytest.mark.slow
def test_a_record_becomes_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(colorize, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert restore.coloured() == "Not yet recorded."
    (tmp_path / "photos").mkdir()
    for number in range(2):
        images.write(tmp_path / f"photos/{number}.png", make("dataset", "scenes", size=48)[number]["content"])
    runs, photos = tmp_path / "runs", tmp_path / "photos"
    line = ["--runs", str(runs), "--holdout", str(photos), "--names", "scenes"]
    with raises(StylekitError, "stylekit-restore-colorize"):
        colorize.main(line)
    stylekit.train(
        "colorize", preset="tiny", content=photos, size=32, batch_size=1, steps=2, workers=0, out=runs / "colorize"
    )
    pack(runs / "colorize", runs / "stylekit-restore-colorize.safetensors")
    sheets = tmp_path / "sheets"
    colorize.main([*line, "--record", "--sheets", str(sheets)])
    names = ("grey", "one tint", "`stylekit-restore-colorize`", "10 true hints", "scenes (2)", "2 steps")
    assert_mentions(restore.coloured(), *names)
    assert [path.name for path in sheets.iterdir()] == ["scenes-1.png"]
    (tmp_path / "restore.json").write_text('{"models": {}}')
    assert_mentions(weights.restorers(), "`stylekit-restore-colorize`", "colorize, ", "| 2, 1, 32 pixels |")
