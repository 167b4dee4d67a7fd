"""The operations against float64 formulas that are written out here, for every path, type, layout and device."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from stylekit import ops
from stylekit.native.kernels import OPS
from stylekit.ops import kernel
from tests.facts import raises

DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.cuda)] if torch.cuda.is_available() else [])]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
# Sizes that do not fill a vector, one pixel, few and many channels, more than one block of rows, more than one chunk.
SHAPES = [(2, 3, 5, 7), (1, 1, 1, 1), (2, 5, 1, 1), (3, 70, 9, 8), (1, 130, 33, 31), (1, 3, 100, 101), (1, 64, 80, 80)]
# There is no kernel for float64.
PATHS = [("kernel", dtype) for dtype in kernel.DTYPES] + [("reference", dtype) for dtype in DTYPES]
# Relative to the largest value: rounding to the type, and a margin for the sums.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 3e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.fixture(params=["kernel", "reference"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "reference":
        monkeypatch.setattr(kernel, "KERNELS", SimpleNamespace(live=False, cuda=False))
    elif not kernel.KERNELS.live:
        pytest.skip(f"the kernels are {kernel.KERNELS.why}")
    return request.param


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, layout: Any = LAYOUTS[0], seed: int = 0) -> Tensor:
    """Values with mean 3 and standard deviation 2, drawn on the CPU, so that every device gets the same."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 3
    return values.to(dtype).contiguous(memory_format=layout)


def error(got: Tensor, expected: Tensor, least: float = 1e-3) -> float:
    """The largest difference, relative to the largest expected value or to ``least`` if that is larger."""
    assert got.shape == expected.shape
    if got.numel() == 0:
        return 0.0
    scale = max(expected.abs().max().item(), least)
    return (got.double().cpu() - expected).abs().max().item() / scale


