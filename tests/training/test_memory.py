"""Training with less memory: batches in parts, and features that are computed again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stylekit
from stylekit import Method, Player, StylekitError, make, turn
from stylekit.inference.memory import PeakBytes
from stylekit.method import Batch, Terms
from stylekit.training.activations import checkpoint_sequences
from stylekit.training.distributed import launch
from stylekit.training.player_state import player_states
from stylekit.training.settings import validate_settings
from stylekit.training.steps import step
from tests.facts import raises
from tests.tensors import noise


class Painter(Method):
    """Learns to paint one image from another."""

    def __init__(self, simultaneous: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = make("generator", {"name": "resnet", "blocks": 2, "width": 4, "upsample": "resize"})
        self.score = nn.Conv2d(3, 1, 3)
        self.__dict__["simultaneous"] = simultaneous

    def players(self) -> dict[str, Player]:
        sgd = partial(torch.optim.SGD)
        return {"painter": Player(self.network, 0.1, sgd), "critic": Player(self.score, 0.1, sgd)}

    def forward(self, batch: Batch) -> Tensor:
        painted: Tensor = self.network(batch["content"])
        return painted

    @turn("painter")
    def paint(self, batch: Batch, made: Tensor) -> Terms:
        return {"pixels": (made - batch["style"]).square().mean()}

    @turn("critic")
    def judge(self, batch: Batch, made: Tensor) -> Terms:
        return {"scores": self.score(made.detach()).square().mean()}


BATCH = {"content": noise(4, 3, 32, 32), "style": noise(4, 3, 32, 32).flip(3)}


def trained(method: Method, parts: int, steps: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """The weights after some steps, the last losses, and the peak of bytes in tensors."""
    states, losses, peak = player_states(method), dict[str, Tensor](), 0

    def work(runtime: Any, settings: Any) -> None:
        nonlocal losses, peak
        for index in range(steps):
            with PeakBytes() as count:
                losses = step(method, states, BATCH, index, steps, runtime, parts=parts)
            peak = max(peak, count.peak)

    launch(work, validate_settings({"plugin": "by hand", "device": "cpu"}))
    return dict(method.state_dict()), losses, peak


@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_batch_in_parts_makes_the_same_updates_with_less_memory(simultaneous: bool) -> None:
    weights, losses, peak = trained(Painter(simultaneous), 1)
    others, also, less = trained(Painter(simultaneous), 4)
    assert losses.keys() == also.keys() == {"paint/pixels", "judge/scores"}
    # The critic is updated before the painter changes in one case, and after it in the other; neither sees the other's weights.
    assert all(torch.allclose(weights[name], others[name], atol=1e-6) for name in weights)
    assert all(torch.allclose(losses[name], also[name], atol=1e-6) for name in losses)
    assert less < 0.5 * peak


def test_features_that_are_computed_again_make_the_same_updates_with_half_the_memory() -> None:
    plain, frugal = (make("generator", {"name": "resnet", "blocks": 9, "width": 8}) for _ in range(2))
    frugal.load_state_dict(plain.state_dict())
    assert checkpoint_sequences(frugal) == 1
    image, peaks = noise(1, 3, 128, 128), []
    for network in (plain, frugal):
        with PeakBytes() as count:
            network(image).square().mean().backward()
        peaks.append(count.peak)
    for one, other in zip(plain.parameters(), frugal.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or other.grad is None or torch.equal(one.grad, other.grad)
    assert peaks[1] < 0.55 * peaks[0]
    assert plain.state_dict().keys() == frugal.state_dict().keys()


def test_dropped_values_are_dropped_again() -> None:
    network = nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Dropout(0.5)) for _ in range(8)))
    image, grads = noise(1, 3, 16, 16), []
    for _ in range(2):
        torch.manual_seed(1)
        network.zero_grad()
        network(image).sum().backward()
        grads.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
        checkpoint_sequences(nn.ModuleList([network]))
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def test_networks_that_change_when_they_are_computed_are_left_as_they_are() -> None:
    spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 3))
    for layer in (nn.BatchNorm2d(3), spectral):
        assert checkpoint_sequences(nn.ModuleList([nn.Sequential(*(nn.Identity() for _ in range(8)), layer)])) == 0


@pytest.mark.parametrize("settings", [{"accumulate": 2}, {"checkpoint_activations": True}])
def test_runs_use_them(settings: dict[str, Any], tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "preset": "tiny", "data": "scenes", "size": 32, "steps": 2, "batch_size": 2, "workers": 0, "device": "cpu",
    }  # fmt: skip
    one = stylekit.train("perceptual", out=tmp_path / "a", **common)
    other = stylekit.train("perceptual", out=tmp_path / "b", **common, **settings)
    terms = [(run / "metrics.jsonl").read_text().splitlines() for run in (one, other)]
    assert len(terms[0]) == len(terms[1]) == 2


def test_a_batch_must_be_divisible(tmp_path: Path) -> None:
    with raises(StylekitError, 4, 3, "--accumulate"):
        stylekit.train("cyclegan", data="scenes", size=32, batch_size=4, accumulate=3, out=tmp_path / "run")
