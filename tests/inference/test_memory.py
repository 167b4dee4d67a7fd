"""How much memory an image will need: the estimate compared with counts by hand, and with the peak of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylekit.inference.memory import MARGIN, PeakBytes, bytes_per_pixel
from stylekit.native.devices import free_memory
from stylekit.native.memory import _cgroup_headroom, memory_text

FLOAT = 4


def needed_bytes(stylize: Callable[[Tensor], Tensor], height: int, width: int) -> float:
    return bytes_per_pixel(stylize) * height * width


def test_one_convolution_by_hand() -> None:
    conv = nn.Conv2d(3, 16, 3, padding=1)
    # The image of 3 channels and the result of 16 are alive at once.
    assert needed_bytes(conv, 1000, 500) == pytest.approx(MARGIN * FLOAT * (3 + 16) * 1000 * 500, rel=0.001)


def test_freed_tensors_are_not_counted() -> None:
    convs = nn.Sequential(*(nn.Conv2d(8 if number else 3, 8, 1) for number in range(5)))
    # The caller keeps the image; of the layers, two at a time are alive.
    assert needed_bytes(convs, 128, 128) == pytest.approx(MARGIN * FLOAT * (3 + 8 + 8) * 128**2, rel=0.001)


def test_in_place_operations_and_views_cost_nothing() -> None:
    def stylize(image: Tensor) -> Tensor:
        return image.mul_(2).flip(0)[..., ::2].transpose(2, 3).view_as(image.transpose(2, 3)[:, :, ::2]).clamp_(0, 1)

    assert needed_bytes(stylize, 128, 128) == pytest.approx(MARGIN * FLOAT * (3 + 3) * 128**2, rel=0.001)


def test_weights_are_not_counted_and_the_estimate_is_proportional_to_the_size() -> None:
    wide = nn.Conv2d(3, 3, 31, padding=15)
    small = needed_bytes(wide, 256, 256)
    assert small == pytest.approx(MARGIN * FLOAT * 6 * 256**2, rel=0.001)
    assert needed_bytes(wide, 512, 256) == pytest.approx(2 * small)


def test_views_of_earlier_tensors_cost_nothing() -> None:
    weight = torch.zeros(10**5)
    with PeakBytes() as count:
        kept = [weight.detach(), weight.view(10, -1)]
        kept.append(kept[0] + 1)
    assert count.peak == count.alive == FLOAT * 10**5


def test_tensors_made_after_the_block_are_not_counted() -> None:
    kept = []
    with PeakBytes() as count:
        kept.append(torch.zeros(1000))
        torch.zeros(5000)
        kept.append(torch.zeros(500))
    torch.zeros(10**6)
    assert count.peak == FLOAT * 6000
    assert count.alive == FLOAT * 1500
    kept.clear()
    assert count.alive == 0


RELEASED = """
import sys
from pathlib import Path
from stylekit.cli.process import prepare
from stylekit.native.malloc import release_freed_memory
import torch

def resident():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

prepare()
before = resident()
tensor = torch.ones(2**26)
del tensor
kept = resident() - before
release_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory from Linux")
def test_memory_that_the_program_keeps_can_be_released() -> None:
    done = subprocess.run([sys.executable, "-c", RELEASED], capture_output=True, text=True, check=True)
    kept, left = map(float, done.stdout.split())
    assert kept == pytest.approx(256, abs=20)
    assert left < 20


def test_free_memory_is_plausible_for_this_machine() -> None:
    assert 2**26 < free_memory(torch.device("cpu")) < 2**50


V2 = {"proc/self/cgroup": "0::/job/step\n"}
V1 = {"proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/job\n0::/\n"}


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, []),
        (V2, []),
        ({**V2, "job/step/memory.max": "max\n", "job/step/memory.current": "5\n"}, []),
        ({**V2, "job/step/memory.max": "100\n", "job/step/memory.current": "30\n"}, [70]),
        ({**V2, "job/memory.max": "100\n", "job/memory.current": "130\n"}, [0]),
        ({**V2, "memory.max": "100", "memory.current": "60", "memory.stat": "anon 3\ninactive_file 20\n"}, [60]),
        ({**V1, "memory/job/memory.limit_in_bytes": "90", "memory/job/memory.usage_in_bytes": "30"}, [60]),
        ({**V1, "memory/memory.limit_in_bytes": "90", "memory/memory.usage_in_bytes": "30"}, [60]),
    ],
)
def test_memory_limits_of_containers_and_jobs(tmp_path: Path, files: Mapping[str, str], left: list[int]) -> None:
    for name, text in files.items():
        path = tmp_path / ("" if name.startswith("proc") else "sys/fs/cgroup") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(_cgroup_headroom(tmp_path)) == left


def test_the_lowest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylekit.native.memory._cgroup_headroom", lambda: iter([7, 2**61]))
    if Path("/proc/meminfo").exists():
        assert free_memory(torch.device("cpu")) == 7


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from Linux")
def test_the_estimate_is_within_a_factor_of_two_of_a_processs_peak() -> None:
    program = """
import torch
from pathlib import Path
from stylekit import make
from stylekit.inference.memory import bytes_per_pixel

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

network = make("generator", {"name": "resnet", "blocks": 1, "width": 32}).eval()
estimate = bytes_per_pixel(network) * 1024**2
before = peak()
with torch.no_grad():
    network(torch.rand(1, 3, 1024, 1024))
print(estimate / (peak() - before))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 2


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 MiB"), (2**19, "0.5 MiB"), (2**29, "512 MiB"), (2**30 - 1, "1024 MiB"), (3 * 2**29, "1.5 GiB")],
)
def test_sizes_below_a_gibibyte_are_in_mebibytes(size: int, text: str) -> None:
    assert memory_text(size) == text
