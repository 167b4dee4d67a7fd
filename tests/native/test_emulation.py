"""The CUDA kernels against formulas in float64: in an emulator under sanitizers, and on a GPU if there is one.

Run as a program, this file checks the samples on a library's operations: `test_emulation.py LIBRARY NAMESPACE`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.slow

CSRC = Path(__file__).parents[2] / "csrc"
ORDERS = ("forward", "reverse", "shuffled")
FLAGS = [
    *["-std=c++20", "-O1", "-g", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    *["-DSTYLEKIT_EMULATED", "-DTORCH_TARGET_VERSION=0x020a000000000000"],
    *["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"],
    *["-I", str(Path(__file__).parent)],  # emulator.h
]

# ---- The samples ----

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
ROUNDING = {torch.float32: 2.0**-23, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-10}
SMALLEST = {torch.float32: 0.0, torch.bfloat16: 0.0, torch.float16: 2.0**-24}


@dataclass(frozen=True)
class Sample:
    """Feature maps for the kernels, and the options of the operations."""

    shape: tuple[int, int, int, int]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    offset: int = 0
    """Elements before the first one, so that its address is not aligned."""
    mean: float = 0.5
    std: float = 2.0
    modulation: str = "none"
    """`none`, `channel` or `plane`; `scale of` or `shift of` before it leaves the other one out."""
    residual: bool = False
    slope: float = 1.0
    alpha: float = 1.0

    def draw(self, device: str, seed: int, mean: float | None = None, std: float | None = None) -> Tensor:
        """Random maps of this shape, type, layout and offset."""
        mean, std = self.mean if mean is None else mean, self.std if std is None else std
        c, h, w = self.shape[1:]
        generator = torch.Generator().manual_seed(seed)
        values = (torch.randn(self.shape, generator=generator, dtype=torch.float64) * std + mean).to(self.dtype)
        storage = torch.empty(values.numel() + self.offset, dtype=self.dtype, device=device)
        strides = (c * h * w, 1, w * c, c) if self.channels_last else (c * h * w, h * w, w, 1)
        return storage.as_strided(self.shape, strides, self.offset).copy_(values)

    def modulated(self, device: str) -> tuple[Tensor | None, Tensor | None]:
        """Scale and shift."""
        which, _, of = self.modulation.rpartition(" of ")
        if of == "none":
            return None, None
        shape = self.shape[1:2] if of == "channel" else self.shape[:2]
        generator = torch.Generator().manual_seed(7)
        scale, shift = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
        return None if which == "shift" else scale, None if which == "scale" else shift


def check(what: str, got: Tensor, expected: Tensor, relative: float, absolute: float, floor: float = 0.0) -> None:
    """Every element's error is at most ``relative`` times the expected value, ``absolute`` times the largest, and floor."""
    assert got.shape == expected.shape, f"{what} is of shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    if not got.numel():
        return
    expected = expected.detach()
    error = (got.double().cpu() - expected).abs()
    allowed = relative * expected.abs() + absolute * max(expected.abs().max().item(), 1e-30) + floor
    worst = (error / allowed).nan_to_num(torch.inf).max().item()
    assert worst <= 1.0, f"{what} is off by {worst:.3g} times what is allowed (at most {error.max().item():.3g})"


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    mean = x.mean((2, 3))
    return mean, ((x - mean[:, :, None, None]).square().mean((2, 3)) + eps).sqrt()