def stats_by_hand(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    pixels = x.shape[2] * x.shape[3]
    mean = x.sum((2, 3)) / pixels
    return mean, (((x - mean[:, :, None, None]) ** 2).sum((2, 3)) / pixels + eps).sqrt()


def normalize_by_hand(
    x: Tensor, scale: Tensor, shift: Tensor, residual: Tensor, eps: float, alpha: float, slope: float
) -> Tensor:
    mean, std = (s[:, :, None, None] for s in stats_by_hand(x, eps))
    y = alpha * ((x - mean) / std * scale.expand(x.shape[:2])[:, :, None, None])
    y = y + alpha * shift.expand(x.shape[:2])[:, :, None, None] + (1 - alpha) * x + residual
    return torch.where(y > 0, y, slope * y)


def gram_by_hand(x: Tensor) -> Tensor:
    return torch.einsum("nchw,ndhw->ncd", x, x) / x[0].numel()


def backward(output: Tensor, grad: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(output, inputs, grad.to(output), allow_unused=True))


def compare(ours: Callable[..., Tensor], by_hand: Callable[..., Tensor], inputs: list[Tensor], device: str) -> None:
    """The values, their types and layouts, and the gradients of all inputs."""
    dtype, layout = inputs[0].dtype, inputs[0].is_contiguous()
    one_pixel = inputs[0].shape[2:] == (1, 1)  # the gradient is a difference of equal numbers
    given = [t.to(device).requires_grad_() for t in inputs]
    exact = [t.double().requires_grad_() for t in inputs]
    got, expected = ours(*given), by_hand(*exact)
    # torch's own sums over channels-last maps are less accurate than the kernels'.
    tolerance = TOLERANCE[dtype] * (1 if kernel.takes(given[0]) else 30)
    assert error(got, expected) <= tolerance
    if got.ndim == 4:
        assert got.dtype == dtype
        assert got.is_contiguous() == layout
    # Where the activation's input is 0 except for rounding, both masks are correct.
    grad = torch.empty_like(expected).copy_(draw(tuple(expected.shape), seed=9) * (expected.abs() > 0.05))
    for mine, true, tensor in zip(backward(got, grad, given), backward(expected, grad, exact), given, strict=True):
        assert mine.dtype == tensor.dtype
        assert mine.stride() == tensor.stride() or not kernel.takes(tensor)
        assert error(mine, true, 50 if one_pixel else 1e-3) <= 4 * tolerance


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize(("path", "dtype"), PATHS, indirect=["path"], ids=str)
class TestNumbers:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_channel_stats(self, path: str, shape: Any, dtype: Any, layout: Any, device: str) -> None:
        x = draw(shape, dtype, layout)
        for i in (0, 1):
            compare(lambda x, i=i: ops.channel_stats(x, 1e-3)[i], lambda x, i=i: stats_by_hand(x, 1e-3)[i], [x], device)
        assert ops.channel_stats(x.to(device))[0].dtype == (dtype if dtype == torch.float64 else torch.float32)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_instance_norm(self, path: str, shape: Any, dtype: Any, layout: Any, device: str) -> None:
        x, residual = draw(shape, dtype, layout), draw(shape, dtype, layout, seed=1)
        slopes = {"none": 1.0, "relu": 0.0, "leaky_relu": 0.3}
        for per_sample, activation, with_residual in itertools.product([False, True], slopes, [False, True]):
            weights = [draw(shape[:2] if per_sample else shape[1:2], dtype, seed=seed) for seed in (2, 3)]

            def ours(x: Tensor, w: Tensor, b: Tensor, r: Tensor | None = None, act: Any = activation) -> Tensor:
                return ops.instance_norm(x, w, b, 1e-3, act, r, negative_slope=0.3)

            def by_hand(x: Tensor, w: Tensor, b: Tensor, r: Any = 0, act: Any = activation) -> Tensor:
                return normalize_by_hand(x, w, b, r, 1e-3, 1.0, slopes[act])

            compare(ours, by_hand, [x, *weights, *([residual] if with_residual else [])], device)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_adain(self, path: str, shape: Any, dtype: Any, layout: Any, device: str) -> None:
        content = draw(shape, dtype, layout)
        for samples, alpha in ((shape[0], 1.0), (1, 0.3)):
            style = draw((samples, shape[1], 6, 11), dtype, layout, seed=1)

            def by_hand(content: Tensor, style: Tensor, alpha: float = alpha) -> Tensor:
                mean, std = stats_by_hand(style, 1e-3)
                return normalize_by_hand(content, std, mean, torch.zeros(()), 1e-3, alpha, 1.0)

            compare(lambda c, s, a=alpha: ops.adain(c, s, 1e-3, a), by_hand, [content, style], device)
            mean, std = (s.detach() for s in ops.channel_stats(style.to(device), 1e-3))
            known = ops.adain_with(content.to(device), mean, std, 1e-3, alpha)
            assert torch.equal(known, ops.adain(content.to(device), style.to(device), 1e-3, alpha))

    @pytest.mark.parametrize("shape", [*SHAPES, (2, 16, 40, 41), (1, 200, 3, 3)], ids=str)
    def test_gram(self, path: str, shape: Any, dtype: Any, layout: Any, device: str) -> None:
        x = draw(shape, dtype, layout)
        compare(ops.gram_matrix, gram_by_hand, [x], device)
        gram = ops.gram_matrix(x.to(device))
        assert torch.equal(gram, gram.transpose(1, 2)) or path == "reference"
        sums = ops.gram_matrix(x.to(device), normalize=False)
        assert error(sums, gram_by_hand(x.double()) * x[0].numel()) <= (4e-6 if path == "kernel" else 4e-5)
        target = gram_by_hand(draw(shape, seed=5).double())
        for given in (target, target[:1], target[0]):
            wide = given.to(device, torch.float64 if dtype == torch.float64 else torch.float32)
            compare(
                lambda x, t=wide: ops.gram_mse(x, t),
                lambda x, t=given: ((gram_by_hand(x) - t) ** 2).mean(),
                [x],
                device,
            )

    def test_the_gradient_of_gram_in_half_precision_is_computed_in_bands(
        self, path: str, dtype: Any, layout: Any, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stylekit.ops.gram.PIXELS", 70)  # two rows of the image; the last band has one
        compare(ops.gram_matrix, gram_by_hand, [draw((2, 5, 7, 33), dtype, layout)], device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
class TestHardValues:
    def test_a_variance_far_from_zero_does_not_cancel(self, path: str, layout: Any, device: str) -> None:
        noise = torch.randn(1, 8, 300, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        x = (1000 + 0.01 * noise).float().contiguous(memory_format=layout)
        mean, std = ops.channel_stats(x.to(device), 0.0)
        true_mean, true_std = stats_by_hand(x.double(), 0.0)
        assert ((std.cpu() - true_std) / true_std).abs().max() < 1e-3
        assert ((mean.cpu() - true_mean) / true_mean).abs().max() < 1e-6

    def test_a_first_pixel_unlike_the_others_does_not_cancel(self, path: str, layout: Any, device: str) -> None:
        x = torch.full((1, 4, 64, 64), 1000.0)
        x += 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        x[:, :, 0, 0] = 0
        _, std = ops.channel_stats(x.contiguous(memory_format=layout).to(device), 0.0)
        true = stats_by_hand(x.double(), 0.0)[1]
        assert ((std.cpu() - true) / true).abs().max() < 1e-3

    def test_large_half_precision_does_not_overflow_or_lose_digits(self, path: str, layout: Any, device: str) -> None:
        close = 1e-5 if path == "kernel" else 5e-4
        signs = torch.randint(0, 2, (1, 2, 1000, 1000), generator=torch.Generator().manual_seed(0)) * 2 - 1
        x = (300.0 * signs).half().contiguous(memory_format=layout)
        x[:, 0] = 300
        given, exact = x.to(device), x.double()
        assert error(ops.gram_matrix(given), gram_by_hand(exact)) < close
        assert error(ops.gram_matrix(given, normalize=False), gram_by_hand(exact) * 2e6) < close
        assert error(ops.channel_stats(given, 1e-5)[0], stats_by_hand(exact, 1e-5)[0]) < 1e-5
        assert error(ops.channel_stats(given, 1e-5)[1], stats_by_hand(exact, 1e-5)[1]) < 1e-5
        assert torch.isfinite(ops.instance_norm(given)).all()
        loss = ops.gram_mse(given.requires_grad_(), torch.zeros(2, 2, device=device))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(given.grad).all()

    def test_a_constant_plane_becomes_zero(self, path: str, layout: Any, device: str) -> None:
        x = torch.full((1, 3, 100, 100), 33333.3).contiguous(memory_format=layout).to(device)
        assert ops.instance_norm(x).abs().max() < 1e-2

    def test_a_mean_far_above_the_deviation(self, path: str, layout: Any, device: str) -> None:
        x = (100 + 0.1 * draw((1, 5, 50, 50))).contiguous(memory_format=layout)
        mean, std = (s[:, :, None, None] for s in stats_by_hand(x.double(), 1e-5))
        assert ((ops.instance_norm(x.to(device)).cpu() - (x - mean) / std).abs().max()) < 1e-3

    def test_relu_maps_infinite_values_and_gradients_to_zero(self, path: str, layout: Any, device: str) -> None:
        x = draw((1, 2, 4, 4), layout=layout).to(device)
        residual, grad = torch.zeros_like(x), torch.ones_like(x)
        residual[0, 0, 1, 1], grad[0, 0, 1, 1] = -torch.inf, torch.inf
        given = x.clone().requires_grad_()
        y = ops.instance_norm(given, activation="relu", residual=residual)
        assert y[0, 0, 1, 1] == 0
        assert torch.isfinite(torch.autograd.grad(y, given, grad)[0]).all()

    def test_a_nan_stays_in_its_channel(self, path: str, layout: Any, device: str) -> None:
        x = draw((2, 3, 8, 8), layout=layout).to(device)
        x[0, 1, 4, 4] = float("nan")
        y = ops.instance_norm(x, activation="relu")
        assert y[0, 1].isnan().all()
        assert y.isnan().sum() == 64


@pytest.mark.parametrize("device", DEVICES)
class TestShapesInMemory:
    def test_an_empty_batch_gives_an_empty_batch(self, path: str, device: str) -> None:
        x = torch.empty(0, 3, 4, 5, device=device, requires_grad=True)
        assert ops.instance_norm(x).shape == x.shape
        assert ops.adain(x, torch.empty(0, 3, 2, 2, device=device)).shape == x.shape
        assert ops.channel_stats(x)[0].shape == (0, 3)
        assert ops.gram_matrix(x).shape == (0, 3, 3)
        ops.instance_norm(x).sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape

    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x[:, :, ::2, 1:],
            lambda x: x[:, ::2],
            lambda x: x.transpose(2, 3),
            lambda x: x[:, :1].expand(-1, 5, -1, -1),
            lambda x: x.flatten()[1:].reshape(-1)[: 2 * 3 * 5 * 4].view(2, 3, 5, 4),
        ],
        ids=["strided", "channels", "transposed", "expanded", "unaligned"],
    )
    def test_views_give_the_same_as_contiguous_copies(self, path: str, view: Any, device: str) -> None:
        x = view(draw((2, 6, 8, 10)).to(device)).requires_grad_()
        plain = x.detach().contiguous().requires_grad_()
        for op in (
            lambda x: ops.instance_norm(x, activation="relu"),
            ops.gram_matrix,
            lambda x: ops.channel_stats(x)[1],
        ):
            torch.testing.assert_close(op(x), op(plain))
            pair = [torch.autograd.grad(op(t).square().sum(), t)[0] for t in (x, plain)]
            torch.testing.assert_close(*pair, atol=1e-4, rtol=1e-4)

    def test_a_gradient_may_have_another_layout(self, path: str, device: str) -> None:
        x = draw((2, 70, 6, 5)).to(device).requires_grad_()
        grad = draw((2, 70, 6, 5), seed=1).to(device)
        plain = torch.autograd.grad(ops.instance_norm(x, activation="relu"), x, grad)[0]
        for odd in (grad.contiguous(memory_format=torch.channels_last), grad.transpose(2, 3).clone().transpose(2, 3)):
            assert torch.equal(plain, torch.autograd.grad(ops.instance_norm(x, activation="relu"), x, odd)[0])


def everything(x: Tensor) -> list[Tensor]:
    style = x.flip(0) * 2 + 1
    return [
        *ops.channel_stats(x),
        ops.adain(x, style, alpha=0.7),
        ops.instance_norm(x, activation="leaky_relu", residual=x),
        ops.gram_matrix(x),
        ops.gram_mse(x, ops.gram_matrix(style).detach()),
    ]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
def test_results_are_bit_identical_for_any_number_of_threads(path: str, layout: Any, device: str) -> None:
    x = draw((3, 40, 120, 121), layout=layout).to(device)
    threads = torch.get_num_threads()
    try:
        runs = []
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            given = x.clone(memory_format=torch.preserve_format).requires_grad_()
            runs.append([*everything(given), *torch.autograd.grad(sum(y.sum() for y in everything(given)), given)])
    finally:
        torch.set_num_threads(threads)
    if path == "kernel":
        assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(runs[1], runs[2], strict=True))


SECOND = {
    "stats": lambda x, w, b, r: torch.stack(ops.channel_stats(x)),
    "adain": lambda x, w, b, r: ops.adain(x, r, alpha=0.6),
    "norm": lambda x, w, b, r: ops.instance_norm(x, w, b),
    "norm_relu": lambda x, w, b, r: ops.instance_norm(x, w, b, activation="relu"),
    "norm_residual": lambda x, w, b, r: ops.instance_norm(x, w, b, activation="leaky_relu", residual=r),
    "gram": lambda x, w, b, r: ops.gram_matrix(x),
    "gram_mse": lambda x, w, b, r: ops.gram_mse(x, ops.gram_matrix(r)),
}


class TestSecondDerivatives:
    @pytest.mark.parametrize("name", SECOND)
    def test_gradcheck(self, name: str) -> None:
        inputs = [
            draw(s, torch.float64, seed=i).requires_grad_()
            for i, s in enumerate([(2, 3, 3, 2), (3,), (3,), (2, 3, 3, 2)])
        ]
        assert torch.autograd.gradcheck(SECOND[name], inputs)
        assert torch.autograd.gradgradcheck(SECOND[name], inputs)

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
    @pytest.mark.parametrize("name", SECOND)
    def test_a_gradient_penalty_in_float32_equals_float64(self, path: str, name: str, layout: Any, device: str) -> None:
        def penalty(dtype: torch.dtype) -> list[Tensor]:
            shapes = [(2, 3, 7, 5), (3,), (3,), (2, 3, 7, 5)]
            inputs = [draw(s, dtype, layout if len(s) == 4 else LAYOUTS[0], seed=i) for i, s in enumerate(shapes)]
            given = [t.to(device).requires_grad_() for t in inputs]
            output = SECOND[name](*given)
            weights = draw(tuple(output.shape), seed=8).to(output)
            (slope,) = torch.autograd.grad(output, given[0], weights, create_graph=True)
            return list(torch.autograd.grad(slope.square().sum(), given, allow_unused=True, materialize_grads=True))

        for mine, true in zip(penalty(torch.float32), penalty(torch.float64), strict=True):
            assert error(mine, true.cpu()) < 1e-4


def known_statistics(x: Tensor) -> Tensor:
    mean, std = ops.channel_stats(x.tanh())
    return ops.adain_with(x, mean, std)


def one_weight_for_both(x: Tensor) -> Tensor:
    weight = x.mean((0, 2, 3))
    return ops.instance_norm(x, weight, weight)


DEPENDENT = {
    "one for both": lambda x: ops.adain(x, x),
    "style from content": lambda x: ops.adain(x, x.tanh()),
    "content from style": lambda x: ops.adain(x.tanh(), x),
    "known statistics": lambda x: known_statistics(x),
    "weight from x": lambda x: ops.instance_norm(x, x.mean((2, 3)), activation="leaky_relu"),
    "one weight for both": lambda x: one_weight_for_both(x),
    "residual is x": lambda x: ops.instance_norm(x, activation="relu", residual=x),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_inputs_that_depend_on_each_other(path: str, name: str) -> None:
    def derivatives(dtype: torch.dtype, create_graph: bool) -> list[Tensor]:
        x = draw((2, 3, 5, 5), dtype).requires_grad_()
        (slope,) = torch.autograd.grad((DEPENDENT[name](x) ** 3).sum(), x, create_graph=create_graph)
        return [slope, *torch.autograd.grad((slope**2).sum(), x)] if create_graph else [slope]

    exact = derivatives(torch.float64, True)
    assert error(derivatives(torch.float32, False)[0], exact[0].detach()) < 1e-4
    for mine, true in zip(derivatives(torch.float32, True), exact, strict=True):
        assert error(mine.detach(), true.detach()) < 1e-4


def test_only_the_residual_requires_a_gradient(path: str) -> None:
    x, residual = draw((1, 2, 4, 4)), draw((1, 2, 4, 4), seed=1).requires_grad_()
    y = ops.instance_norm(x, activation="relu", residual=residual)
    (grad,) = torch.autograd.grad(y.sum(), residual, create_graph=True)
    assert torch.equal(grad, (y > 0).float())


def test_an_empty_batch_gives_its_style_a_zero_gradient(path: str) -> None:
    style = draw((1, 64, 4, 4)).requires_grad_()
    (grad,) = torch.autograd.grad(ops.adain(torch.empty(0, 64, 4, 4), style).sum(), style)
    assert not grad.any()


def test_the_kernels_reject_what_would_read_past_a_tensor() -> None:
    if not kernel.KERNELS.live:
        pytest.skip(f"the kernels are {kernel.KERNELS.why}")
    x, normalize = draw((2, 64, 3, 3)), torch.ops.stylekit.normalize
    for scale, shift, residual, name in (
        (torch.ones(2, 64), torch.zeros(64), None, "scale or shift"),
        (torch.ones(3), None, None, "scale or shift"),
        (None, None, x[:1], "residual"),
        (None, None, x.half(), "residual"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=name):
            normalize(x, scale, shift, residual, 1e-5, 1.0, 1.0)


@pytest.mark.parametrize("device", DEVICES)
class TestWithTorch:
    @pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # in torch itself
    @pytest.mark.parametrize(
        "op",
        [
            lambda x: ops.instance_norm(x, activation="relu"),
            lambda x: ops.adain(x, x.exp()),
            lambda x: ops.gram_matrix(x),
            lambda x: torch.stack(ops.channel_stats(x)),
        ],
    )
    def test_forward_mode_and_function_transforms(self, path: str, op: Any, device: str) -> None:
        x, along = draw((2, 3, 4, 5)).to(device), draw((2, 3, 4, 5), seed=1).to(device)
        tangent = torch.func.jvp(op, (x,), (along,))[1]
        expected = torch.func.jvp(op, (x.double(),), (along.double(),))[1]
        assert error(tangent, expected.cpu()) < 1e-4
        grad = torch.func.grad(lambda x: op(x).square().sum())(x)
        given = x.clone().requires_grad_()
        assert error(grad, torch.autograd.grad(op(given).square().sum(), given)[0].double().cpu()) < 1e-4

    def test_one_dynamic_graph_covers_all_sizes(self, path: str, device: str) -> None:
        torch._dynamo.reset()
        counter = CompileCounter()
        compiled = torch.compile(lambda x: everything(x)[:5], backend=counter, dynamic=True, fullgraph=True)
        for side in (5, 6, 7, 9):
            compiled(draw((2, 3, side, side + 3)).to(device))
        assert counter.frame_count == 1

    def test_meta_tensors(self, path: str, device: str) -> None:
        assert ops.instance_norm(torch.empty(2, 3, 4, 5, device="meta")).shape == (2, 3, 4, 5)
        assert ops.gram_matrix(torch.empty(2, 3, 4, 5, device="meta")).shape == (2, 3, 3)

    @pytest.mark.slow
    def test_compiles_as_one_graph(self, path: str, device: str) -> None:
        torch._dynamo.reset()
        x = draw((2, 5, 6, 7)).to(device)

        def loss(x: Tensor) -> Tensor:
            return torch.stack([y.square().mean() for y in everything(x)]).sum()

        ours, compiled = x.clone().requires_grad_(), x.clone().requires_grad_()
        loss(ours).backward()
        # fullgraph is checked by dynamo, so inductor need not compile it.
        torch.compile(loss, fullgraph=True, backend="aot_eager")(compiled).backward()
        torch.testing.assert_close(ours.grad, compiled.grad)

    @pytest.mark.slow
    @pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels_last"])
    @pytest.mark.parametrize("dtype", kernel.DTYPES, ids=str)
    def test_opcheck(self, dtype: Any, layout: Any, device: str) -> None:
        if not kernel.KERNELS.live:
            pytest.skip(f"the kernels are {kernel.KERNELS.why}")
        x = draw((2, 3, 5, 4), dtype, layout).to(device)
        mean, std = torch.ops.stylekit.channel_stats(x, 1e-5)
        weights = [draw((3,), seed=i).to(device).requires_grad_() for i in (1, 2)]
        odd = draw((2, 3, 5, 8), dtype).to(device)[..., ::2]
        samples = {
            "channel_stats": [(x.clone().requires_grad_(), 1e-5), (odd, 1e-5)],
            "channel_stats_backward": [(mean, std, x, mean, std), (mean, std, odd, mean, std)],
            "normalize": [
                (x.clone().requires_grad_(), None, None, None, 1e-5, 1.0, 1.0),
                (x.clone().requires_grad_(), *weights, x.clone().requires_grad_(), 1e-5, 1.0, 0.2),
                (odd, std, mean, None, 1e-5, 0.5, 1.0),
            ],
            "normalize_backward": [
                (x, x, x, mean, std, weights[0].detach(), weights[1].detach(), 1.0, 0.2),
                (x, x, None, mean, std, None, None, 1.0, 1.0),
            ],
            "gram": [(x.clone().requires_grad_(), True), (odd, False)],
            "adain": [(x.clone().requires_grad_(), x[:1].clone().requires_grad_(), 1e-5, 0.5), (odd, x, 1e-5, 1.0)],
        }
        assert set(samples) == set(OPS)
        for name, cases in samples.items():
            for case in cases:
                torch.library.opcheck(getattr(torch.ops.stylekit, name).default, case)

    def test_autocast_keeps_the_type_as_for_torch_norms(self, path: str, device: str) -> None:
        x = draw((2, 4, 6, 6), torch.bfloat16).to(device)
        with torch.autocast(device, torch.bfloat16):
            assert ops.instance_norm(x).dtype == F.instance_norm(x).dtype == torch.bfloat16
            assert ops.instance_norm(x, torch.ones(4, device=device)).dtype == torch.bfloat16
            assert ops.instance_norm(x, residual=x.float()).dtype == (x + x.float()).dtype == torch.float32
            assert ops.adain(x, x.float()).dtype == torch.float32
            assert ops.gram_matrix(x.float()).dtype == torch.float32
            exact = gram_by_hand(x.double().cpu())
            assert error(ops.gram_matrix(x.float()), exact) < 1e-5

    def test_vmap(self, path: str, device: str) -> None:
        x = draw((3, 2, 4, 5, 6)).to(device)
        for op in (
            lambda x: ops.instance_norm(x, activation="relu"),
            ops.gram_matrix,
            lambda x: ops.channel_stats(x)[1],
        ):
            each = torch.stack([op(sample) for sample in x])
            torch.testing.assert_close(torch.vmap(op)(x), each)


@pytest.mark.parametrize(
    ("call", "kind", "facts"),
    [
        (lambda x: ops.channel_stats([1.0]), TypeError, ["x", "list"]),
        (lambda x: ops.channel_stats(x.long()), TypeError, ["x", "torch.int64"]),
        (lambda x: ops.instance_norm(x[0]), ValueError, ["x", "(N, C, H, W)", "(3, 4, 5)"]),
        (lambda x: ops.instance_norm(x[:, :, :0]), ValueError, ["x", "(2, 3, 0, 5)"]),
        (lambda x: ops.instance_norm(x, weight=torch.ones(4)), ValueError, ["weight", "(4,)", "(3,)", "(2, 3)"]),
        (lambda x: ops.instance_norm(x, bias=torch.ones(3).double()), TypeError, ["bias", "torch.float64"]),
        (lambda x: ops.instance_norm(x, torch.ones(3), torch.ones(2, 3)), ValueError, ["bias", "(3,)", "(2, 3)"]),
        (lambda x: ops.instance_norm(x, activation="gelu"), ValueError, ["activation", "'gelu'", "relu", "leaky_relu"]),
        (lambda x: ops.instance_norm(x, residual=x[:1]), ValueError, ["residual", "(1, 3, 4, 5)", "(2, 3, 4, 5)"]),
        (lambda x: ops.instance_norm(x, residual=x.half()), TypeError, ["residual", "torch.float16", "torch.float32"]),
        (lambda x: ops.instance_norm(x, residual=x.to("meta")), ValueError, ["residual", "meta", "cpu"]),
        (lambda x: ops.instance_norm(x, negative_slope=-1.0), ValueError, ["negative_slope", "-1.0", 0]),
        (lambda x: ops.adain_with(x, None, torch.ones(3)), TypeError, ["mean", "NoneType"]),
        (lambda x: ops.adain_with(x, torch.ones(3), None), TypeError, ["std", "NoneType"]),
        (lambda x: ops.adain(x, x[:, :2]), ValueError, ["style", "(2, 2, 4, 5)", "content", "3 channels"]),
        (lambda x: ops.adain(x, x.double()), TypeError, ["style", "torch.float64", "content", "torch.float32"]),
        (lambda x: ops.adain(x, x.to("meta")), ValueError, ["style", "meta", "content", "cpu"]),
        (lambda x: ops.adain_with(x, torch.ones(2), torch.ones(2)), ValueError, ["mean", "(2,)", "(3,)"]),
        (lambda x: ops.adain_with(x, torch.ones(3), torch.ones(2, 3)), ValueError, ["std", "(2, 3)", "(3,)"]),
        (lambda x: ops.gram_matrix(x[0, 0]), ValueError, ["features", "(N, C, H, W)", "(4, 5)"]),
        (lambda x: ops.gram_mse(x, torch.ones(4, 4)), ValueError, ["target_gram", "(4, 4)", "(3, 3)"]),
        (lambda x: ops.gram_mse(x, 1.0), TypeError, ["target_gram", "float"]),
    ],
)
def test_errors_name_the_wrong_argument(path: str, call: Any, kind: type[Exception], facts: list[object]) -> None:
    with raises(kind, *facts):
        call(torch.rand(2, 3, 4, 5))


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_the_other_instruction_sets_pass_the_same_tests(isa: str) -> None:
    if not kernel.KERNELS.live or os.environ.get("STYLEKIT_ISA"):
        pytest.skip(f"the kernels are {kernel.KERNELS.why}")
    selection = ["-k", "TestNumbers and kernel or TestHardValues and kernel", "-q", "-p", "no:cacheprovider"]
    child = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *selection],
        env={**os.environ, "STYLEKIT_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stdout
    assert " passed" in child.stdout


class Statistics(torch.nn.Module):
    """What exported models consist of."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return ops.gram_matrix(x), ops.instance_norm(x), *ops.channel_stats(x)


def test_an_exported_graph_is_for_all_sizes_and_needs_no_kernels() -> None:
    sizes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Statistics(), (torch.rand(2, 4, 9, 12),), dynamic_shapes=(sizes,))
    assert not [node for node in program.graph.nodes if "stylekit" in str(node.target)]
    for shape in ((2, 4, 9, 12), (1, 4, 150, 160), (3, 4, 1, 2)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        for ours, theirs in zip(program.module()(x), Statistics()(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
