"""Stylises thousands of small pictures with Ray, by one worker and by two in turn, and projects what more machines would do.

    python benchmarks/cluster.py [--pictures 2000] [--rounds 2] [--side 128] [--record]

Each worker has one thread. What counts is the ratio of the two within a round, because other programs on the machine slow
both down. Time is from the call to the last output, less the time of a run in which nothing is left to do: that is how long
Ray takes to start and to read the pictures. ``--record`` writes benchmarks/results/cluster.json.

What two processes with one thread each do side by side without Ray is measured, too: no engine can do more than that on cores
that share caches and memory.

The projection is arithmetic, not a measurement: :func:`projected` says from which figures.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.figures import RESULTS
from stylekit import images
from stylekit.cli.batch.ray_data import BATCH
from stylekit_plugins.datasets.scenes import Scenes

CORES, NODES = 16, (1, 10, 100, 1000)
"""Cores of a node, and numbers of nodes, that the projection is for."""
SIDES = (128, 512)
"""Sides of the pictures that the projection is for."""
REQUESTS = {"s3": 3500}
"""Writes per second that S3 states for one prefix (docs.aws.amazon.com, "Optimizing Amazon S3 performance")."""


def projected(figures: dict[str, Any], nodes: int, side: int, cores: int = CORES) -> dict[str, Any]:
    """Pictures an hour, and what limits them.

    The workers make ``cores * nodes / core_seconds`` pictures a second, if none waits for another. The engine hands out at most
    ``BATCH / handing`` pictures a second, where handing is the measured time that it takes for one batch. An object store
    accepts as many writes as it states, and a batch needs one more, for the manifest.

    Args:
        figures: those that were recorded: processor time of a picture in one thread, and seconds of handing out a batch
        nodes: number of machines
        side: of the pictures, in pixels
        cores: cores of each
    """
    limits = {
        "the cores": cores * nodes / figures["core_seconds"][str(side)],
        "the engine, which hands out batches": BATCH / figures["seconds_per_batch"],
        "writes to one prefix of S3": REQUESTS["s3"] * BATCH / (BATCH + 1),
    }
    limit = min(limits, key=lambda name: limits[name])
    return {"pictures_an_hour": round(limits[limit] * 3600), "limit": limit}


def run(folder: Path, out: Path, workers: int) -> tuple[float, int]:
    """Seconds of one call of the program, and the number of pictures that it wrote."""
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "OMP_NUM_THREADS": "1",
        "STYLEKIT_THREADS": "1",
    }
    line = ["stylize", str(folder / "in"), "--style", str(folder / "style.png"), "-o", str(out), "--device", "cpu"]
    line += ["--cluster", "ray", "--workers", str(workers), "--json", "--quiet"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "stylekit", *line], env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, len(json.loads(done.stdout)["written"])


WORK = """
import sys, time
from pathlib import Path
from stylekit.cli.batch.function import Parcel
from stylekit.cli.batch.worker import Task, Worker
from stylekit.cli.recipe import Recipe
from stylekit.cli.style_arguments import read_style_mixes
folder, name = Path(sys.argv[1]), sys.argv[2]
mixes, _ = read_style_mixes([str(folder / 'style.png')])
worker = Worker(Parcel(Recipe((('stylekit-any', None),), device='cpu', mixes=mixes)), 1, str(folder / name), '')
tasks = [Task(str(path), path.name, 0, path.name) for path in sorted((folder / 'in').iterdir())]
def work(first):
    assert all(each.status == 'written' for each in worker(tasks[first : first + 16]))
work(0)
"""
"""What a worker with one thread does, without Ray."""


def start_working(folder: Path, name: str, code: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a process that runs code after ``WORK``."""
    own = {"OMP_NUM_THREADS": "1", "STYLEKIT_THREADS": "1"}
    line = [sys.executable, "-c", WORK + code, str(folder), name, *map(str, arguments)]
    return subprocess.Popen(line, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True)


