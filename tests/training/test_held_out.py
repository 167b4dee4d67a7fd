"""Evaluations during training: the value is that of the saved model, the best model is kept, and training ends in time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio

import stylekit
from stylekit import Method, Player, StylekitError, turn
from stylekit.method import Batch, Terms
from stylekit.training.runs import Run
from stylekit_plugins.datasets.scenes import Scenes
from tests.facts import raises

SCENES = {"name": "scenes", "length": 20}


class Shift(Method):
    """Adds a number to an image; at each step, another one of a fixed course."""

    course: Sequence[float] = ()

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def players(self) -> dict[str, Player]:
        return {"shift": Player(self, lr=1e-9, optimizer=torch.optim.SGD)}

    @turn("shift")
    def follow(self, batch: Batch, made: Any) -> Terms:
        with torch.no_grad():
            self.shift.copy_(torch.tensor(self.course[max(self.played, 0)]))
        self.played += 1
        return {"shift": self.shift.square()}

    played = -1  # the rehearsal plays the turn once before training

    def stylize(self, content: Tensor, style: Any = None) -> Tensor:
        return (content + self.shift).clamp(0, 1)


def follow(course: Sequence[float], out: Path, **settings: Any) -> Run:
    method = Shift()
    method.course = course
    given = {"data": SCENES, "size": 32, "workers": 0, "steps": len(course), "eval_every": 1}
    return Run(stylekit.train(method, out=out, **{**given, **settings}))


def values(run: Run, metric: str = "psnr") -> list[float]:
    return [line[f"evaluation/{metric}"] for line in run.metrics() if f"evaluation/{metric}" in line]


def best(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "run.json").read_text())["best"]
    return found


def test_the_best_model_is_kept_with_its_value(tmp_path: Path) -> None:
    """The untouched picture is nearer to the truth than one that is darker or lighter by .3."""
    run = follow([-0.3, 0.0, 0.3], tmp_path / "run")
    assert best(run)["step"] == 2
    assert best(run)["value"] == max(values(run)) == values(run)[1]
    scenes = Scenes(size=32, split="test", length=20)
    items = [scenes[index * 20 // 16] for index in range(16)]
    expected = [
        peak_signal_noise_ratio(
            (item["content"] * 255).round() / 255, (item["style"] * 255).round() / 255, data_range=1.0
        )
        for item in items
    ]
    assert best(run)["value"] == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
    model = stylekit.load(run.best, "cpu", method=Shift)
    assert torch.equal(model.method.state_dict()["shift"], torch.zeros(()))


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    metric = {"name": "content-distance", "encoder": {"name": "random", "width": 8, "scales": 2}}
    run = follow([0.5, 0.0, 0.4], tmp_path / "run", eval_metric=metric)
    assert best(run)["step"] == 2
    assert values(run, "content-distance")[1] == 0


def test_training_ends_when_it_no_longer_improves(tmp_path: Path) -> None:
    run = follow([0.2, 0.1, 0.3, 0.15, 0.0, 0.0], tmp_path / "run", patience=2)
    assert len(values(run)) == 4
    assert run.result()["step"] == 4
    assert run.result()["ended"] == "complete"
    assert run.latest() is not None


def test_an_evaluation_changes_nothing_and_a_resumed_run_goes_on_with_it(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "data": SCENES, "size": 32, "workers": 0, "preset": "tiny", "batch_size": 1, "seed": 3,
    }  # fmt: skip
    metric = {"eval_metric": "psnr", "eval_every": 2}
    plain = Run(stylekit.train("cyclegan", out=tmp_path / "plain", steps=4, **given))
    whole = Run(stylekit.train("cyclegan", out=tmp_path / "whole", steps=4, **given, **metric))
    stylekit.train("cyclegan", out=tmp_path / "resumed", steps=2, **given, **metric)
    resumed = Run(stylekit.train(out=tmp_path / "resumed", resume=True, steps=4))
    assert plain.model.read_bytes() == whole.model.read_bytes()
    assert values(whole)[0] == pytest.approx(
        values(resumed)[0], abs=1
    )  # the schedule of two steps differs from that of four
    assert len(values(resumed)) == 2
    assert best(resumed)["value"] == max(values(resumed))


def test_samples_are_compared_with_real_images(tmp_path: Path) -> None:
    run = Run(
        stylekit.train(
            "gan", preset="dcgan", data={"name": "textures", "length": 20}, size=32, steps=2, workers=0, out=tmp_path / "run",
            set={"width": 4}, eval_every=2,
            eval_metric={"name": "mind", "encoder": {"name": "random", "width": 8, "scales": 2}},
        )
    )  # fmt: skip
    assert values(run, "mind")[0] > 0


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"patience": 2}, ("--eval-every",)),
        ({"eval_every": 2, "eval_metric": "pnsr"}, ("pnsr", "psnr")),
        ({"eval_every": 2, "eval_metric": "style-distance"}, ("style",)),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(
    settings: dict[str, Any], facts: tuple[str, ...], tmp_path: Path
) -> None:
    with raises(StylekitError, *facts):
        stylekit.train(
            "cyclegan", preset="tiny", size=32, steps=2, workers=0, data=SCENES, out=tmp_path / "run", **settings
        )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
