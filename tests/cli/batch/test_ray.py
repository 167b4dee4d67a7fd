"""Batches on a cluster of two nodes: every output exactly once, as on one machine, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.cli.batch.manifest import FOLDER, digest
from tests.cli.conftest import _paint

if TYPE_CHECKING:
    from tests.cli.batch.conftest import Nodes

pytestmark = pytest.mark.slow
COUNT = 240
LIMIT = 180
"""Seconds after which a test has failed."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred small pictures in two folders, a file that is none, and a style."""
    folder = tmp_path_factory.mktemp("batch")
    for number in range(COUNT):
        _paint(folder / "in" / str(number % 2) / f"{number}.png", 40 + number % 7, 48, seed=number)
    (folder / "in" / "bad.png").write_bytes(b"no picture")
    _paint(folder / "style.png", seed=1000)
    return folder


def line(folder: Path, source: str, out: str, *more: str) -> list[str]:
    given = ["stylize", source, "--style", str(folder / "style.png"), "--device", "cpu", "--quiet", "-o", out]
    return [sys.executable, "-m", "stylekit", *given, *more]


@pytest.fixture(scope="module")
def expected(photos: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """What one machine makes of the pictures."""
    done = subprocess.run(line(photos, str(photos / "in"), str(photos / "one")), env=environment, capture_output=True)
    assert done.returncode == 1, done.stderr
    made = {path.relative_to(photos / "one").as_posix(): path.read_bytes() for path in (photos / "one").rglob("*.png")}
    assert len(made) == COUNT
    return made


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file of an output folder but the manifest, which is checked: each output once, by its digest."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    manifest = {name: found.pop(name) for name in [*found] if name.startswith(FOLDER)}
    assert sorted(manifest) == [f"{FOLDER}/records.jsonl", f"{FOLDER}/settings.json"]
    records = [json.loads(row) for row in manifest[f"{FOLDER}/records.jsonl"].splitlines()]
    assert [row["target"] for row in records] == sorted(found)
    assert {row["target"]: row["output"] for row in records} == {
        name: digest(content) for name, content in found.items()
    }
    return found


def written(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("[0-9]*.png"))


def waiting_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Comes back again and again, until there are so many outputs."""
    deadline = time.monotonic() + LIMIT
    while written(folder) < count and process.poll() is None:
        assert time.monotonic() < deadline
        yield
        time.sleep(0.02)


def test_killed_workers_lose_nothing_and_double_nothing(nodes: Nodes, photos: Path, expected: dict[str, bytes]) -> None:
    out, dice, killed = photos / "killed", random.Random(0), []
    command = line(photos, str(photos / "in"), str(out), "--cluster", "ray", "--json")
    with subprocess.Popen(command, env=nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for goal in (1, 50, 100, 150):
            for _ in waiting_for(out, goal, process):
                pass
            if workers := nodes.workers():
                killed.append(dice.choice(workers))
                os.kill(killed[-1], signal.SIGKILL)
        told, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, errors  # one file is no picture
    assert len(killed) >= 3
    assert outputs(out) == expected
    report = json.loads(told)
    assert len(report["written"]) == COUNT
    assert [Path(row["source"]).name for row in report["failed"]] == ["bad.png"]


@pytest.mark.long
def test_after_the_driver_was_killed_another_does_only_what_is_missing(
    nodes: Nodes, photos: Path, expected: dict[str, bytes]
) -> None:
    out = photos / "again"
    command = line(photos, str(photos / "in"), str(out), "--cluster", "ray", "--json")
    with subprocess.Popen(
        command, env=nodes.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        for _ in waiting_for(out, 60, process):
            pass
        process.kill()
    before = written(out)
    assert 60 <= before < COUNT
    done = subprocess.run(command, env=nodes.environment, capture_output=True, timeout=LIMIT)
    report = json.loads(done.stdout)
    assert len(report["skipped"]) + len(report["written"]) == COUNT
    assert len(report["skipped"]) >= 30
    assert outputs(out) == expected
    third = json.loads(subprocess.run(command, env=nodes.environment, capture_output=True, timeout=LIMIT).stdout)
    assert (len(third["written"]), len(third["skipped"])) == (0, COUNT)

    (out / "0" / "0.png").unlink()
    fourth = json.loads(subprocess.run(command, env=nodes.environment, capture_output=True, timeout=LIMIT).stdout)
    assert [Path(row["source"]).name for row in fourth["written"]] == ["0.png"]
    assert outputs(out) == expected

    other = subprocess.run(
        [*command, "--strength", "0.5"], env=nodes.environment, capture_output=True, text=True, timeout=LIMIT
    )
    assert other.returncode == 2
    assert "other settings: strength was 1.0 and is 0.5" in other.stderr


@pytest.mark.long
def test_a_picture_that_kills_every_worker_is_a_failure_in_the_end(nodes: Nodes, photos: Path) -> None:
    (photos / "deadly.py").write_text(DEADLY)
    command = [
        sys.executable,
        "-m",
        "stylekit",
        "stylize",
        str(photos / "in" / "0"),
        "-o",
        str(photos / "deadly"),
        "--json",
    ]
    command += ["--cluster", "ray", "--plugin", str(photos / "deadly.py"), "--model", "deadly", "--device", "cpu"]
    done = subprocess.run(command, env=nodes.environment, capture_output=True, timeout=LIMIT)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert len(report["written"]) + len(report["failed"]) == COUNT // 2
    assert 1 <= len(report["failed"]) <= 16
    assert "its worker was killed 6 times" in report["failed"][0]["error"]


DEADLY = """
import os, signal
from stylekit import Method, hookimpl

class Deadly(Method):
    def stylize(self, content, style=None):
        if content.shape[-2] == 46 and 0.4982 < float(content.mean()) < 0.4983:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"deadly": Deadly}
