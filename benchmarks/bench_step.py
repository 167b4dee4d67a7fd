"""A training step of CycleGAN, compared with a plain implementation in the same run: time, images per second, peak memory.

The losses must be equal. The two are measured alternately, step by step, so that anything that slows the machine down affects
both. The ratio is the median over the pairs.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.plain import PlainCycleGAN
from benchmarks.stepping import PAIRS, compare, seconds, stepper
from stylekit.images import write
from stylekit.inference.memory import PeakBytes
from stylekit.native.devices import computes_bf16
from stylekit.training.loader import batches
from stylekit_plugins.datasets.folders import Folders
from stylekit_plugins.datasets.scenes import Scenes
from stylekit_plugins.methods.cyclegan import CycleGAN

pytestmark = pytest.mark.filterwarnings("default")  # the compiler emits warnings

SHAPES = [(64, 16), (128, 32)]


def build(size: int, width: int) -> tuple[CycleGAN, dict[str, Tensor]]:
    """A CycleGAN with 6 residual blocks and without image pools, and a batch of one."""
    torch.manual_seed(0)
    method = CycleGAN({"name": "resnet", "blocks": 6, "width": width}, {"name": "patch", "width": width}, pool=0)
    test = Scenes(size=size, split="test")[0]
    return method, {key: image.unsqueeze(0) for key, image in test.items()}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(("size", "width"), SHAPES)
def test_step(benchmark: Any, record: Any, size: int, width: int, compiled: bool) -> None:
    method, batch = build(size, width)
    plain = PlainCycleGAN(method)
    ours = stepper(method, batch, compiled)

    def theirs() -> dict[str, Tensor]:
        return plain.step(batch["content"], batch["style"])

    # Warms both up, and checks that the losses are equal. Adam's first steps are signs, which amplify rounding errors.
    for tolerance in (1e-5, 0.05, 0.05):
        expected, losses = theirs(), ours()
        for name, value in expected.items():
            term = f"translate/{name}".replace("fool", "adversarial").replace("translate/judge_", "discriminate/")
            assert float(losses[term]) == pytest.approx(float(value), rel=tolerance), name

    figures = compare(theirs, ours)
    benchmark.pedantic(ours, rounds=PAIRS)
    with PeakBytes() as their_bytes:
        theirs()
    figures |= {
        "images_per_second": round(2e3 / figures["stylekit_ms"], 2),
        "plain_peak_tensor_mb": round(their_bytes.peak / 2**20, 1),
    }
    if not compiled:
        with PeakBytes() as our_bytes:
            ours()
        figures["stylekit_peak_tensor_mb"] = round(our_bytes.peak / 2**20, 1)
    benchmark.extra_info.update(figures)
    record(f"step_{size}_{width}_{'compiled' if compiled else 'eager'}", figures)
    assert figures["times_as_fast"] > 1


@pytest.mark.skipif(not computes_bf16(torch.device("cpu")), reason="this CPU does not compute in bfloat16")
@pytest.mark.parametrize(("size", "width"), SHAPES)
def test_bf16(benchmark: Any, record: Any, size: int, width: int) -> None:
    """A step in bfloat16 and channels_last, compared with one in float32."""
    single, half = (stepper(*build(size, width), precision=precision) for precision in ("32", "bf16"))
    for _ in range(3):
        single(), half()
    pairs = [(seconds(single), seconds(half)) for _ in range(PAIRS)]
    benchmark.pedantic(half, rounds=PAIRS)
    figures = {
        "fp32_ms": round(1e3 * statistics.median(s for s, _ in pairs), 1),
        "bf16_ms": round(1e3 * statistics.median(h for _, h in pairs), 1),
        "times_as_fast": round(statistics.median(s / h for s, h in pairs), 3),
    }
    benchmark.extra_info.update(figures)
    record(f"bf16_{size}_{width}", figures)


@pytest.mark.parametrize("kind", ["scenes", "folders"])
def test_loading_keeps_up_with_training(benchmark: Any, record: Any, tmp_path: Path, kind: str) -> None:
    """One worker must load items faster than the smallest training step uses them."""
    if kind == "folders":
        for side, index in itertools.product(("A", "B"), range(40)):
            (tmp_path / side).mkdir(exist_ok=True)
            write(tmp_path / side / f"{index}.jpg", Scenes(size=256, split="test")[index]["content"])
    dataset = Scenes(size=64) if kind == "scenes" else Folders(data=str(tmp_path), size=64)
    loader = iter(batches(dataset, 1, 0, range(10**6), workers=1))
    for _ in range(10):
        next(loader)
    load = min(seconds(lambda: [next(loader) for _ in range(40)]) / 40 for _ in range(3))
    method, batch = build(64, 16)
    ours = stepper(method, batch, compiled=False)
    ours()
    train = statistics.median(seconds(ours) for _ in range(9))
    benchmark.pedantic(lambda: next(loader), rounds=40)
    figures = {"load_ms": round(1e3 * load, 2), "step_ms": round(1e3 * train, 2), "share": round(load / train, 3)}
    record(f"loading_{kind}_64", figures)
    assert load < train
