"""Digits: GANs draw handwritten digits, and a classifier that is trained here counts what they draw.

    python benchmarks/stability/digits.py --digits mnist.npz [--seconds 150] [--seeds 5] [--preset r3gan ...] [--record]

``--digits`` is a file of numpy with images ``x`` ``(N, 28, 28)`` of 0 to 255 and their labels ``y``.

stacked      three random digits are the channels of an image, so there are 1,000 modes. Of 26,000 samples: the number of modes
             found, and the Kullback-Leibler divergence of their distribution from the real one (Srivastava et al. 2017)
single       one digit. The share of each class; all should be a tenth
conditional  one digit of a given class. The share of images that the classifier finds in their class
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).parents[2]))
import stylekit
from benchmarks.figures import RESULTS
from benchmarks.stability import timed
from stylekit import hookimpl

PRESETS = ("dcgan", "wgan-gp", "sngan", "r3gan")
PROBLEMS = ("stacked", "single", "conditional")
SIDE, CLASSES, BATCH = 32, 10, 64
SAMPLES = {"stacked": 26_000, "single": 5_000, "conditional": 5_000}
TESTED = 2_000
"""Digits that test the classifier, and that it is not trained on."""
FILE = "STYLEKIT_DIGITS"
"""The environment variable that tells the data sets, which other processes may open, where the digits are."""


def digits() -> tuple[Tensor, Tensor]:
    """Digits ``(N, 32, 32)`` in [0, 1], and their labels ``(N,)``."""
    with np.load(os.environ[FILE], allow_pickle=False) as file:
        images, labels = torch.from_numpy(file["x"]), torch.from_numpy(file["y"].astype(np.int64))
    return F.pad(images.float() / 255, (2, 2, 2, 2)), labels


class Digits(Dataset[dict[str, Tensor]]):
    """Images of three random digits, or of one: ``{"content": (3, 32, 32), "image": the same, "label": ()}``.

    Args:
        stacked: each channel is another digit; otherwise, all are the same one
        size: not used
        seed: not used, because the engine seeds all random numbers
        split: not used
    """

    def __init__(self, stacked: bool = False, size: int = SIDE, seed: int = 0, split: str = "train") -> None:
        self.images, self.labels = digits()
        self.stacked = stacked

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        others = torch.randint(len(self), (2,)).tolist() if self.stacked else [index, index]
        image = self.images[[index, *others]]
        return {"content": image, "image": image, "label": self.labels[index]}


@hookimpl
def stylekit_datasets() -> dict[str, Callable[..., Dataset[Any]]]:
    return {"digits": Digits}


class Classifier(nn.Sequential):
    """Tells the class of digits ``(N, 32, 32)`` in [0, 1]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 16, CLASSES))

    @torch.no_grad()
    def classes(self, images: Tensor) -> Tensor:
        """The most likely class ``(N,)``."""
        return torch.cat([self(part[:, None]).argmax(1) for part in images.split(1000)])


def train_classifier(epochs: int = 6) -> tuple[Classifier, float]:
    """A classifier, and the share of the digits that it was not trained on whose class it tells."""
    torch.manual_seed(0)
    images, labels = digits()
    order = torch.randperm(len(images))
    test, rest = order[:TESTED], order[TESTED:]
    classifier = Classifier()
    steps = epochs * (len(rest) // BATCH)
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = rest[torch.randint(len(rest), (BATCH,))]
        loss = F.cross_entropy(classifier(images[chosen][:, None]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    classifier.eval()
    return classifier, float((classifier.classes(images[test]) == labels[test]).float().mean())


def divergence(drawn: Tensor, real: Tensor) -> float:
    """The Kullback-Leibler divergence, in nats, of the modes' counts from those of real images, as shares."""
    share, expected = drawn / drawn.sum(), real / real.sum()
    found = share > 0
    return float((share[found] * (share[found] / expected[found]).log()).sum())


def judge(problem: str, images: Tensor, labels: Tensor, classifier: Classifier) -> dict[str, Any]:
    """Measures images ``(N, 3, 32, 32)``; ``labels`` are the classes that were asked for."""
    if problem == "stacked":
        thousands = sum(10**place * classifier.classes(channel) for place, channel in enumerate(images.unbind(1)))
        assert isinstance(thousands, Tensor)
        # A stack of independent digits: the share of a mode is the product of the shares of its digits.
        share = torch.bincount(digits()[1], minlength=CLASSES).double() / len(digits()[1])
        expected = torch.einsum("a,b,c->abc", share, share, share).flatten()
        counts = torch.bincount(thousands, minlength=CLASSES**3).double()
        return {"modes": int((counts > 0).sum()), "divergence": divergence(counts, expected)}
    found = classifier.classes(images.mean(1))
    shares = torch.bincount(found, minlength=CLASSES).double() / len(found)
    figures: dict[str, Any] = {"rarest": float(shares.min()), "commonest": float(shares.max())}
    if problem == "conditional":
        figures["accuracy"] = float((found == labels).float().mean())
    return figures


def judged(
    problem: str, preset: str, seed: int, seconds: float, steps: int | None, classifier: Classifier
) -> dict[str, Any]:
    """Trains for about ``seconds`` or ``steps``, and measures what the finished model draws."""
    classes = {"classes": CLASSES} if problem == "conditional" else {}
    with tempfile.TemporaryDirectory() as folder:
        session = timed.train(
            ["gan", __file__],
            Path(folder),
            seconds,
            BATCH,
            steps=steps,
            preset=preset,
            data={"name": "digits", "stacked": problem == "stacked"},
            set={"side": SIDE, "width": 16, "discriminator.width": 16, "ema": 0.995, **classes},
            size=SIDE,
            seed=seed,
            guard="off",
        )
        method = stylekit.load(Path(folder) / "run", "cpu").method
    torch.manual_seed(seed)
    drawn, asked = [], []
    with torch.no_grad():
        for number in range(SAMPLES[problem] // 500):
            label = {"label": number % CLASSES} if problem == "conditional" else {}
            drawn.append(method.sample_from(method.codes(500), **label))
            asked.append(torch.full((500,), number % CLASSES))
    return {"steps": session["steps"], **judge(problem, torch.cat(drawn), torch.cat(asked), classifier)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", required=True, help="a .npz file with x and y")
    parser.add_argument("--seconds", type=float, default=150.0, help="of one core, for each run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--problem", action="append", choices=PROBLEMS)
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/digits.json")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the recorded runs, and add the seeds that are missing, with as many steps",
    )
    options = parser.parse_args()
    os.environ[FILE] = str(Path(options.digits).resolve())
    classifier, accuracy = train_classifier()
    print(f"classifier: {accuracy:.3f}", flush=True)
    record = RESULTS / "digits.json"
    rows: dict[str, dict[str, list[dict[str, Any]]]]
    rows = json.loads(record.read_text())["problems"] if options.resume else {}
    problems, presets = options.problem or PROBLEMS, options.preset or PRESETS
    for seed, problem, preset in itertools.product(range(options.seeds), problems, presets):
        runs = rows.setdefault(problem, {}).setdefault(preset, [])
        alike = [run for run in runs if run["seconds"] == options.seconds]
        if len(alike) > seed:
            continue
        steps = timed.alike(alike) if options.resume else None
        result = judged(problem, preset, seed, options.seconds, steps, classifier)
        figures = {"seconds": options.seconds, **result}
        runs.append(figures)
        means = {key: round(statistics.mean(run[key] for run in [*alike, figures]), 3) for key in figures}
        print(problem, preset, means, flush=True)
        if options.record:
            report = {"classifier": accuracy, "problems": rows}
            record.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
