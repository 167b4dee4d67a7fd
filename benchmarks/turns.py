"""Measures functions alternately, round by round, so that anything that slows the machine down affects all of them.

Each turn first calls its function once without measuring, because other functions have used the caches since its last turn,
and then repeats it for some milliseconds. On CUDA, the L2 cache is flushed before every repetition.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

TURN = {"cpu": 0.02, "cuda": 0.005}
"""Minimum seconds per turn."""
SECONDS = {"cpu": 1.0, "cuda": 0.5}
"""Total seconds of all turns, unless the minimum number of rounds takes longer."""
ROUNDS = (3, 15)
"""Minimum and maximum number of rounds."""


def take_turns(functions: Mapping[str, Callable[[], object]], device: str) -> dict[str, list[float]]:
    """Seconds per call of each function, one value per round. The functions must be warmed up."""
    turn = cuda_turn if device == "cuda" else cpu_turn
    once = {name: turn(function, 1) for name, function in functions.items()}
    repeats = {name: min(1000, math.ceil(TURN[device] / seconds)) for name, seconds in once.items()}
    rounds = int(SECONDS[device] / sum(repeats[name] * seconds for name, seconds in once.items()))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(min(max(rounds, ROUNDS[0]), ROUNDS[1])):
        for name in list(functions)[:: -1 if number % 2 else 1]:
            times[name].append(turn(functions[name], repeats[name]))
    return times


def cpu_turn(function: Callable[[], object], repeats: int) -> float:
    """Seconds per call."""
    function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def cuda_turn(function: Callable[[], object], repeats: int) -> float:
    """Seconds per call, measured on the device."""
    calls = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        _flush().zero_()
        start.record()
        function()
        end.record()
        calls.append((start, end))
    torch.cuda.synchronize()
    milliseconds: list[float] = [start.elapsed_time(end) for start, end in calls]
    return statistics.median(milliseconds) / 1e3


@functools.cache
def _flush() -> Tensor:
    """A tensor that is larger than the cache of any device."""
    return torch.empty(2**28, dtype=torch.int8, device="cuda")