def printed(process: subprocess.Popen[str]) -> float:
    """The number that a process prints before it ends."""
    out, _ = process.communicate()
    assert process.returncode == 0
    return float(out)


def working(folder: Path, count: int) -> float:
    """Seconds of processor time that a worker with one thread takes for a picture, which other programs hardly change."""
    code = (
        "start = time.process_time()\n"
        "for first in range(16, 16 + int(sys.argv[3]), 16):\n"
        "    work(first)\n"
        "print((time.process_time() - start) / int(sys.argv[3]))\n"
    )
    return printed(start_working(folder, "work", code, count))


def ceiling(folder: Path, rounds: int = 3, seconds: float = 8) -> float:
    """How much two processes do at the same time, relative to one alone: the median of rounds."""
    code = (
        "while time.time() < float(sys.argv[3]): time.sleep(0.01)\n"
        "done = 0\n"
        "while time.time() < float(sys.argv[4]):\n"
        "    work(16)\n"
        "    done += 1\n"
        "print(done)\n"
    )

    def batches(processes: int) -> float:
        begin = time.time() + 20  # until then, all have started
        names = [f"ceiling-{number}" for number in range(processes)]
        return sum(map(printed, [start_working(folder, name, code, begin, begin + seconds) for name in names]))

    return statistics.median(batches(2) / batches(1) for _ in range(rounds))


def draw(folder: Path, pictures: int, side: int) -> None:
    """Writes pictures to stylise, and a style."""
    (folder / "in").mkdir()
    scenes = Scenes(size=side, split="test")
    for number in range(pictures):
        images.write(folder / "in" / f"{number:05}.jpg", scenes[number % 64]["content"])
    images.write(folder / "style.png", scenes[3]["style"])


def handing() -> float:
    """Seconds that Ray Data takes for a batch with which a worker does nothing, with two workers."""
    code = (
        "import time, ray, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from stylekit.cli.batch.ray_data import run\n"
        "from stylekit.cli.batch.worker import Outcome, Task\n"
        "ray.init('local', num_cpus=2, log_to_driver=False, logging_level='ERROR')\n"
        "class Idle:\n"
        "    def __call__(self, tasks):\n"
        "        return [Outcome(task.target, 'written') for task in tasks]\n"
        "def seconds(count):\n"
        "    tasks = [Task('', '', 0, str(number)) for number in range(count)]\n"
        "    start = time.perf_counter()\n"
        "    assert len(list(run(ray, Idle(), tasks, 2, False))) == count\n"
        "    return time.perf_counter() - start\n"
        "seconds(320)\n"
        "print((seconds(16 * 600) - seconds(16 * 100)) / 500)\n"
    )
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **own}, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, options.pictures, options.side)
        for turn in range(options.rounds):
            found: dict[str, float] = {"load": round(os.getloadavg()[0], 1)}
            for workers in (1, 2) if turn % 2 == 0 else (2, 1):
                out = folder / f"out-{turn}-{workers}"
                seconds, written = run(folder, out, workers)
                idle, none = run(folder, out, workers)
                assert (written, none) == (options.pictures, 0)
                found |= {f"seconds_{workers}": round(seconds - idle, 1), f"start_{workers}": round(idle, 1)}
            found["ratio"] = round(found["seconds_1"] / found["seconds_2"], 2)
            rounds.append(found)
            print(found, flush=True)
        most = ceiling(folder)
    core_seconds = {}
    for side in SIDES:
        with tempfile.TemporaryDirectory() as name:
            draw(Path(name), 48, side)
            core_seconds[str(side)] = round(working(Path(name), 32), 4)
    figures = {
        "pictures": options.pictures,
        "side": options.side,
        "cores": os.cpu_count(),
        "rounds": rounds,
        "core_seconds": core_seconds,
        "seconds_per_batch": round(handing(), 4),
        "without_ray": round(most, 2),
        "ratio": round(statistics.median(row["ratio"] for row in rounds), 2),
    }
    print(figures)
    if options.record:
        (RESULTS / "cluster.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
