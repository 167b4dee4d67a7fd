"""The loss plot of a run."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

POINTS = 400
"""Points a curve: longer logs are averaged in as many stretches."""


def draw_losses(metrics: Sequence[Mapping[str, float]]) -> bytes:
    """A PNG with one panel a turn and one curve a term, smoothed over stretches of steps.

    Args:
        metrics: lines of a run's log; terms are named ``turn/term``
    """
    curves: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for line in metrics:
        for key, value in line.items():
            turn, slash, term = key.partition("/")
            if slash:
                curves[turn][term].append((line["step"], value))
    figure = Figure(figsize=(8, 2.6 * max(1, len(curves))), layout="constrained")
    panels = figure.subplots(max(1, len(curves)), sharex=True, squeeze=False)[:, 0]
    for panel, (turn, terms) in zip(panels, curves.items(), strict=False):
        for term, points in terms.items():
            stretches = np.array_split(np.array(points), min(POINTS, len(points)))
            means = np.array([stretch.mean(axis=0) for stretch in stretches])
            panel.plot(means[:, 0], means[:, 1], label=term, linewidth=1)
        panel.set_title(turn, loc="left", fontsize=10)
        panel.legend(fontsize=8, ncols=3)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()
