"""Measures functions in turns, round by round, so that what slows the machine down slows all of them.

A turn calls its function once unmeasured, as others have used the memory since its last turn, and then repeats it for some
milliseconds. On CUDA the second-level cache is emptied before every repetition.
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
"""Seconds of a turn, at least."""
SECONDS = {"cpu": 1.0, "cuda": 0.5}
"""Seconds of all turns, unless the fewest rounds take longer."""
ROUNDS = (3, 15)
"""The fewest and the most."""


def take_turns(functions: Mapping[str, Callable[[], object]], device: str) -> dict[str, list[float]]:
    """Seconds that one call of each function takes, once for each round. The functions must be warm."""
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
    """Seconds a call."""
    function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def cuda_turn(function: Callable[[], object], repeats: int) -> float:
    """Seconds a call, by the device's clock."""
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
    """More than any device's cache holds."""
    return torch.empty(2**28, dtype=torch.int8, device="cuda")