"""


@pytest.mark.long
def test_a_client_may_be_far_from_the_cluster(
    nodes: Nodes, photos: Path, expected: dict[str, bytes], environment: dict[str, str]
) -> None:
    command = line(photos, str(photos / "in"), str(photos / "client"), "--cluster", nodes.client, "--workers", "2")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[0] == "Failed:"
    assert outputs(photos / "client") == expected
    many = line(photos, str(photos / "in"), str(photos / "many"), "--cluster", nodes.client, "--workers", "3")
    done = subprocess.run(many, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (
        2, "Error: The cluster has 2 cores, which are too few for --workers 3.\n",
    )  # fmt: skip


@pytest.mark.long
def test_an_object_store_is_read_and_written(store: dict[str, str], photos: Path, expected: dict[str, bytes]) -> None:
    code = "import s3fs, sys; s3fs.S3FileSystem().{}(sys.argv[1], sys.argv[2], recursive=True)"
    subprocess.run([sys.executable, "-c", code.format("put"), f"{photos}/in/", "pictures/in/"], env=store, check=True)
    command = line(photos, "s3://pictures/in", "s3://pictures/out", "--cluster", "ray", "--json", "--workers", "2")
    done = subprocess.run(command, env=store, capture_output=True, timeout=LIMIT)
    assert done.returncode == 1, done.stderr
    assert len(json.loads(done.stdout)["written"]) == COUNT
    subprocess.run(
        [sys.executable, "-c", code.format("get"), "pictures/out", str(photos / "s3")], env=store, check=True
    )
    assert outputs(photos / "s3") == expected
    again = json.loads(subprocess.run(command, env=store, capture_output=True, timeout=LIMIT).stdout)
    assert (len(again["written"]), len(again["skipped"])) == (0, COUNT)
    assert again["failed"][0]["source"] == "s3://pictures/in/bad.png"

    missing = line(photos, "s3://pictures/in", "s3://nowhere/out", "--cluster", "ray")
    told = subprocess.run(missing, env=store, capture_output=True, text=True, timeout=LIMIT)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "s3://nowhere/out" in told.stderr
    assert "bucket does not exist" in told.stderr
