"""Resuming with data that moved or changed, and with another number of processes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import stylekit
from stylekit import StylekitError, images
from stylekit.registry.parts import make
from stylekit.training.data_files import data_facts
from stylekit.training.runs import Run
from stylekit.weights.tensors import read_tensors
from tests.facts import assert_mentions, raises
from tests.line import Line


class Both(Line):
    batch_keys = ("content", "style")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two folders of three images each, in the layout A + B."""
    for side in "AB":
        (tmp_path / "data" / side / "deep").mkdir(parents=True)
        for number in range(3):
            image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(number))
            images.write(tmp_path / "data" / side / "deep" / f"{number}.png", image)
    return tmp_path / "data"


def train(method: Line, out: Path, **settings: Any) -> Path:
    return stylekit.train(method, out=out, **{"size": 32, "workers": 0, "steps": 1, **settings})


def resume(run: Path, steps: int = 2, **settings: Any) -> Path:
    return stylekit.train(Both(), resume=True, out=run, steps=steps, **settings)


def sides(data: Path) -> dict[str, Path]:
    return {"content": data / "A", "style": data / "B"}


@pytest.mark.parametrize("as_sides", [True, False])
def test_a_run_resumes_with_data_that_moved_as_if_it_had_not(tmp_path: Path, data: Path, as_sides: bool) -> None:
    def given(where: Path) -> dict[str, Any]:
        return sides(where) if as_sides else {"data": str(where)}

    torch.manual_seed(0)
    whole = train(Both(), tmp_path / "whole", steps=4, **given(data))
    torch.manual_seed(0)
    run = train(Both(), tmp_path / "run", steps=4, checkpoint_every=2, keep=9, **given(data))
    shutil.rmtree(run / "checkpoints" / "4")
    moved = shutil.move(data, tmp_path / "elsewhere")
    with raises(StylekitError, "no folder", data, "moved", "--content"):
        resume(run, steps=4)
    resume(run, steps=4, **given(Path(moved)))
    one, other = (read_tensors(each / "model.safetensors")[0] for each in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)
    resume(run, steps=5)  # the new place is remembered


def test_options_of_data_that_moved_are_kept_and_one_folder_may_move_alone(tmp_path: Path, data: Path) -> None:
    options = {"name": "folders", "content": str(data / "A"), "style": str(data / "B"), "crop": 1.5}
    run = train(Both(), tmp_path / "run", data=options)
    (data / "A").rename(tmp_path / "photos")
    resume(run, content=tmp_path / "photos")
    assert Run(run).settings().data == {**options, "content": str(tmp_path / "photos")}
    with raises(StylekitError, "data was", "1.5", "1.25"):
        resume(run, data={**options, "crop": 1.25})


def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path, data: Path) -> None:
    run = train(Both(), tmp_path / "run", **sides(data))
    shutil.copy(data / "A" / "deep" / "0.png", data / "A" / "new.png")
    with raises(StylekitError, run, "6 files then, 7 now", f"--init {run} --out"):
        resume(run)
    (data / "A" / "new.png").unlink()
    resume(run)
    (data / "A" / "deep" / "0.png").rename(data / "A" / "deep" / "9.png")
    with raises(StylekitError, run, "as many files", "other names or sizes"):
        resume(run, steps=3)
    (data / "A" / "deep" / "9.png").rename(data / "A" / "deep" / "0.png")
    images.write(data / "B" / "deep" / "1.png", torch.rand(1, 3, 60, 60))
    with raises(StylekitError, run, "as many files", "other names or sizes"):
        resume(run, steps=3)


def test_every_data_set_of_files_offers_its_files_and_drawn_ones_none(data: Path) -> None:
    for name, options, count in (
        ("folders", {"data": data}, 6),
        ("folders", {"content": data / "A"}, 3),
        ("pairs", {"data": data}, 6),
        ("labelled", {"data": data}, 6),
    ):
        facts = data_facts(make("dataset", {"name": name, **options}, size=32))
        assert facts is not None
        assert facts.files == count
    assert data_facts(make("dataset", "scenes", size=32)) is None


@pytest.mark.long
def test_more_or_fewer_processes_resume_with_one_line_about_rounding(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = {"generator": {"name": "resnet", "blocks": 1, "width": 4}, "discriminator": "pixel"}
    settings: dict[str, Any] = {"set": small, "size": 32, "batch_size": 2, "workers": 0, "device": "cpu"}
    run = stylekit.train("cyclegan", out=tmp_path / "run", steps=1, devices=2, **settings)
    for steps, devices, line in ((2, 1, "2 processes before, 1 now"), (3, 2, "1 processes before, 2 now")):
        capfd.readouterr()
        stylekit.train(resume=True, out=run, steps=steps, devices=devices, progress=True)
        assert_mentions(capfd.readouterr().err, line, "rounding")
    capfd.readouterr()
    stylekit.train(resume=True, out=run, steps=4, progress=True)
    assert "before" not in capfd.readouterr().err
