"""One evaluation of the loss of ``gatys`` and its gradient, compared with the usual implementation in the same run; and the
memory of the whole method, compared with another program.

Both implementations use the same VGG-19 with random weights, which are as fast as trained weights. The usual one has a
``bmm`` per Gram matrix, torch's instance norm, and autograd for everything. The two are measured alternately, and the ratio
is the median over the pairs.
"""

from __future__ import annotations

import statistics
import subprocess
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
import stylekit
from benchmarks.process import resident
from benchmarks.rivals import pastiche
from stylekit.errors import StylekitError
from stylekit.inference.memory import PeakBytes
from stylekit.losses import ContentLoss
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.methods.gatys import Gatys

PAIRS = {256: 5, 512: 3}
"""The number of measurements per size."""
STEPS = 40
PROCESSES = (("gatys", 512), ("pastiche", 512), ("gatys", 1024), ("gatys", 2048))
"""Programs, and the longer side of their pictures, whose memory is measured in a process of their own."""
MEMORY_STEPS = 8
"""Evaluations that L-BFGS needs to fill its history and use it."""
GROUPS = {
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::_convolution"),
    "gram": ("stylekit::gram", "aten::bmm"),
    "pooling_and_relu": ("aten::relu", "aten::threshold", "aten::max_pool"),
}
"""Groups of operations, by the prefixes of their names."""


def build(size: int) -> tuple[Gatys, Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The method with the paper's layers, an image, and the targets: the content's features and the style's Gram matrices."""
    arguments = dict(Gatys.presets["paper"])
    arguments["encoder"] = {**arguments["encoder"], "weights": "random"}
    method = Gatys(**{**arguments, "color_weight": 10.0, "total_variation": 3.0})
    content, style = draw("leaves", size, 0)[None], draw("strokes", size, 1)[None]
    with torch.no_grad():
        features = method._features(content)
        shown = method._content_loss(features).target(features)
        grams = {name.removeprefix("level0."): gram for name, gram in method.describe(style).items()}
    return method, content.clone().requires_grad_(True), shown, grams


def bmm_gram(features: Tensor) -> Tensor:
    rows = features.flatten(2)
    return torch.bmm(rows, rows.transpose(1, 2)) / features[0].numel()


def relative_error(gram: Tensor, target: Tensor) -> Tensor:
    error: Tensor = F.mse_loss(gram, target, reduction="sum") / target.square().sum()
    return error


def plain_loss(method: Gatys, image: Tensor, shown: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """The loss of one image, as usually implemented."""
    features = method.encoder(image)
    content = [
        F.mse_loss(F.instance_norm(features[name], eps=ContentLoss().eps), target) for name, target in shown.items()
    ]
    style = [relative_error(bmm_gram(features[name]), grams[name]) for name in method.style_layers]
    colors = relative_error(bmm_gram(torch.cat([image, torch.ones_like(image[:, :1])], 1)), grams["colors"])
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
    """Peak size in megabytes of the live tensors that the call creates."""
    with PeakBytes() as count:
        function()
    return round(float(count.peak) / 2**20, 1)


def shares(function: Callable[[], object]) -> dict[str, float]:
    """The share of the time of each group of operations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    times: dict[str, float] = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(times.values())
    return {
        f"share_{name}": round(sum(time for key, time in times.items() if key.startswith(prefixes)) / total, 3)
        for name, prefixes in GROUPS.items()
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

    # Warms both up, and checks that they compute the same.
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


def test_optimizer(benchmark: Any, record: Any) -> None:
    """The share of L-BFGS in a step: it is measured with a cheap loss, and compared with an evaluation of the real loss."""
    method, image, shown, grams = build(256)

    def optimise() -> None:
        method.descend(image.detach(), lambda x: (x - 0.3).pow(4).flatten(1).sum(1), STEPS)

    optimise()
    benchmark.pedantic(optimise, rounds=3)
    own = statistics.median(seconds(optimise) for _ in range(3)) / STEPS
    total = own + seconds(lambda: method.loss(image, shown, grams).sum().backward())
    figures = {"optimiser_ms": round(1e3 * own, 2), "share_of_a_step": round(own / total, 4)}
    benchmark.extra_info.update(figures)
    record("gatys_optimiser_256", figures)
    assert figures["share_of_a_step"] < 0.1


@pytest.mark.parametrize(("program", "size"), PROCESSES)
def test_memory(benchmark: Any, record: Any, program: str, size: int) -> None:
    command = [sys.executable, __file__, program, str(size)]
    result = benchmark.pedantic(lambda: subprocess.run(command, capture_output=True, text=True), rounds=1)
    if result.returncode:
        pytest.skip(result.stderr.strip().splitlines()[-1])
    megabytes = float(result.stdout)
    record(f"memory_{program}_{size}", {"peak_process_mb": round(megabytes)})
    assert megabytes < 6 * 1024


def main(program: str, size: str) -> None:
    """Stylises a picture of 4 to 3 in this process with the trained VGG-19, and prints the peak memory in megabytes."""
    width = int(size)
    content, style = draw("leaves", width, 0)[None, :, : width * 3 // 4], draw("strokes", min(width, 512), 1)[None]
    if program == "gatys":
        model = stylekit.load("gatys", device="cpu", encoder="vgg19", steps=MEMORY_STEPS, levels=1)
        model.stylize(content, style)
    else:
        pastiche({"strokes": style}, MEMORY_STEPS)(content, "strokes")
    print(resident("VmHWM"))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StylekitError as error:
        sys.exit(str(error))
