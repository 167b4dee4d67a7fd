"""A third-party package next to stylekit, both installed from wheels; and a third-party file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stylekit import images
from stylekit.cli import main
from stylekit.registry import lookup
from stylekit.testing.subjects import find_subjects
from stylekit.training.runs import Run
from tests.facts import assert_mentions
from tests.testing.samples import faults
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel

TESTS = Path(__file__).parent
ONE_FILE = TESTS / "one_file_style.py"
PACKAGE = TESTS / "sample_plugin" / "src" / "stylekit_tulips"
STEPS = ("--size", "32", "--steps", "20", "--workers", "0")

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("wheels")
    return [build_wheel(TESTS.parent, out, **NO_COMPILER), build_wheel(TESTS / "sample_plugin", out)]


@pytest.fixture(scope="module")
def fresh(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    environment = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    environment.install(*wheels)
    return environment


@pytest.fixture(scope="module")
def stylekit(fresh: FreshEnvironment) -> Callable[..., Done]:
    """The program of the fresh environment."""
    return lambda *words: fresh.run("stylekit", *map(str, words), OMP_NUM_THREADS="1", COLUMNS="200")


def output(done: Done) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def photo(path: Path) -> Path:
    images.write(path, images.resize(torch.rand(1, 3, 5, 6), (41, 53)))
    return path


def stylised(photo: Path, out: Path) -> bool:
    """Whether the image has changed and kept its size."""
    before, after = images.read(photo).image, images.read(out).image
    return before.shape == after.shape and not torch.allclose(before, after, atol=0.02)


def falls(run: Path, term: str) -> bool:
    """Whether the mean of a loss's last five values is lower than that of its first five."""
    values = [row[term] for row in Run(run).metrics()]
    return sum(values[-5:]) < sum(values[:5])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("method", "method"), ("palette", "loss"), ("field", "dataset")])
def test_every_part_of_the_package_passes_the_conformance_checks(name: str, kind: str) -> None:
    for module in ("palette", "field"):  # the method's loss, and a data set for it
        lookup.add_file(PACKAGE / f"{module}.py")
    subjects = find_subjects(str(PACKAGE / f"{name}.py"))
    assert [subject.kind for subject in subjects] == ["plugin", kind]
    for subject in subjects:
        assert faults(subject) == {}, subject.kind


@pytest.mark.slow
def test_the_method_in_one_file_passes_the_conformance_checks() -> None:
    assert {subject.kind: faults(subject) for subject in find_subjects(str(ONE_FILE))} == {"plugin": {}, "method": {}}


@pytest.mark.long
def test_a_package_can_be_used_while_it_is_installed(
    fresh: FreshEnvironment, stylekit: Callable[..., Done], tmp_path: Path
) -> None:
    listed = output(stylekit("plugins", "--load"))
    for line in ("method tulips; preset for tulips, cyclegan", "dataset tulip-field", "loss tulip-palette"):
        assert line in listed
    assert "draw-tulips" in output(stylekit("--help"))
    assert "FAULT" not in output(stylekit("check", "stylekit-tulips"))
    assert_mentions(output(stylekit("show", "tulips")), "palette", "tulip-palette", "season", "spring", "winter")

    assert "2 images" in output(stylekit("draw-tulips", tmp_path / "fields", "--count", "2", "--size", "40"))
    assert images.read(tmp_path / "fields" / "1.png").image.shape == (1, 3, 40, 40)

    run = tmp_path / "run"
    output(stylekit("train", "--plugin", "tulips", "--data", "tulip-field", "--preset", "small", *STEPS, "--out", run))
    assert Run(run).metrics()[-1]["step"] == 20
    assert falls(run, "plant/palette")

    source = photo(tmp_path / "photo.png")
    stylize = ("stylize", "--overwrite", source, "--model", run, "-o", tmp_path / "out.png")
    output(stylekit(*stylize))
    assert stylised(source, tmp_path / "out.png")
    output(stylekit(*stylize[:-1], tmp_path / "winter.png", "--with", "season=winter"))
    winter = images.read(tmp_path / "winter.png").image
    assert torch.equal(winter, winter[:, :1].expand_as(winter))
    wrong = stylekit(*stylize, "--with", "season=summer")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1), wrong.stderr
    assert_mentions(wrong.stderr, "'season'", "'summer'", "'spring'", "'winter'")

    fresh.uninstall("stylekit-tulips")
    assert "tulip" not in output(stylekit("plugins"))
    assert "draw-tulips" not in output(stylekit("--help"))
    lost = stylekit(*stylize)
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1), lost.stderr
    assert_mentions(lost.stderr, "pip install", "stylekit-tulips")


def test_a_method_in_one_file_needs_no_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["stylekit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code

    program("train", "--plugin", ONE_FILE, *STEPS, "--out", tmp_path / "run")
    assert falls(tmp_path / "run", "print/palette")
    source = photo(tmp_path / "photo.png")
    program("stylize", source, "--model", tmp_path / "run", "--plugin", ONE_FILE, "-o", tmp_path / "out.png")
    assert stylised(source, tmp_path / "out.png")
