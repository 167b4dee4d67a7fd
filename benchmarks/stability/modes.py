"""Modes: a generator of points learns a ring of 8 or a grid of 25 Gaussians; how many of them does it find?

    python benchmarks/stability/modes.py [--seeds 5] [--steps 4000] [--loss relativistic ...] [--penalty r1+r2 ...]

The problem and its measures are those of VEEGAN (Srivastava et al. 2017): of 2,500 samples, the number of modes that have at
least one good sample, and the share of good samples, which lie within three standard deviations of a mode. The players are
small MLPs. Losses and penalties are the parts that any method takes by name. The weights of R1 and R2 fall to a thousandth, as
sharp modes need a discriminator that may change quickly.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.figures import RESULTS
from stylekit import Adversary

LOSSES = ("minimax", "nonsaturating", "lsgan", "hinge", "wasserstein", "relativistic")
PENALTIES: dict[str, tuple[Any, ...]] = {
    "none": (),
    "r1": ({"name": "r1", "gamma": 0.1, "final": 1e-4},),
    "r1+r2": ({"name": "r1", "gamma": 0.1, "final": 1e-4}, {"name": "r2", "gamma": 0.1, "final": 1e-4}),
    "gradient-penalty": ({"name": "gradient-penalty", "weight": 1.0},),
}
SAMPLES = 2500
"""Number of samples that are judged, as in VEEGAN's protocol."""
BATCH, LATENT, WIDTH = 256, 2, 64
RATE = 2e-3


def ring() -> tuple[Tensor, float]:
    """The middles of 8 modes on a circle of radius 2, and their standard deviation."""
    angle = torch.arange(8) * (2 * torch.pi / 8)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1), 0.02


def grid() -> tuple[Tensor, float]:
    """The middles of 25 modes on a grid with steps of 2, and their standard deviation."""
    line = torch.arange(-4.0, 5.0, 2.0)
    return torch.cartesian_prod(line, line), 0.05


PROBLEMS: dict[str, Callable[[], tuple[Tensor, float]]] = {"ring of 8": ring, "grid of 25": grid}


class MLP(nn.Sequential):
    """Linear layers and activations."""

    sample_independent = True  # so that real and generated points are scored in one pass


def mlp(inputs: int, outputs: int) -> MLP:
    layers = [nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2)]
    for _ in range(2):
        layers += [nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2)]
    return MLP(*layers, nn.Linear(WIDTH, outputs))


def found(points: Tensor, middles: Tensor, deviation: float) -> tuple[int, float]:
    """The number of modes that have a good sample, and the share of good samples."""
    distance, nearest = torch.cdist(points, middles).min(1)
    good = distance < 3 * deviation
    return len(nearest[good].unique()), float(good.float().mean())


def train(problem: str, loss: str, penalty: str, seed: int, steps: int) -> dict[str, Any]:
    """Trains once, on one core; returns the modes and the good samples at the end, and the seconds of the core."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    middles, deviation = PROBLEMS[problem]()
    scale = float(middles.std())
    generator = mlp(LATENT, 2)
    adversary = Adversary(partial(mlp, 2, 1), loss, PENALTIES[penalty])
    average = [p.detach().clone() for p in generator.parameters()]
    players = {part: torch.optim.Adam(part.parameters(), RATE, (0.0, 0.99)) for part in (generator, adversary)}
    start = time.process_time()
    for step in range(steps):
        for group in (group for optimizer in players.values() for group in optimizer.param_groups):
            group["lr"] = RATE * min(1.0, 2 * (1 - step / steps) + 0.02)
        for each in adversary.regularizers.values():
            each.progress = step / steps  # type: ignore[assignment]
        real = (middles[torch.randint(len(middles), (BATCH,))] + deviation * torch.randn(BATCH, 2)) / scale
        fake = generator(torch.randn(BATCH, LATENT))
        update(players[adversary], torch.stack(list(adversary.discriminate(real, fake.detach()).values())).sum())
        fake = generator(torch.randn(BATCH, LATENT))
        update(players[generator], adversary.generate(fake, real), list(generator.parameters()))
        torch._foreach_lerp_(
            average, [p.detach() for p in generator.parameters()], 1 - min(0.995, (1 + step) / (10 + step))
        )
    with torch.no_grad():
        for parameter, mean in zip(generator.parameters(), average, strict=True):
            parameter.copy_(mean)
        modes, good = found(scale * generator(torch.randn(SAMPLES, LATENT)), middles, deviation)
    return {"modes": modes, "good": good, "seconds": time.process_time() - start}


def update(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: Sequence[Tensor] | None = None) -> None:
    optimizer.zero_grad()
    loss.backward(inputs=parameters)
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--loss", action="append", choices=LOSSES)
    parser.add_argument("--penalty", action="append", choices=list(PENALTIES))
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="add to benchmarks/results/modes.json, by steps")
    options = parser.parse_args()
    cases = list(
        itertools.product(
            options.problem or PROBLEMS, options.loss or LOSSES, options.penalty or PENALTIES, range(options.seeds)
        )
    )
    with ProcessPoolExecutor(options.processes) as pool:
        results = list(pool.map(train, *zip(*cases, strict=True), itertools.repeat(options.steps)))
    rows: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    for (problem, loss, penalty, _), result in zip(cases, results, strict=True):
        rows.setdefault(problem, {}).setdefault(loss, {}).setdefault(penalty, []).append(result)
    for problem, losses in rows.items():
        for loss, penalties in losses.items():
            for penalty, runs in penalties.items():
                modes, good = ([run[key] for run in runs] for key in ("modes", "good"))
                longest = max(run["seconds"] for run in runs)
                shares = " ".join(f"{share:.2f}" for share in good)
                print(f"{problem:11} {loss:14} {penalty:17} modes {modes} good {shares}  {longest:.0f} s")
    if options.record:
        path = RESULTS / "modes.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        kept = known.setdefault(str(options.steps), {})
        for problem, loss in itertools.product(rows, LOSSES):
            kept.setdefault(problem, {}).setdefault(loss, {}).update(rows[problem].get(loss, {}))
        path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
