"""The benchmark of restorers: its filters, its figures and its table."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import stylekit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import classical, figures, restore, shipped
from benchmarks.restore import TASKS, Damaged, enlarging
from benchmarks.tables import restore as tables
from benchmarks.tables import weights
from examples.half_precision import pack
from stylekit import StylekitError, images, make
from tests.facts import assert_mentions, raises

DENOISE, INPAINT = (next(task for task in TASKS if task.name == name) for name in ("denoise", "inpaint"))


def scenes(count: int = 2, side: int = 64) -> list[torch.Tensor]:
    drawn = make("dataset", "scenes", size=side)
    return [drawn[number]["content"][None].mul(255).round().div(255) for number in range(count)]


def test_enlarging_is_compared_in_y_without_a_border_and_all_else_in_all_channels() -> None:
    compared = {task.name: (task.scale, task.border, task.channels) for task in TASKS}
    assert compared.pop("x2") == (2, 2, "y")
    assert compared.pop("x4") == (4, 4, "y")
    assert set(compared.values()) == {(1, 0, "rgb")}


def test_the_figures_are_those_of_the_metrics() -> None:
    """One level too much everywhere, in all channels: 20 log10(255) dB."""
    clean = [image * 0.9 for image in scenes()]
    clean = [image.mul(255).round().div(255) for image in clean]
    row = restore.measure(DENOISE, lambda image: image + 1 / 255, [Damaged(each) for each in clean], clean)
    assert row["psnr"] == pytest.approx([48.1308] * 2, abs=0.01)
    assert row["ssim"] == pytest.approx([1] * 2, abs=0.01)


def test_the_best_setting_counts() -> None:
    clean = scenes()
    settings = [lambda image: image * 0.5, lambda image: image, lambda image: image * 0.9]
    assert restore.best(DENOISE, settings, [Damaged(each) for each in clean], clean)["psnr"] == pytest.approx(
        [100, 100]
    )


def test_of_holes_only_the_inside_is_compared() -> None:
    """A tenth too much inside is 20 dB, whatever is wrong elsewhere."""
    clean = torch.full((1, 3, 8, 8), 0.5)
    hole = torch.zeros_like(clean)
    hole[..., 2:5, 2:5] = 1
    assert restore.inside(torch.where(hole > 0, clean + 0.1, 0), clean, hole) == pytest.approx(20, abs=1e-4)
    (damaged,) = restore.degraded(INPAINT, scenes(1))
    assert damaged.hole is not None
    assert damaged.hole.unique().tolist() == [0, 1]
    assert torch.equal(damaged.image, torch.where(damaged.hole > 0, 1, scenes(1)[0]))


def test_the_classical_filters_do_what_they_are_named() -> None:
    clean = scenes()
    packages = {"BM3D": "bm3d", "total variation": "scikit-image"}
    for task in TASKS:
        damaged = restore.degraded(task, clean)
        assert all(torch.equal(a.image, b.image) for a, b in zip(damaged, restore.degraded(task, clean), strict=True))
        for name, filters in task.rivals.items():
            try:
                outputs = [damaged[0].restored(each) for each in filters]
            except StylekitError as error:
                assert_mentions(error, "pip install", packages.get(name, "stylekit-torch[video]"))
                continue
            assert all(output.shape == clean[0].shape for output in outputs)
            assert all(output.dtype == torch.float32 for output in outputs)
    gap = torch.full((1, 3, 9, 9), 0.4)
    gap[..., 4, 4] = 1
    torch.testing.assert_close(classical.median(3, gap), torch.full_like(gap, 0.4), rtol=0, atol=1e-6)


def test_holes_in_an_even_surface_are_filled_with_its_colour() -> None:
    pytest.importorskip("cv2")
    clean = torch.tensor([0.2, 0.4, 0.8]).view(1, 3, 1, 1).expand(-1, -1, 32, 32)
    (damaged,) = restore.degraded(INPAINT, [clean])
    for filters in INPAINT.rivals.values():
        torch.testing.assert_close(damaged.restored(filters[0]), clean, rtol=0, atol=2.5 / 255)  # OpenCV works in bytes


@pytest.mark.slow
def test_a_record_becomes_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(restore, "RESULTS", tmp_path)
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert tables.restored() == "Not yet recorded."
    x2 = replace(enlarging(2), name="x2-tiny", model="x2-tiny")
    monkeypatch.setattr(restore, "TASKS", [x2])
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(scenes()):
        images.write(tmp_path / f"photos/{number}.png", image)
    run, line = tmp_path / "runs/x2-tiny", ["--runs", str(tmp_path / "runs"), "--holdout", str(tmp_path / "photos")]
    with raises(StylekitError, "stylekit-restore-x2-tiny"):
        restore.main(line)
    stylekit.train(
        "restore", preset="x2-tiny", content=tmp_path / "photos", size=32, batch_size=1, steps=2, workers=0, out=run
    )
    stylekit.train(
        "restore", preset="x2-tiny", content=tmp_path / "photos", size=32, batch_size=1, steps=1, workers=0, init=str(run),
        out=(more := run.with_name("x2-tiny-more")),
    )  # fmt: skip
    pack(more, file := tmp_path / "runs/stylekit-restore-x2-tiny.safetensors")
    assert {tensor.dtype for tensor in safetensors.torch.load_file(file).values()} == {torch.float16}
    sheets = tmp_path / "sheets"
    restore.main([*line, "--names", "scenes", "--record", "--sheets", str(sheets)])
    assert_mentions(tables.restored(), "`x2-tiny`", "bicubic", "Lanczos", "scenes (2)")
    assert_mentions(weights.restorers(), "`stylekit-restore-x2-tiny`", "| 2 + 1, 1, 32 pixels |", "srvgg, ")
    assert [path.name for path in sheets.iterdir()] == ["scenes-x2-tiny.png"]

    table, card = tables.restored(), weights.restorers()
    monkeypatch.setattr(shipped, "shipped", lambda name: tmp_path / "runs" / f"{name}.safetensors")
    restore.main([*line[2:], "--names", "scenes", "--record"])  # as if it were the model that ships
    assert weights.restorers() == card
    assert tables.restored().split("CPU")[0] == table.split("CPU")[0]

    def uninstalled(image: torch.Tensor) -> torch.Tensor:
        raise StylekitError("pip install it")

    monkeypatch.setattr(restore, "TASKS", [replace(x2, rivals={"Lanczos": [uninstalled], "bicubic": [uninstalled]})])
    restore.main([*line[2:], "--names", "scenes", "--task", "x2-tiny", "--record"])
    assert_mentions(tables.restored(), "| bicubic |", "| Lanczos |")  # the figures of the run before are kept
