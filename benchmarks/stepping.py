"""Training steps of stylekit as functions without arguments, measured alternately with those of another implementation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from stylekit import Method
from stylekit.training.distributed import launch
from stylekit.training.player_state import player_states
from stylekit.training.rehearsal import rehearse
from stylekit.training.settings import validate_settings
from stylekit.training.steps import compile_networks, memory_format, step, to_device

Step = Callable[[], Mapping[str, Tensor]]
PAIRS = 21


def stepper(
    method: Method, batch: dict[str, Tensor], compiled: bool = False, precision: str = "32"
) -> Callable[[], dict[str, Tensor]]:
    """stylekit's training step as a function without arguments, with the code that training uses."""
    steps: list[Callable[[], dict[str, Tensor]]] = []

    def work(runtime: Any, settings: Any) -> None:
        layout = memory_format(settings, runtime.device)
        images = to_device(batch, runtime.device, layout)
        rehearse(method, images)
        method.to(memory_format=layout)  # type: ignore[call-overload]
        players = player_states(method)
        if compiled:
            compile_networks(players)
        steps.append(lambda: step(method, players, images, 0, 10**9, runtime))

    launch(work, validate_settings({"plugin": "cyclegan", "device": "cpu", "precision": precision}))
    return steps[0]


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(theirs: Callable[[], object], ours: Callable[[], object], pairs: int = PAIRS) -> dict[str, float]:
    """The median times of both in milliseconds, and the median of their ratios."""
    times = [(seconds(theirs), seconds(ours)) for _ in range(pairs)]
    return {
        "plain_ms": round(1e3 * statistics.median(t for t, _ in times), 1),
        "stylekit_ms": round(1e3 * statistics.median(o for _, o in times), 1),
        "times_as_fast": round(statistics.median(t / o for t, o in times), 3),
    }