def check_stats(ops: Any, sample: Sample, device: str, eps: float = 1e-5) -> None:
    x = sample.draw(device, 0)
    exact = x.double().cpu().requires_grad_()
    mean, std = ops.channel_stats(x, eps)
    expected = statistics(exact, eps)
    check("the mean", mean, expected[0], 2e-7, 0.0, 1e-6 * sample.std)
    check("std", std, expected[1], 1e-4, 1e-6)
    grads = [torch.randn(sample.shape[:2], generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    expected_grad = torch.autograd.grad(expected, exact, [g.double() for g in grads])[0]
    grad = ops.channel_stats_backward(*(g.to(device) for g in grads), x, mean, std)
    assert grad.stride() == x.stride()
    check("the gradient of statistics", grad, expected_grad, ROUNDING[sample.dtype], 1e-5, SMALLEST[sample.dtype])


def check_normalize(ops: Any, sample: Sample, device: str, eps: float = 1e-5) -> None:
    x, (scale, shift) = sample.draw(device, 0), sample.modulated(device)
    residual = sample.draw(device, 1, 0.0, 1.0) if sample.residual else None
    y, mean, rstd = ops.normalize(x, scale, shift, residual, eps, sample.alpha, sample.slope)

    planes = sample.shape[:2]
    leaves = [t.double().cpu().requires_grad_() for t in (x, x if residual is None else residual)]
    by = torch.ones(planes, dtype=torch.float64) if scale is None else scale.double().cpu().expand(planes).clone()
    to = torch.zeros(planes, dtype=torch.float64) if shift is None else shift.double().cpu().expand(planes).clone()
    leaves += [by.requires_grad_(), to.requires_grad_()]
    expected_mean, std = statistics(leaves[0], eps)
    xhat = (leaves[0] - expected_mean[:, :, None, None]) / std[:, :, None, None]
    v = sample.alpha * (by[:, :, None, None] * xhat + to[:, :, None, None]) + (1 - sample.alpha) * leaves[0]
    v = v + leaves[1] if residual is not None else v
    expected = torch.where(v > 0, v, sample.slope * v)
    rounding = ROUNDING[sample.dtype]
    assert y.stride() == x.stride()
    check("the mean", mean, expected_mean, 2e-7, 0.0, 1e-6 * sample.std)
    check("rstd", rstd, 1 / std, 1e-4, 1e-6)
    check("y", y, expected, rounding, 1e-5)

    # Where the activation's input is near 0, rounding may change its sign, so the gradient is set to 0 there.
    grad = sample.draw(device, 3, 0.1, 1.0)
    grad.mul_((v.detach().abs() > 1e-3 * max(v.abs().max().item(), 1e-30) if v.numel() else v).to(grad))
    masked = residual is not None and sample.slope != 1
    got = ops.normalize_backward(grad, x, y if masked else None, mean, rstd, scale, shift, sample.alpha, sample.slope)
    wanted = torch.autograd.grad(expected, leaves, grad.double().cpu(), allow_unused=True)
    assert got[0].stride() == x.stride()
    # Terms of the gradient cancel, so the tolerance is relative to the largest term.
    largest = (
        grad.abs().max().item() * (by.abs()[:, :, None, None] / std[:, :, None, None]).max().item() if v.numel() else 0
    )
    size = max(wanted[0].abs().max().item(), 1e-30) if v.numel() else 1.0
    check("grad_x", got[0], wanted[0], rounding, 1e-5 + (rounding / 2 + 1e-6) * largest / size, SMALLEST[sample.dtype])
    if masked:
        check("grad_residual", got[1], wanted[1], rounding, 1e-6)
    else:
        assert got[1].numel() == 0
    pixels = sample.shape[2] * sample.shape[3]
    terms = pixels**0.5 * (1 + xhat.detach().abs().max().item() if v.numel() else 0)
    for what, ours, theirs in zip(("grad_scale", "grad_shift"), got[2:], wanted[2:], strict=True):
        size = max(theirs.abs().max().item(), 1e-30) if v.numel() else 1.0
        check(what, ours, theirs, 1e-5, 1e-5 + 1e-6 * terms / size)


def check_gram(ops: Any, sample: Sample, device: str) -> None:
    x = sample.draw(device, 0)
    rows = x.double().cpu().flatten(2)
    gram, share = ops.gram(x, True), 1 / max(rows[0].numel(), 1) if len(rows) else 1.0
    assert torch.equal(gram, gram.mT)
    # Relative to the sum of absolute products, because the products themselves may cancel. A GPU adds up more of them in
    # float32, and its tensor cores do not round to nearest.
    allowed = 1e-6 if device == "cpu" else 5e-6 if sample.dtype == torch.float32 else 2e-5
    size = (share * rows.abs() @ rows.abs().mT).max().item() if rows.numel() else 1.0
    expected = share * rows @ rows.mT
    check(
        "gram", gram, expected, 0.0, allowed * size / max(expected.abs().max().item(), 1e-30) if rows.numel() else 1.0
    )


def check_repeats(ops: Any, sample: Sample, device: str) -> None:
    """The same input gives bit-identical results twice."""
    x, grad = sample.draw(device, 0), sample.draw(device, 1)

    def results() -> list[Tensor]:
        y, mean, rstd = ops.normalize(x, None, None, None, 1e-5, 1.0, 0.2)
        grads = ops.normalize_backward(grad, x, None, mean, rstd, None, None, 1.0, 0.2)
        return [y, mean, rstd, *grads, ops.gram(x, False)]

    assert all(torch.equal(a, b) for a, b in zip(results(), results(), strict=True))


def check_variance(ops: Any, sample: Sample, device: str) -> None:
    """A variance that is small compared with the mean, or of many large values."""
    x = sample.draw(device, 0)
    exact = x.double().cpu()
    mean, std = ops.channel_stats(x, 0.0)
    check("the mean", mean, exact.mean((2, 3)), 1e-7, 0.0)
    check("the variance", std.square(), exact.var((2, 3), unbiased=False), 1e-3, 0.0)
    y, *_ = ops.normalize(x, None, None, None, 0.0, 1.0, 1.0)
    spread = y.double().std((2, 3), unbiased=False).cpu()
    check("the spread of y", spread, torch.ones_like(spread), 2e-3, 0.0)


def check_nan(ops: Any, sample: Sample, device: str) -> None:
    """A NaN makes the statistics of its plane NaN, and no others."""
    x = sample.draw(device, 0)
    x[0, 0, 0, 0] = torch.nan
    expected = torch.zeros(sample.shape[:2], dtype=torch.bool)
    expected[0, 0] = True
    for statistic in (*ops.channel_stats(x, 1e-5), *ops.normalize(x, None, None, None, 1e-5, 1.0, 0.2)[1:]):
        assert torch.equal(statistic.isnan().cpu(), expected)


Check = Callable[[Any, Sample, str], None]

# Planes that do not fill a pack; some that do; several planes per block; several blocks across the channels.
SHAPES = [
    *[(1, 1, 1, 1), (2, 3, 7, 5), (3, 5, 1, 1), (1, 2, 33, 31), (2, 8, 4, 6), (1, 16, 16, 16), (2, 70, 9, 8)],
    *[(1, 136, 6, 5), (9, 3, 8, 8), (1, 1, 64, 64), (0, 3, 4, 4), (1, 260, 2, 3), (2, 24, 20, 20)],
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"modulation": "channel", "slope": 0.0},
    {"modulation": "plane", "alpha": 0.3},
    {"residual": True, "slope": 0.2},
    {"modulation": "scale of channel", "residual": True},
    {"modulation": "plane", "residual": True, "slope": 0.0, "alpha": 0.6},
    {"modulation": "shift of plane", "slope": 0.2, "alpha": 0.0},
]
# Planes that just do not fit into an emulated block's registers and small shared memory, that just fit, or that are
# held there only because there are enough of them.
LARGE = [
    *[(1, 2, 130, 130), (32, 1, 80, 84), (4, 8, 65, 67), (4, 8, 41, 43), (1, 1, 65, 67), (1, 3, 100, 101)],
    *[(1, 16, 64, 68)],
]
# The same for large GPUs: planes of up to 1 MB and of 2 MB, in one block or several, in many planes or few.
HUGE = [
    (40, 1, 256, 256),
    (2, 32, 300, 300),
    (1, 64, 251, 253),
    (1, 2, 700, 701),
    (1, 34, 512, 512),
    (1, 3, 1024, 1024),
]


def samples(device: str) -> Iterator[tuple[Check, Sample]]:
    """All the checks and their samples."""
    options = itertools.cycle(OPTIONS)
    for shape, dtype, last in itertools.product(SHAPES, DTYPES, (False, True)):
        sample = Sample(shape, dtype, last)
        yield check_normalize, replace(sample, **next(options))
        if shape in SHAPES[:7]:
            yield check_stats, sample
    for option, dtype in itertools.product(OPTIONS, DTYPES):
        yield check_normalize, replace(Sample((2, 8, 12, 8), dtype, **option))
        yield check_normalize, replace(Sample((2, 8, 12, 8), dtype, True, **option))
    for dtype, last, offset in itertools.product(DTYPES, (False, True), (1, 4)):
        sample = Sample((2, 8, 8, 8), dtype, last, offset)
        yield check_normalize, replace(sample, residual=True, slope=0.2)
        yield check_stats, sample
        yield check_gram, sample
    for shape, last in itertools.product(LARGE, (False, True)):
        for dtype in DTYPES if last or shape[0] == 1 else DTYPES[:2]:
            yield check_normalize, replace(Sample(shape, dtype, last), **next(options))
        yield check_stats, Sample(shape, DTYPES[shape[3] % 3], last)
    yield check_normalize, Sample((33, 1, 130, 130), modulation="plane", residual=True, slope=0.2)
    for last in (False, True):
        yield check_repeats, Sample((1, 8, 65, 67), torch.float32, last)
        yield check_nan, Sample((2, 3, 5, 7), torch.bfloat16, last)
        yield check_nan, Sample((1, 2, 65, 67), torch.float32, last)
        yield check_variance, Sample((1, 1, 400, 250), torch.float32, last, mean=1000.0, std=0.01)
        yield check_variance, Sample((2, 3, 64, 64), torch.float32, last, mean=1000.0, std=0.01)
        yield check_variance, Sample((1, 2, 300, 333), torch.float16, last, mean=300.0, std=1.0)
        yield check_gram, Sample((1, 2, 50, 200), torch.float16, last, mean=-300.0, std=1.0)
    for channels, dtype, last in itertools.product((1, 3, 16, 64, 65, 128, 130, 200), DTYPES, (False, True)):
        if channels >= 128 and dtype == (torch.bfloat16 if last else torch.float16):
            continue  # both types run the same code
        yield check_gram, Sample((2 if channels < 64 else 1, channels, 5, 7), dtype, last)
        if channels in (3, 16, 128):
            yield check_gram, Sample((1, channels, 24, 48), dtype, last)
    yield check_gram, Sample((0, 3, 4, 4))
    if device == "cuda":
        for shape, dtype, last in itertools.product(HUGE, DTYPES, (False, True)):
            sample = Sample(shape, dtype, last)
            yield check_normalize, replace(sample, **next(options))
            yield check_stats, sample
            yield check_gram, sample
        yield check_gram, Sample((2, 512, 64, 64), torch.bfloat16)


def run(ops: Any, device: str) -> int:
    """Checks all samples, prints one line for each, and returns how many failed."""
    failed = 0
    for checked, sample in samples(device):
        start = time.perf_counter()
        try:
            checked(ops, sample, device)
            result = "ok"
        except Exception as error:
            result, failed = f"FAILED: {str(error) or repr(error)}", failed + 1
        options = {name: value for name, value in vars(sample).items() if value != getattr(Sample, name, None)}
        text = ", ".join(
            str(value) if name in ("shape", "dtype") else f"{name}={value}" for name, value in options.items()
        )
        print(f"{checked.__name__}({text}): {result} ({time.perf_counter() - start:.2f} s)", flush=True)
    return failed


# ---- The emulation ----


def compiler() -> str:
    path = shutil.which("g++")
    if path is None:
        pytest.skip("there is no g++ to compile the emulation with sanitizers")
    return path


def call(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels and their operations, with the emulator in place of CUDA."""
    cxx, folder, torch_folder = compiler(), tmp_path_factory.mktemp("emulation"), Path(torch.__file__).parent
    sources = [*sorted((CSRC / "cuda").glob("*.cu")), CSRC / "ops.cpp"]
    commands = [
        [
            cxx,
            *FLAGS,
            "-isystem",
            torch_folder / "include",
            "-x",
            "c++",
            "-c",
            source,
            "-o",
            folder / f"{source.stem}.o",
        ]
        for source in sources
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: call(*command), commands))
    linked = folder / "emulated.so"
    objects = [folder / f"{source.stem}.o" for source in sources]
    # No path to torch's libraries is stored: they are already loaded.
    call(cxx, "-shared", *FLAGS, *objects, "-L", torch_folder / "lib", "-ltorch", "-ltorch_cpu", "-o", linked)
    return linked


@pytest.fixture(scope="module")
def runs(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Any, Path]]]:
    """Processes that check the samples at the same time, one for each order of threads, and their outputs."""
    sanitizer = subprocess.run(
        [compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = tmp_path_factory.mktemp("outputs")
    processes: dict[str, tuple[Any, Path]] = {}
    for order in ORDERS:
        environment = {
            **os.environ,
            "LD_PRELOAD": sanitizer,
            "ASAN_OPTIONS": "detect_leaks=0",
            "OMP_NUM_THREADS": "1",
            "STYLEKIT_EMULATOR_ORDER": order,
        }
        output = folder / order
        with output.open("w") as file:
            command = [sys.executable, __file__, str(library), "stylekit_emulated"]
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        processes[order] = process, output
    yield processes
    for process, _ in processes.values():
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
def test_emulated_kernels_match_the_formulas(runs: dict[str, tuple[Any, Path]], order: str) -> None:
    process, output = runs[order]
    code = process.wait()
    text = output.read_text()
    failures = [line for line in text.splitlines() if "FAILED" in line]
    assert code == 0, "\n".join(failures or text.splitlines()[-60:])
    assert text.count(": ok (") > 200


@pytest.mark.cuda
def test_kernels_on_a_device_match_the_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    from stylekit.ops import kernel

    if not kernel.KERNELS.cuda:
        pytest.skip(f"the CUDA kernels are not available: {kernel.KERNELS.why}")
    failed = run(torch.ops.stylekit, "cuda")
    text = capsys.readouterr().out
    assert not failed, "\n".join(line for line in text.splitlines() if "FAILED" in line)


# ---- The emulator itself ----

MISTAKES = """
#include <cstdio>

#include "cuda/device.h"

using namespace stylekit::cuda;

constexpr int COUNT = 64;

// A kernel that reverses its numbers, with one of the mistakes or none.
__global__ void reverse(const std::string& mistake, float* out) {
  STYLEKIT_SHARED(float, numbers, COUNT);
  const unsigned me = threadIdx.x;
  if (mistake == "a thread exits" && me == 40) return;
  if (mistake != "no write" || me != 3) numbers[mistake == "overrun" ? me + 1 : me] = static_cast<float>(me);
  if (mistake == "divergence" && me < 32) __syncthreads();
  else if (mistake != "no barrier") __syncthreads();
  out[me] = numbers[COUNT - 1 - me];
  if (mistake == "a lane exits" && me == 7) return;
  out[me] += warp_sum(0.0f);
}

// Copies 16 bytes per thread, and waits for them if `wait`.
__global__ void copy(bool wait, const float* in, float* out) {
  STYLEKIT_DYNAMIC_SHARED(shared);
  float* mine = reinterpret_cast<float*>(shared) + threadIdx.x * 4;
  copy_async(mine, in + threadIdx.x * 4);
  copy_commit();
  if (wait) copy_wait<0>();
  for (unsigned i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = mine[i];
}

int main(int, char** arguments) {
  const std::string mistake = arguments[1];
  bool correct = true;
  try {
    if (mistake == "no wait" || mistake == "wait") {
      alignas(16) float in[128], out[128];
      for (int i = 0; i < 128; ++i) in[i] = static_cast<float>(i);
      launch(&copy, 1, 32, 512, nullptr, mistake == "wait", in, out);
      for (int i = 0; i < 128; ++i) correct &= out[i] == in[i];
    } else {
      float out[COUNT];
      launch(&reverse, 2, COUNT, 0, nullptr, mistake, out);
      for (int i = 0; i < COUNT; ++i) correct &= out[i] == static_cast<float>(COUNT - 1 - i);
    }
  } catch (const std::runtime_error& error) {
    std::printf("error: %s\\n", error.what());
    return 0;
  }
  std::puts(correct ? "correct" : "wrong");
}
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose kernels make the mistake that its argument names."""
    cxx, folder = compiler(), tmp_path_factory.mktemp("mistakes")
    (folder / "mistakes.cu").write_text(textwrap.dedent(MISTAKES))
    call(cxx, *FLAGS, "-I", CSRC, "-x", "c++", folder / "mistakes.cu", "-o", folder / "mistakes")
    return folder / "mistakes"


def outcomes(program: Path, mistake: str) -> list[str]:
    """The program's output for a mistake, in each order of threads."""
    outputs = []
    for order in ORDERS:
        environment = {**os.environ, "STYLEKIT_EMULATOR_ORDER": order, "ASAN_OPTIONS": "detect_leaks=0"}
        environment.pop("LD_PRELOAD", None)
        done = subprocess.run(
            [program, mistake], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, timeout=60
        )
        outputs.append(done.stdout)
    return outputs


@pytest.mark.parametrize("case", ["none", "wait"])
def test_the_emulator_runs_correct_kernels(mistakes: Path, case: str) -> None:
    assert all(output.endswith("correct\n") for output in outcomes(mistakes, case))


@pytest.mark.parametrize("mistake", ["no barrier", "no write", "no wait"])
def test_the_emulator_detects_missing_barriers_writes_and_waits(mistakes: Path, mistake: str) -> None:
    assert any(output.endswith("wrong\n") for output in outcomes(mistakes, mistake))


@pytest.mark.parametrize(
    ("mistake", "place"),
    [("a thread exits", "exited"), ("a lane exits", "at the shuffle"), ("divergence", "at the barrier")],
)
def test_the_emulator_reports_deadlocks(mistakes: Path, mistake: str, place: str) -> None:
    for output in outcomes(mistakes, mistake):
        assert "error: deadlock" in output
        assert place in output


def test_the_sanitizer_guards_shared_memory(mistakes: Path) -> None:
    for output in outcomes(mistakes, "overrun"):
        assert "AddressSanitizer: heap-buffer-overflow" in output


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.ops.load_library(sys.argv[1])
    sys.exit(min(run(getattr(torch.ops, sys.argv[2]), "cpu"), 1))
