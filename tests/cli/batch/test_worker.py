"""What a worker of any engine does with its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stylekit.cli.batch.function import Parcel
from stylekit.cli.batch.manifest import FOLDER, Manifest, digest, settings_digest
from stylekit.cli.batch.worker import FAILED, FATAL, SKIPPED, WRITTEN, Task, Worker
from stylekit.cli.recipe import Recipe
from stylekit.cli.style_arguments import StyleMix
from stylekit.datasets.places import Place
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint


@pytest.fixture
def recipe(place: Path) -> Recipe:
    mix = StyleMix("red", ((str(place / "red.png"), 1.0),))
    return Recipe((("color-pca", None),), device="cpu", mixes=[mix])


@pytest.fixture
def worker(recipe: Recipe, tmp_path: Path) -> Worker:
    return Worker(Parcel(recipe), 4, f"memory://{tmp_path.name}/out", settings_digest({}))


@pytest.fixture
def tasks(paint: Paint, place: Path, tmp_path: Path) -> list[Task]:
    """Two pictures, in memory, as an object store would have them."""
    source = Place(f"memory://{tmp_path.name}/in")
    for number in range(2):
        source.write(f"{number}.png", paint(place / f"{number}.png", seed=number).read_bytes())
    return [Task(f"{source.path}/{number}.png", f"{number}.png", 0, f"sub/{number}.png") for number in range(2)]


def test_outputs_are_written_and_recorded(worker: Worker, tasks: list[Task]) -> None:
    outcomes = worker(tasks)
    assert [(each.target, each.status) for each in outcomes] == [("sub/0.png", WRITTEN), ("sub/1.png", WRITTEN)]
    out = Place(worker.out)
    records = Manifest(out).begin({}, overwrite=False)
    assert [*records] == ["sub/0.png", "sub/1.png"]
    for task in tasks:
        record = records[task.target]
        assert record.input == digest(Place(task.source).read())
        assert record.output == digest(out.read(task.target))
        assert (record.height, record.width, record.frames) == (40, 48, 1)


def test_what_was_made_of_the_same_picture_is_skipped_without_the_model(worker: Worker, tasks: list[Task]) -> None:
    known = [replace(task, known=digest(Place(task.source).read())) for task in tasks]
    assert [each.status for each in worker(known)] == [SKIPPED, SKIPPED]
    assert "_stylizer" not in vars(worker)
    assert Place(worker.out).find() == {}
    changed = replace(known[0], known=digest(b"another picture"))
    assert [each.status for each in worker([changed, known[1]])] == [WRITTEN, SKIPPED]


def test_doing_it_twice_changes_nothing(worker: Worker, tasks: list[Task]) -> None:
    out = Place(worker.out)
    worker(tasks)
    before = {name: out.read(name) for name in out.find() if not name.startswith(FOLDER)}
    worker(tasks)
    assert {name: out.read(name) for name in out.find() if not name.startswith(FOLDER)} == before
    assert len(out.find(FOLDER)) == 1


def test_a_failure_is_a_row_and_the_others_are_done(worker: Worker, tasks: list[Task]) -> None:
    missing = replace(tasks[0], source=f"{tasks[0].source}.gone", target="gone.png")
    Place(tasks[0].source).write("", b"no picture")
    first, second, third = worker([tasks[0], missing, tasks[1]])
    assert (first.status, second.status, third.status) == (FAILED, FAILED, WRITTEN)
    assert_mentions(first.error, tasks[0].source, "damaged")
    assert second.error == f"{missing.source} does not exist."


def test_a_model_that_cannot_be_loaded_ends_the_batch(recipe: Recipe, worker: Worker, tasks: list[Task]) -> None:
    worker.parcel = Parcel(replace(recipe, models=(("nowhere", None),)))
    assert {each.status for each in worker(tasks)} == {FATAL}


def test_another_version_of_stylekit_ends_the_batch(worker: Worker, tasks: list[Task]) -> None:
    worker.version = "0.0.1"
    [first, _] = worker(tasks)
    assert first.status == FATAL
    assert_mentions(first.error, "0.0.1", "same version")
