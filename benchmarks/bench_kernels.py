"""Compares the kernels with plain PyTorch, with the same under ``torch.compile``, and with a lower bound on the time.

    python -m pytest benchmarks/bench_kernels.py --record cpu
    python -m pytest benchmarks/bench_kernels.py -k adain_forward_relu

The features are those of VGG-19's relu1_1 to relu5_1 for images of 256 x 256 and 512 x 512 pixels, in batches of 1 and 8;
the first three at 256 pixels are also the shapes of the ResNet generator. On a CPU, the largest cases are skipped: relu1_1
(half a gigabyte per tensor) and relu2_1 (a quarter) at 512 pixels and batch 8. The style's features have the content's shape
and different values. The target of a Gram matrix is computed beforehand. Forward is measured without gradients. Forward and
backward uses autograd, with gradients for content and style in AdaIN, and for the features otherwise.

The limit is the time of a perfect kernel. It reads and writes each tensor once, at the rate of cloning the content. For Gram
matrices, it performs the multiplications at the rate of a large product of square matrices; the forward pass needs half of
them, because the result is symmetric. On CUDA, both limits apply to Gram matrices, and the longer time counts. On a CPU, a
clone includes the page faults of its output, like every operation, and for large tensors these take longer than the copy.
AdaIN's two reads and one write count as one and a half clones, so its limit includes half an output too much, and a kernel
may be faster than the limit.

A ratio is the other time divided by the kernel's, as the median over the rounds: above 1, the kernel is faster.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import peers
from benchmarks.turns import take_turns
from stylekit import ops
from stylekit.ops import kernel

pytestmark = pytest.mark.filterwarnings("default")  # the compiler emits warnings

LAYERS = {"relu1_1": (64, 1), "relu2_1": (128, 2), "relu3_1": (256, 4), "relu4_1": (512, 8), "relu5_1": (512, 16)}
"""Channels, and the factor by which each side of the image was divided."""
FIVE = "layers"
"""Stands for all five layers."""
SQUARE = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices whose product measures the rate of multiplications."""
TOLERANCE = {"fp32": 3e-3, "tf32": 1e-2, "bf16": 0.15}
"""Tolerated relative difference of results, in norm: single values differ where rounding changes the sign before a ReLU."""

Function = Callable[..., Tensor]
MATMUL = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Operation:
    """An operation to measure.

    Args:
        ours: function that uses the kernel
        peers: other implementations by name; each is measured in eager mode and compiled
        backward: whether gradients are also computed
        style: function that computes the second argument from the style's features; None if there is no second argument
        clones: minimum memory traffic, in clones of the content
        products: number of full products of a layer's features with their transpose; 0 if there are none
        precisions: precisions to measure on CUDA; on a CPU, only fp32 is measured
    """

    ours: Function
    peers: dict[str, Function]
    backward: bool
    style: Function | None
    clones: float
    products: float = 0
    precisions: tuple[str, ...] = ("fp32", "bf16")


def _relu(x: Tensor) -> Tensor:
    return ops.instance_norm(x, activation="relu")


def _features(style: Tensor) -> Tensor:
    return style


def _target(style: Tensor) -> Tensor:
    return ops.gram_matrix(style).to(style.dtype)


ADAIN: dict[str, Function] = {"eager": peers.adain, "instance_norm": peers.adain_on_instance_norm}
NORM: dict[str, Function] = {"eager": peers.instance_norm_relu, "instance_norm": peers.torch_instance_norm_relu}
LOSS: dict[str, Function] = {"eager": peers.gram_mse}
STYLE_LOSS: dict[str, Function] = {"eager": peers.summed(peers.gram_mse)}

OPERATIONS = {
    "adain_forward": Operation(ops.adain, ADAIN, False, _features, clones=1.5),
    "adain_forward_backward": Operation(ops.adain, ADAIN, True, _features, clones=4.0),
    "instance_norm_relu_forward": Operation(_relu, NORM, False, None, clones=1.0),
    "instance_norm_relu_forward_backward": Operation(_relu, NORM, True, None, clones=2.5),
    "gram_forward": Operation(ops.gram_matrix, {"eager": peers.gram}, False, None, 0.5, 0.5, MATMUL),
    "gram_mse_forward_backward": Operation(ops.gram_mse, LOSS, True, _target, 1.5, 1.5, MATMUL),
    "style_loss_forward_backward": Operation(peers.summed(ops.gram_mse), STYLE_LOSS, True, _target, 1.5, 1.5, MATMUL),
}


