"""The kernels beside what people write in PyTorch, the same under ``torch.compile``, and the limit, all in turns.

    python -m pytest benchmarks/bench_kernels.py --record cpu
    python -m pytest benchmarks/bench_kernels.py -k adain_forward_relu

The features are those of VGG-19's relu1_1 to relu5_1 for pictures of 256 and 512 pixels, one and eight of them; the
first three at 256 pixels are also the shapes of the ResNet generator. On a CPU the largest, relu1_1 at 512 pixels and
batch 8 (half a gigabyte a tensor), and relu2_1 there (a quarter) are left out. The style's features have the content's
shape and other values; a Gram matrix's target is computed before. Forward is measured without gradients; forward and
backward goes through autograd, to content and style for AdaIN and to the features else.

The limit is what a perfect kernel would take: the tensors read and written once, at the rate of a clone of the content,
or, for Gram matrices, the multiplications at the rate of a large product of square matrices, half of them for the
forward, as the result is symmetric. On CUDA both hold for Gram matrices, and the later counts. On a CPU a clone pays for
the fresh pages of its output, as everyone does, and more than for the copy where it is large: AdaIN's two reads and one
write, taken as one and a half clones, are then charged for half an output too much, and a kernel may be ahead of them.

A ratio is the median over the rounds of the other's time divided by the kernel's: above 1 the kernel is faster.
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

pytestmark = pytest.mark.filterwarnings("default")  # the compiler warns of itself

LAYERS = {"relu1_1": (64, 1), "relu2_1": (128, 2), "relu3_1": (256, 4), "relu4_1": (512, 8), "relu5_1": (512, 16)}
"""Channels, and by how much each side of the picture was divided."""
FIVE = "layers"
"""Stands for all of them."""
SQUARE = {"cpu": 1024, "cuda": 8192}
"""Of the product that tells the rate of multiplications."""
TOLERANCE = {"fp32": 3e-3, "tf32": 1e-2, "bf16": 0.15}
"""How far results may be apart, as a norm: single ones differ where rounding decides what the ReLU lets through."""

Function = Callable[..., Tensor]
MATMUL = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Operation:
    """What is measured.

    Args:
        ours: the kernel's way
        peers: the others'; each is measured as it is and compiled
        backward: whether the gradients are measured too
        style: how the second argument is made from the style's features, if there is one
        clones: of the content's bytes, the fewest that have to be moved
        products: of a layer's features with their transpose, in full ones; 0 if none
        precisions: on CUDA; on a CPU, fp32 alone
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
        """Too large for a CPU."""
        return self.size == 512 and self.batch == 8 and self.layer in ("relu1_1", "relu2_1", FIVE)


def cases(device: str) -> list[Case]:
    """All, for this device."""
    made = [
        Case(device, name, layer, size, batch, precision)
        for name, operation in OPERATIONS.items()
        for size in (256, 512)
        for batch in (1, 8)
        for layer in ([FIVE] if name.startswith("style_loss") else LAYERS)
        for precision in (operation.precisions if device == "cuda" else ("fp32",))
    ]
    return [case for case in made if device == "cuda" or not case.is_large]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(metafunc.config.getoption("--device")), ids=str)


class Problem:
    """The tensors of a case, and the functions on them that are measured."""

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
            for tensor in self.learning:
                tensor.requires_grad_(True)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=self.case.dtype, device=self.case.device)

    @property
    def learning(self) -> list[Tensor]:
        """What gradients are asked for."""
        return self.content + (self.style if self.operation.style is _features else [])

    def call(self, function: Function) -> Callable[[], tuple[Tensor, ...]]:
        """The function on the tensors, to its result or, with the backward, to its gradients."""

        @torch.no_grad()
        def forward() -> tuple[Tensor, ...]:
            return (function(*self.content, *self.style),)

        def both() -> tuple[Tensor, ...]:
            return torch.autograd.grad(function(*self.content, *self.style), self.learning, self.gradient)

        return both if self.operation.backward else forward

    def contenders(self) -> dict[str, Callable[[], tuple[Tensor, ...]]]:
        """Ours, and the peers as they are and compiled."""
        made = {"ours": self.call(self.operation.ours)}
        for name, function in self.operation.peers.items():
            made[name] = self.call(function)
            compiled = torch.compile(function, fullgraph=True, dynamic=False)
            made["compiled" if name == "eager" else f"{name}_compiled"] = self.call(compiled)
        return made

    def limits(self) -> dict[str, tuple[Callable[[], Tensor], float]]:
        """What tells the device's rates, and how many times as long a perfect kernel would take at that rate."""
        made: dict[str, tuple[Callable[[], Tensor], float]] = {}
        if self.operation.products:
            side = SQUARE[self.case.device]
            square = self._random(side, side)
            share = sum(n * c * c * h * w for n, c, h, w in self.case.shapes) / side**3
            made["product"] = (lambda: square @ square), share * self.operation.products
        if not self.operation.products or self.case.device == "cuda":
            joined = self.content[0] if len(self.content) == 1 else torch.cat([x.flatten() for x in self.content])
            made["clone"] = joined.detach().clone, self.operation.clones
        return made


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Leaves nothing compiled and nothing changed behind."""
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch._dynamo.reset()
    gc.collect()


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], tolerance: float, name: str) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        apart = float((mine.float() - other.float()).norm() / other.float().norm())
        assert apart < tolerance, f"{name} computes something else: {apart:.1e} apart"


def test_kernel(benchmark: Any, record: Any, case: Case) -> None:
    torch.set_float32_matmul_precision("high" if case.precision == "tf32" else "highest")
    problem = Problem(case)
    if not kernel.takes(problem.content[0]):
        pytest.skip(f"the kernels are not there: {kernel.KERNELS.why}")
    contenders, limits = problem.contenders(), problem.limits()
    for name, contender in contenders.items():
        assert_close(contenders["ours"](), contender(), TOLERANCE[case.precision], name)
    times = take_turns({**contenders, **{name: function for name, (function, _) in limits.items()}}, case.device)
    rates = [[factor * seconds for seconds in times.pop(name)] for name, (_, factor) in limits.items()]
    times["limit"] = [max(seconds) for seconds in zip(*rates, strict=True)]

    figures = told(times)
    figures["megabytes"] = round(sum(x.numel() * x.element_size() for x in problem.content) / 2**20, 2)
    if len(case.shapes) == 1:
        figures["shape"] = list(case.shapes[0])
    benchmark.extra_info.update(figures)
    record(f"kernel_{case}", figures)
    benchmark.pedantic(synchronized(contenders["ours"], case.device), rounds=len(times["ours"]), warmup_rounds=1)


def told(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians in microseconds, and how many times as long as ours each takes."""
    figures: dict[str, Any] = {f"{name}_us": round(1e6 * statistics.median(took), 1) for name, took in times.items()}
    for name, took in times.items():
        if name != "ours":
            ratio = statistics.median(other / ours for other, ours in zip(took, times["ours"], strict=True))
            figures[f"{name}_ratio"] = round(ratio, 3)
    return figures


def synchronized(function: Callable[[], object], device: str) -> Callable[[], None]:
    def waiting() -> None:
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    return waiting
