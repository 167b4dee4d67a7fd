"""What the tests of the command line share: the program itself, images, and models."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from PIL import Image

import stylekit
from stylekit import images, make
from stylekit.cli import main
from stylekit.inference.loading import load
from stylekit.inference.model_files import save_model
from stylekit.inference.styles import write_style
from stylekit.registry import lookup

NETWORKS: dict[str, Any] = {
    "generator": {"name": "resnet", "blocks": 1, "width": 4},
    "discriminator": {"name": "patch", "layers": 1, "width": 4},
}
INVERT = """
from stylekit import Method, hookimpl

class Invert(Method):
    def stylize(self, content, style=None):
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"invert": Invert}
"""


@dataclass(frozen=True)
class Result:
    """What the program printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The paragraph of an error, which is all that the program may print then."""
        assert (self.code, self.out, self.err.count("\n")) == (2, "", 1), self
        assert self.err.startswith("Error: ")
        return self.err.removeprefix("Error: ").rstrip("\n")


class Program(Protocol):
    """Calls ``stylekit`` with arguments."""

    def __call__(self, *arguments: object) -> Result: ...


class Paint(Protocol):
    """Writes an image of random blots and returns its path."""

    def __call__(self, path: Path, height: int = 40, width: int = 48, seed: int = 0) -> Path: ...


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one call of the program changed in this process does not reach the next."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program, called in this process, which is fast."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["stylekit", *map(str, arguments)])
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as ended:
                main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables for subprocesses: one thread, and a width for tables."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture(scope="session")
def process(environment: dict[str, str]) -> Program:
    """The program in a process of its own."""

    def call(*arguments: object) -> Result:
        line = [sys.executable, "-m", "stylekit", *map(str, arguments)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def _paint(path: Path, height: int = 40, width: int = 48, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blots = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    images.write(path, images.resize(blots, (height, width)))
    return path


@pytest.fixture(scope="session")
def paint() -> Paint:
    return _paint


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two folders of images, ``a`` and ``b``. No test writes there."""
    root = tmp_path_factory.mktemp("folders")
    for number in range(3):
        _paint(root / "a" / f"{number}.png", seed=number)
        _paint(root / "b" / f"{number}.png", seed=10 + number)
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A config file: one step of a minimal CycleGAN, into a folder of its own."""
    path = tmp_path / "tiny.yaml"
    path.write_text(f"plugin: cyclegan\nsize: 32\nsteps: 1\nworkers: 0\nout: {tmp_path}/run\nset: {NETWORKS}\n")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, folders: Path) -> Path:
    """A run of one step on the two folders, with averaged weights. No test writes there."""
    out = tmp_path_factory.mktemp("trained") / "run"
    given = {"content": folders / "a", "style": folders / "b", "set": {**NETWORKS, "ema": 0.5, "lr": 0.01}}
    return stylekit.train("cyclegan", out=out, size=32, steps=1, workers=0, **given)


@pytest.fixture
def invert(tmp_path: Path) -> tuple[Path, Path]:
    """A method without weights in a plugin file of its own, and a model of it."""
    plugin, model = tmp_path / "invert_it.py", tmp_path / "invert.safetensors"
    plugin.write_text(INVERT)
    namespace: dict[str, type[stylekit.Method]] = {}
    exec(INVERT, namespace)
    save_model(namespace["Invert"](), "invert", model)
    return plugin, model


@pytest.fixture(scope="session")
def adain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that accepts any style. No test writes there."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("adain") / "adain.safetensors"
    save_model(make("method", "adain", **lookup.find_part("method", "adain").presets["tiny"]), "adain", path)
    return path


@pytest.fixture
def place(paint: Paint, tmp_path: Path) -> Path:
    """A folder with a photo, two styles, a mask and a style file of ``color-pca``."""
    paint(tmp_path / "photo.png")
    paint(tmp_path / "red.png", 30, 20, seed=1)
    paint(tmp_path / "blue.png", 25, 35, seed=2)
    mask = np.zeros((40, 48), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    write_style(tmp_path / "red.style", load("color-pca", "cpu").style(tmp_path / "red.png"))
    return tmp_path
