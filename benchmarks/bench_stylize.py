"""Stylising: seconds per image, with and without processing the style, and memory.

``adain`` is compared with a plain implementation with the same weights, which processes the style again for every image, and
computes means and standard deviations with torch. The weights are random, because they do not affect the speed. What is
compared is measured alternately, and a ratio is the median over the rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.process import resident, run
from stylekit import images
from stylekit.inference.memory import PeakBytes
from stylekit.inference.model import Model
from stylekit_plugins.datasets.scenes import render
from stylekit_plugins.datasets.textures import draw
from stylekit_plugins.methods.adain import AdaIN
from stylekit_plugins.methods.any_style import AnyStyle

STYLE = 512
"""Side of the style image."""
ROUNDS = 7


def pictures(size: int) -> tuple[Tensor, Tensor]:
    """A content image and a style image."""
    return render(4, size=size)[None], draw("strokes", min(size, STYLE), 1)[None]


def build(method: Callable[[], nn.Module], name: str) -> Model:
    torch.manual_seed(0)
    return Model(method(), name)  # type: ignore[arg-type]


def adain() -> AdaIN:
    """AdaIN with the variances of the plain implementation, divided by the number of pixels minus one."""
    return AdaIN({"name": "vgg19-normalised", "weights": "random"}, unbiased=True)


class PlainAdaIN:
    """AdaIN as usually implemented: two passes through the encoder, and one through the decoder."""

    def __init__(self, method: AdaIN) -> None:
        self.encoder = nn.Sequential(*method.encoder.children())
        self.decoder = method.decoder

    @staticmethod
    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = x.flatten(2)
        return rows.mean(2)[:, :, None, None], (rows.var(2) + 1e-5).sqrt()[:, :, None, None]

    @torch.no_grad()
    def __call__(self, content: Tensor, style: Tensor) -> Tensor:
        features, style_features = self.encoder(content), self.encoder(style)
        mean, std = self.moments(features)
        style_mean, style_std = self.moments(style_features)
        image: Tensor = self.decoder((features - mean) / std * style_std + style_mean)
        return image.clamp(0, 1)


def rounds(functions: dict[str, Callable[[], object]], count: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each function in each round, after one warm-up call of each function."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(-1, count):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def milliseconds(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 1)


def ratio(slow: list[float], fast: list[float]) -> float:
    return round(statistics.median(s / f for s, f in zip(slow, fast, strict=True)), 3)


def peak_tensors(function: Callable[[], object]) -> float:
    """Peak size in megabytes of the live tensors that the call creates, without those that existed before."""
    with PeakBytes() as count:
        function()
    return round(float(count.peak) / 2**20, 1)


def peak_process(variant: str, size: int) -> float:
    """Megabytes by which stylising raises the memory of a fresh process, including the allocator and libraries."""
    result = subprocess.run([sys.executable, __file__, variant, str(size)], capture_output=True, text=True, check=True)
    return float(result.stdout)


def variants(model: Model, content: Tensor, style: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Stylises one image including its style, or with a style that was processed before."""
    known = model.style(style)
    return {
        "with_style": partial(model.stylize, content, style),
        "style_known": partial(model.stylize, content, known),
    }


@pytest.mark.parametrize("size", [512, 1024])
def test_any_style(benchmark: Any, record: Any, size: int) -> None:
    model = build(AnyStyle, "any-style")
    functions = variants(model, *pictures(size))
    times = rounds(dict(functions))
    benchmark.pedantic(functions["style_known"], rounds=1)
    figures = {
        "with_style_ms": milliseconds(times["with_style"]),
        "style_known_ms": milliseconds(times["style_known"]),
        "with_style_peak_tensor_mb": peak_tensors(functions["with_style"]),
        "parameters": sum(
            p.numel() for part in model.method.inference_modules for p in getattr(model.method, part).parameters()
        ),
    }
    benchmark.extra_info.update(figures)
    record(f"stylize_any-style_{size}", figures)


def test_adain(benchmark: Any, record: Any) -> None:
    model, size = build(adain, "adain"), STYLE
    content, style = pictures(size)
    assert isinstance(model.method, AdaIN)
    plain = partial(PlainAdaIN(model.method), content, style)
    functions: dict[str, Callable[[], Tensor]] = {"plain": plain, **variants(model, content, style)}
    for mine in (functions["with_style"](), functions["style_known"]()):
        torch.testing.assert_close(mine, plain(), rtol=0, atol=1e-6)

    times = rounds(dict(functions))
    benchmark.pedantic(functions["style_known"], rounds=1)
    peaks = {name: peak_tensors(function) for name, function in functions.items()}
    processes = {name: peak_process(name, size) for name in functions} if Path("/proc/self/status").exists() else {}
    figures = {
        **{f"{name}_ms": milliseconds(times[name]) for name in functions},
        "with_style_times_as_fast": ratio(times["plain"], times["with_style"]),
        "style_known_times_as_fast": ratio(times["plain"], times["style_known"]),
        **{f"{name}_peak_tensor_mb": peak for name, peak in peaks.items()},
        **{f"{name}_peak_process_mb": round(peak, 1) for name, peak in processes.items()},
    }
    benchmark.extra_info.update(figures)
    record(f"stylize_adain_{size}", figures)
    assert figures["style_known_times_as_fast"] > 1.4
    assert figures["with_style_times_as_fast"] > 0.95
    assert peaks["with_style"] < peaks["plain"]


@pytest.mark.parametrize(("name", "size", "count"), [("512", 512, 1), ("1024", 1024, 1), ("folder", 320, 100)])
def test_program(benchmark: Any, record: Any, tmp_path: Path, name: str, size: int, count: int) -> None:
    """The whole command, including startup, the import of torch, reading and writing."""
    (tmp_path / "in").mkdir()
    for index in range(count):
        height = size if count == 1 else size * (3 + index % 3) // 4  # different sizes, as in real folders
        images.write(tmp_path / "in" / f"{index}.jpg", images.resize(render(index, size=size)[None], (height, size)))
    images.write(tmp_path / "style.png", draw("strokes", STYLE, 1)[None])
    command = (sys.executable, "-m", "stylekit", "stylize", "in", "--style", "style.png", "-o", "out", "--overwrite")
    runs = [
        benchmark.pedantic(run, (command, tmp_path), rounds=1) if number == 0 else run(command, tmp_path)
        for number in range(3 if count == 1 else 1)
    ]
    assert len(list((tmp_path / "out").iterdir())) == count
    figures = {
        "pictures": count,
        "seconds": round(statistics.median(used.seconds for used in runs), 2),
        "cores_busy": round(statistics.median(used.busy / used.seconds for used in runs), 2),
        "peak_mb": round(statistics.median(used.peak for used in runs) / 2**20, 1),
    }
    record(f"program_{name}", figures)


def main(variant: str, size: str) -> None:
    """Stylises with ``adain`` once in this process, and prints the growth of its memory in megabytes."""
    model = build(adain, "adain")
    content, style = pictures(int(size))
    assert isinstance(model.method, AdaIN)
    plain = partial(PlainAdaIN(model.method), content, style)
    function = plain if variant == "plain" else variants(model, content, style)[variant]
    before = resident("VmRSS")
    function()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
