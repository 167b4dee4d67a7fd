"""The loss plot of a run."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

POINTS = 400
"""Maximum number of points per curve: longer logs are averaged over this number of intervals."""


def draw_losses(metrics: Sequence[Mapping[str, float]]) -> bytes:
    """Draws a PNG with one panel per turn and one curve per term, smoothed over intervals of steps.

    Args:
        metrics: lines of a run's log; loss terms are named ``turn/term``
    """
    curves: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for line in metrics:
        for key, value in line.items():
            turn, slash, term = key.partition("/")
            if slash:
                curves[turn][term].append((line["step"], value))
    height = 2.6 * max(1, len(curves))
    figure = Figure(figsize=(8, height))
    # Half of the time would be the automatic layout's.
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.5 / height, top=1 - 0.35 / height, hspace=0.25)
    panels = figure.subplots(max(1, len(curves)), sharex=True, squeeze=False)[:, 0]
    for panel, (turn, terms) in zip(panels, curves.items(), strict=False):
        for term, points in terms.items():
            intervals = np.array_split(np.array(points), min(POINTS, len(points)))
            means = np.array([interval.mean(axis=0) for interval in intervals])
            panel.plot(means[:, 0], means[:, 1], label=term, linewidth=1)
        panel.set_title(turn, loc="left", fontsize=10)
        panel.legend(fontsize=8, ncols=3)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()
