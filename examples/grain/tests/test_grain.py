"""Compares the compiled operation with plain PyTorch, and runs stylekit's conformance checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylekit_grain.operation import LIVE, grain, noise, reference

compiled = pytest.mark.skipif(not LIVE, reason="the compiled operation is missing or disabled")


@pytest.mark.stylekit("grain")
def test_it_does_what_the_contract_says(stylekit_check: Callable[[], None]) -> None:
    stylekit_check()


def samples(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    image, strength = torch.rand(2, 3, 37, 50, dtype=dtype), torch.tensor([0.1, -0.5, 1.0], dtype=dtype)
    return image.requires_grad_(), strength.requires_grad_()


@compiled
@pytest.mark.parametrize("seed", [0, 1, -5, 2**40 + 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_compiled_operation_matches_plain_torch(seed: int, layout: torch.memory_format) -> None:
    image, strength = samples()
    image = image.detach().contiguous(memory_format=layout).requires_grad_()
    outs = [operation(image, strength, seed) for operation in (grain, reference)]
    grads = [torch.autograd.grad(out.square().sum(), (image, strength)) for out in outs]
    torch.testing.assert_close(*outs)
    for compiled_grad, plain_grad in zip(*grads, strict=True):
        torch.testing.assert_close(compiled_grad, plain_grad, rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_torch_can_trace_and_differentiate_the_operation(layout: torch.memory_format) -> None:
    image, strength = samples()
    image = image.detach().contiguous(memory_format=layout).requires_grad_()
    torch.library.opcheck(torch.ops.stylekit_grain.grain.default, (image, strength, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_computed_in_plain_torch(dtype: torch.dtype) -> None:
    image, strength = samples(dtype)
    assert grain(image, strength, 0).dtype == dtype
    torch.testing.assert_close(grain(image, strength, 0), reference(image, strength, 0), rtol=0, atol=0)


def test_the_noise_is_uniform_and_uncorrelated() -> None:
    values = noise(torch.empty(1, 3, 500, 700), 0)
    assert abs(float(values.mean())) < 5e-3
    assert abs(float(values.square().mean()) - 1 / 3) < 5e-3
    for down, right in ((0, 1), (1, 0), (1, 1), (2, 3)):
        shifted = values.roll((down, right), (0, 1))
        assert abs(float((values * shifted).mean())) < 5e-3
    assert abs(float((values * noise(torch.empty(1, 3, 500, 700), 1)).mean())) < 5e-3


def test_images_stay_in_range() -> None:
    image, strength = torch.tensor([0.0, 1e-3, 0.5, 1.0]).repeat(1, 3, 100, 25), torch.ones(3)
    grainy = grain(image, strength, 0)
    assert float(grainy.min()) >= 0
    assert float(grainy.max()) <= 1