@dataclass(frozen=True)
class Case:
    """One operation on the features of one layer, or of all five."""

    device: str
    operation: str
    layer: str
    size: int
    batch: int
    precision: str = "fp32"

    def __str__(self) -> str:
        name = f"{self.operation}_{self.layer}_{self.size}_b{self.batch}"
        return name if self.precision == "fp32" else f"{name}_{self.precision}"

    @property
    def shapes(self) -> list[tuple[int, int, int, int]]:
        layers = LAYERS if self.layer == FIVE else [self.layer]
        sides = [(LAYERS[layer][0], self.size // LAYERS[layer][1]) for layer in layers]
        return [(self.batch, channels, side, side) for channels, side in sides]

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def is_large(self) -> bool:
        """Whether the case is too large for a CPU."""
        return self.size == 512 and self.batch == 8 and self.layer in ("relu1_1", "relu2_1", FIVE)


def cases(device: str) -> list[Case]:
    """All cases for this device."""
    all_cases = [
        Case(device, name, layer, size, batch, precision)
        for name, operation in OPERATIONS.items()
        for size in (256, 512)
        for batch in (1, 8)
        for layer in ([FIVE] if name.startswith("style_loss") else LAYERS)
        for precision in (operation.precisions if device == "cuda" else ("fp32",))
    ]
    return [case for case in all_cases if device == "cuda" or not case.is_large]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(metafunc.config.getoption("--device")), ids=str)


class Problem:
    """The tensors of a case, and the functions to measure on them."""

    def __init__(self, case: Case) -> None:
        self.case, self.operation = case, OPERATIONS[case.operation]
        torch.manual_seed(0)
        self.content = [self._random(*shape) for shape in case.shapes]
        self.style: list[Tensor] = []
        self.gradient: Tensor | None = None
        if self.operation.style is not None:
            self.style = [self.operation.style(self._random(*shape) * 2 + 1) for shape in case.shapes]
        if self.operation.backward:
            self.gradient = torch.rand_like(self.operation.ours(*self.content, *self.style))
            for tensor in self.inputs:
                tensor.requires_grad_(True)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=self.case.dtype, device=self.case.device)

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors with respect to which gradients are computed."""
        return self.content + (self.style if self.operation.style is _features else [])

    def call(self, function: Function) -> Callable[[], tuple[Tensor, ...]]:
        """A call of the function that returns its result, or with ``backward`` its gradients."""

        @torch.no_grad()
        def forward() -> tuple[Tensor, ...]:
            return (function(*self.content, *self.style),)

        def both() -> tuple[Tensor, ...]:
            return torch.autograd.grad(function(*self.content, *self.style), self.inputs, self.gradient)

        return both if self.operation.backward else forward

    def contenders(self) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
        """Our function, and the peers in eager mode and compiled."""
        contenders = {"ours": self.call(self.operation.ours)}
        for name, function in self.operation.peers.items():
            contenders[name] = self.call(function)
            compiled = torch.compile(function, fullgraph=True, dynamic=False)
            contenders["compiled" if name == "eager" else f"{name}_compiled"] = self.call(compiled)
        return contenders

    def limits(self) -> dict[str, tuple[Callable[[], Tensor], float]]:
        """Functions that measure the device's rates, and the factors from their times to those of a perfect kernel."""
        limits: dict[str, tuple[Callable[[], Tensor], float]] = {}
        if self.operation.products:
            side = SQUARE[self.case.device]
            square = self._random(side, side)
            share = sum(n * c * c * h * w for n, c, h, w in self.case.shapes) / side**3
            limits["product"] = (lambda: square @ square), share * self.operation.products
        if not self.operation.products or self.case.device == "cuda":
            joined = self.content[0] if len(self.content) == 1 else torch.cat([x.flatten() for x in self.content])
            limits["clone"] = joined.detach().clone, self.operation.clones
        return limits


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Resets the compiler and the matmul precision after each test."""
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch._dynamo.reset()
    gc.collect()


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], tolerance: float, name: str) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        difference = float((mine.float() - other.float()).norm() / other.float().norm())
        assert difference < tolerance, f"{name} computes a different result: relative difference {difference:.1e}"


def test_kernel(benchmark: Any, record: Any, case: Case) -> None:
    torch.set_float32_matmul_precision("high" if case.precision == "tf32" else "highest")
    problem = Problem(case)
    if not kernel.takes(problem.content[0]):
        pytest.skip(f"the kernels are not available: {kernel.KERNELS.why}")
    contenders, limits = problem.contenders(), problem.limits()
    for name, contender in contenders.items():
        assert_close(contenders["ours"](), contender(), TOLERANCE[case.precision], name)
    times = take_turns({**contenders, **{name: function for name, (function, _) in limits.items()}}, case.device)
    rates = [[factor * seconds for seconds in times.pop(name)] for name, (_, factor) in limits.items()]
    times["limit"] = [max(seconds) for seconds in zip(*rates, strict=True)]

    figures = summarise(times)
    figures["megabytes"] = round(sum(x.numel() * x.element_size() for x in problem.content) / 2**20, 2)
    if len(case.shapes) == 1:
        figures["shape"] = list(case.shapes[0])
    benchmark.extra_info.update(figures)
    record(f"kernel_{case}", figures)
    benchmark.pedantic(synchronized(contenders["ours"], case.device), rounds=len(times["ours"]), warmup_rounds=1)


def summarise(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians in microseconds, and the ratio of each time to ours."""
    figures: dict[str, Any] = {f"{name}_us": round(1e6 * statistics.median(row), 1) for name, row in times.items()}
    for name, row in times.items():
        if name != "ours":
            ratio = statistics.median(other / ours for other, ours in zip(row, times["ours"], strict=True))
            figures[f"{name}_ratio"] = round(ratio, 3)
    return figures


def synchronized(function: Callable[[], object], device: str) -> Callable[[], None]:
    def call() -> None:
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    return call
