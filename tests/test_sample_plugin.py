"""A stranger's package beside stylekit, both installed from wheels; and a stranger's single file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stylekit import images
from stylekit.cli import main
from stylekit.training.runs import Run
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel

TESTS = Path(__file__).parent
ONE_FILE = TESTS / "one_file_style.py"
STEPS = ("--size", "32", "--steps", "20", "--workers", "0")

Told = subprocess.CompletedProcess[str]


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
def stylekit(fresh: FreshEnvironment) -> Callable[..., Told]:
    """The program of the fresh environment."""
    return lambda *words: fresh.run("stylekit", *map(str, words), OMP_NUM_THREADS="1", COLUMNS="200")


def good(told: Told) -> str:
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def photo(path: Path) -> Path:
    images.write(path, images.resize(torch.rand(1, 3, 5, 6), (41, 53)))
    return path


def stylised(photo: Path, out: Path) -> bool:
    """Whether the picture is another one of the same size."""
    before, after = images.read(photo).image, images.read(out).image
    return before.shape == after.shape and not torch.allclose(before, after, atol=0.02)


def falls(run: Path, term: str) -> bool:
    """Whether the last five values of a loss are lower than the first five, in the mean."""
    values = [row[term] for row in Run(run).metrics()]
    return sum(values[-5:]) < sum(values[:5])


@pytest.mark.slow
def test_a_package_is_there_when_it_is_installed_and_gone_when_it_is_not(
    fresh: FreshEnvironment, stylekit: Callable[..., Told], tmp_path: Path
) -> None:
    listed = good(stylekit("plugins", "--load"))
    for line in ("method tulips; preset for tulips, cyclegan", "dataset tulip-field", "loss tulip-palette"):
        assert line in listed
    assert "draw-tulips" in good(stylekit("--help"))
    assert "FAULT" not in good(stylekit("check", "stylekit-tulips"))

    assert "2 pictures" in good(stylekit("draw-tulips", tmp_path / "fields", "--count", "2", "--size", "40"))
    assert images.read(tmp_path / "fields" / "1.png").image.shape == (1, 3, 40, 40)

    run = tmp_path / "run"
    good(stylekit("train", "--plugin", "tulips", "--data", "tulip-field", "--preset", "small", *STEPS, "--out", run))
    assert Run(run).metrics()[-1]["step"] == 20
    assert falls(run, "plant/palette")

    source = photo(tmp_path / "photo.png")
    stylize = ("stylize", source, "--model", run, "-o", tmp_path / "out.png")
    good(stylekit(*stylize))
    assert stylised(source, tmp_path / "out.png")

    fresh.uninstall("stylekit-tulips")
    assert "tulip" not in good(stylekit("plugins"))
    assert "draw-tulips" not in good(stylekit("--help"))
    lost = stylekit(*stylize)
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1), lost.stderr
    assert "pip install" in lost.stderr
    assert "stylekit-tulips" in lost.stderr


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
