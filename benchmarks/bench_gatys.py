"""One evaluation of Gatys's loss and its gradient beside the usual way to write them, in the same run.

Both look through the same VGG-19, of random weights, which are as quick as trained ones. The usual way: a ``bmm`` for each
Gram matrix, torch's own instance norm, autograd over all. The two take turns, and the ratio is the median over the pairs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from stylekit.inference.memory import PeakBytes
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.methods.gatys import EPS, Gatys

PAIRS = {256: 5, 512: 3}
"""How often each size is measured."""
STEPS = 40
GROUPS = {
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::_convolution"),
    "gram": ("stylekit::gram", "aten::bmm"),
    "pooling_and_relu": ("aten::relu", "aten::threshold", "aten::max_pool"),
}
"""Operations by the beginnings of their names."""


def build(size: int) -> tuple[Gatys, Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The paper's layers; a picture, and what it should be like: the content's features, and Gram matrices."""
    arguments = dict(Gatys.presets["paper"])
    arguments["encoder"] = {**arguments["encoder"], "weights": "random"}
    method = Gatys(**{**arguments, "color_weight": 10.0, "total_variation": 3.0})
    content, style = draw("leaves", size, 0)[None], draw("strokes", size, 1)[None]
    with torch.no_grad():
        shown = dict(method._shown(method._features(content)))
        grams = {name.removeprefix("level0."): gram for name, gram in method.describe(style).items()}
    return method, content.clone().requires_grad_(True), shown, grams


def bmm_gram(features: Tensor) -> Tensor:
    rows = features.flatten(2)
    return torch.bmm(rows, rows.transpose(1, 2)) / features[0].numel()


def share(gram: Tensor, wanted: Tensor) -> Tensor:
    error: Tensor = F.mse_loss(gram, wanted, reduction="sum") / wanted.square().sum()
    return error


def plain_loss(method: Gatys, image: Tensor, shown: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """The loss of one picture, as people write it."""
    features = method.encoder(image)
    content = [F.mse_loss(F.instance_norm(features[name], eps=EPS), target) for name, target in shown.items()]
    style = [share(bmm_gram(features[name]), grams[name]) for name in method.style_layers]
    colors = share(bmm_gram(torch.cat([image, torch.ones_like(image[:, :1])], 1)), grams["colors"])
    across, down = image[..., 1:] - image[..., :-1], image[..., 1:, :] - image[..., :-1, :]
    loss: Tensor = (
        method.content_weight * torch.stack(content).mean()
        + method.style_weight * torch.stack(style).mean()
        + method.color_weight * colors
        + method.total_variation * (across.square().mean() + down.square().mean())
    )
    return loss


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak(function: Callable[[], object]) -> float:
    """Megabytes of tensors that are alive at once."""
    with PeakBytes() as count:
        function()
    return round(float(count.peak) / 2**20, 1)


def shares(function: Callable[[], object]) -> dict[str, float]:
    """How much of the time each group of operations takes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    took: dict[str, float] = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    whole = sum(took.values())
    return {
        f"share_{name}": round(sum(t for key, t in took.items() if key.startswith(starts)) / whole, 3)
        for name, starts in GROUPS.items()
    }


@pytest.mark.parametrize("size", PAIRS)
def test_evaluation(benchmark: Any, record: Any, size: int) -> None:
    method, image, shown, grams = build(size)

    def plain() -> tuple[Tensor, Tensor]:
        loss = plain_loss(method, image, shown, grams)
        return loss, torch.autograd.grad(loss, image)[0]

    def ours() -> tuple[Tensor, Tensor]:
        loss = method.loss(image, shown, grams).sum()
        return loss, torch.autograd.grad(loss, image)[0]

    # Warms both up, and shows that they compute the same.
    for mine, expected in zip(ours(), plain(), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-3 * float(expected.detach().abs().max()))

    pairs = [(seconds(plain), seconds(ours)) for _ in range(PAIRS[size])]
    figures = {
        "plain_ms": round(1e3 * statistics.median(t for t, _ in pairs), 1),
        "stylekit_ms": round(1e3 * statistics.median(o for _, o in pairs), 1),
        "times_as_fast": round(statistics.median(t / o for t, o in pairs), 3),
        "plain_peak_tensor_mb": peak(plain),
        "stylekit_peak_tensor_mb": peak(ours),
        **(shares(ours) if size == min(PAIRS) else {}),
    }
    benchmark.extra_info.update(figures)
    benchmark.pedantic(ours, rounds=1)
    record(f"gatys_{size}", figures)
    assert figures["times_as_fast"] > 0.95
    assert figures["stylekit_peak_tensor_mb"] <= figures["plain_peak_tensor_mb"]


def test_optimiser(benchmark: Any, record: Any) -> None:
    """L-BFGS with its history, on a loss that costs next to nothing, beside an evaluation of the true one."""
    method, image, shown, grams = build(256)

    def optimise() -> None:
        method._optimised(image.detach(), lambda x: (x - 0.3).pow(4).flatten(1).sum(1), STEPS, 0)

    optimise()
    benchmark.pedantic(optimise, rounds=3)
    own = statistics.median(seconds(optimise) for _ in range(3)) / STEPS
    whole = own + seconds(lambda: method.loss(image, shown, grams).sum().backward())
    figures = {"optimiser_ms": round(1e3 * own, 2), "share_of_a_step": round(own / whole, 4)}
    benchmark.extra_info.update(figures)
    record("gatys_optimiser_256", figures)
    assert figures["share_of_a_step"] < 0.1
