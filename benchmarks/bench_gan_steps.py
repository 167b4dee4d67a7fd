"""Training steps of CUT, content-gan and pix2pix, compared with plain implementations in the same run, as for CycleGAN in
``bench_step.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.plain_gans import PlainContentGAN, PlainCUT, PlainPix2Pix
from benchmarks.stepping import compare, stepper
from stylekit.native.devices import computes_bf16
from stylekit_plugins.datasets.scenes import Scenes
from stylekit_plugins.methods.content_gan import ContentGAN
from stylekit_plugins.methods.cut import CUT
from stylekit_plugins.methods.pix2pix import Pix2Pix

SIZES = [(64, 16), (128, 32)]
EXACT, HALF = 1e-4, 0.1
"""Tolerances of the first losses in float32, and with features of the encoder in bfloat16."""


def cut(width: int) -> tuple[CUT, PlainCUT]:
    generator = {"name": "resnet", "blocks": 6, "width": width, "antialias": True}
    method = CUT(generator, {"name": "patch", "width": width})
    return method, PlainCUT(method)


def content_gan(width: int) -> tuple[ContentGAN, PlainContentGAN]:
    generator = {"name": "resnet", "blocks": 6, "width": width, "upsample": "resize"}
    method = ContentGAN(generator, {"name": "patch", "width": width}, ema=None)
    method.prepare()
    return method, PlainContentGAN(method)


def pix2pix(width: int) -> tuple[Pix2Pix, PlainPix2Pix]:
    downs = 6 if width == 16 else 7
    method = Pix2Pix({"name": "unet", "downs": downs, "width": width}, {"name": "patch", "width": width})
    return method, PlainPix2Pix(method)


@pytest.mark.parametrize("build", [cut, content_gan, pix2pix], ids=["cut", "content-gan", "pix2pix"])
@pytest.mark.parametrize(("size", "width"), SIZES)
def test_step(benchmark: Any, record: Any, build: Any, size: int, width: int) -> None:
    torch.manual_seed(0)
    method, plain = build(width)
    batch = {key: image.unsqueeze(0) for key, image in Scenes(size=size, split="test")[0].items()}
    ours = stepper(method, batch)

    def theirs() -> dict[str, torch.Tensor]:
        losses: dict[str, torch.Tensor] = plain.step(batch["content"], batch["style"])
        return losses

    half = isinstance(method, ContentGAN) and computes_bf16(torch.device("cpu"))
    torch.manual_seed(1)
    expected = theirs()
    torch.manual_seed(1)
    losses = ours()
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(float(value), rel=HALF if half else EXACT), name
    for _ in range(2):
        theirs(), ours()

    figures = compare(theirs, ours)
    benchmark.pedantic(ours, rounds=5)
    benchmark.extra_info.update(figures)
    record(f"gan_{build.__name__.replace('_', '-')}_{size}_{width}", figures)
    assert figures["times_as_fast"] > 1
