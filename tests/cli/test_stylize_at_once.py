"""Images that several threads stylise at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stylekit import make
from stylekit.cli import concurrency
from stylekit.inference.loading import load
from stylekit.inference.model_files import save_model
from stylekit_plugins.methods.any_style import AnyStyle
from tests.cli.pixels import pixels
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of a thread-safe method."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_model(make("method", "any-style", **AnyStyle.presets["tiny"]), "any-style", path)
    return path


@pytest.fixture
def photos(paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, and two cores to stylise them on."""
    for index in range(6):
        paint(tmp_path / "photos" / f"{index}.png", 40 + index, 30, seed=index)
    paint(tmp_path / "photos" / "large.png", 90, 80, seed=9)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(concurrency, "LARGE", 50 * 50)
    return tmp_path / "photos"


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, ...], str]:
    """The thread that stylised an image, by the image's sides."""
    seen: dict[tuple[int, ...], str] = {}
    transfer: Callable[..., Tensor] = AnyStyle.transfer

    def recorded(self: AnyStyle, content: Tensor, *rest: Any, **options: Any) -> Tensor:
        seen[tuple(content.shape[2:])] = threading.current_thread().name
        return transfer(self, content, *rest, **options)

    monkeypatch.setattr(AnyStyle, "transfer", recorded)
    return seen


def test_threads_give_what_one_thread_gives(
    program: Program, photos: Path, place: Path, model: Path, tmp_path: Path, threads: dict[tuple[int, ...], str]
) -> None:
    out = tmp_path / "out"
    assert program("stylize", photos, "--model", model, "--style", place / "red.png", "-o", out).code == 0
    made_by = {size: name.split("_")[0] for size, name in threads.items() if size != (128, 128)}  # the probe of memory
    assert made_by.pop((90, 80)) == "MainThread"  # it is large
    assert len(made_by) == 6
    assert set(made_by.values()) == {"makers"}
    loaded = load(model, "cpu")
    for photo in photos.iterdir():
        alone = loaded.stylize(torch.tensor(pixels(photo)).permute(2, 0, 1)[None] / 255, place / "red.png")
        expected = (alone[0].permute(1, 2, 0) * 255).round().numpy()
        assert np.abs(pixels(out / photo.name) - expected).max() <= 1


def test_a_method_that_is_not_thread_safe_is_called_by_one_thread(
    program: Program, photos: Path, place: Path, model: Path, tmp_path: Path, threads: dict[tuple[int, ...], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(AnyStyle, "capabilities", replace(AnyStyle.capabilities, thread_safe=False))
    assert program("stylize", photos, "--model", model, "--style", place / "red.png", "-o", tmp_path / "out").code == 0
    assert set(threads.values()) == {"MainThread"}


def test_with_little_memory_images_are_stylised_one_by_one_and_none_is_refused(
    program: Program, photos: Path, place: Path, model: Path, tmp_path: Path, threads: dict[tuple[int, ...], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    per_pixel = load(model, "cpu").needed_memory(1000, 1000) / 10**6
    (photos / "large.png").unlink()
    # Two images of 43.5 rows take half of it. While they are stylised, hardly anything is left.
    room = chain([int(4 * 43.5 * 30 * per_pixel)], repeat(int(46 * 30 * per_pixel)))
    monkeypatch.setattr("stylekit.native.devices.free_memory", lambda device: next(room))
    assert program("stylize", photos, "--model", model, "--style", place / "red.png", "-o", tmp_path / "out").code == 0
    by_height = {height: name.split("_")[0] for (height, width), name in threads.items() if width == 30}
    assert by_height == {**dict.fromkeys((40, 41, 42, 43), "makers"), 44: "MainThread", 45: "MainThread"}


@pytest.mark.parametrize(
    ("cores", "count", "together"),
    [(1, 9, (1, 1)), (2, 9, (2, 1)), (2, 1, (1, 2)), (4, 2, (2, 2)), (6, 9, (3, 2)), (8, 9, (4, 2)), (16, 3, (2, 6))],
)
def test_cores_are_divided_among_threads(
    cores: int, count: int, together: tuple[int, int], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    made = concurrency.TorchConcurrency(load(model, "cpu"), count, {})
    assert (made.at_once, made.cores) == together


SLOW = """
import time
from pathlib import Path
from stylekit import Method, hookimpl
from stylekit.method import Capabilities

class Slow(Method):
    capabilities = Capabilities(thread_safe=True)

    def stylize(self, content, style=None):
        if content.shape[-1] < 100:  # not the probe of memory
            Path(__file__).with_name("begun").touch()
            time.sleep(600)
        return content.clone()

@hookimpl
def stylekit_methods():
    return {"slow": Slow}
"""


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait_for_threads(paint: Paint, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    for index in range(4):
        paint(tmp_path / "in" / f"{index}.png")
    line = ("stylize", "in", "--plugin", "slow.py", "--model", "slow", "-o", "out")
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stylekit", *line], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(2):
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=60)  # far less than an image takes
    assert process.returncode == 130
    assert output.count("\n") == 1
    assert_mentions(output, "interrupted", "0 of 4", "out")


FAILS = """
import threading
from stylekit import Method, hookimpl
from stylekit.method import Capabilities

class Fails(Method):
    capabilities = Capabilities(thread_safe=True)

    def stylize(self, content, style=None):
        assert content.shape[-1] < 100  # the probe of memory
        assert threading.current_thread() is threading.main_thread()
        return 1 - content

@hookimpl
def stylekit_methods():
    return {"fails": Fails}
"""


def test_if_the_trial_run_fails_images_are_stylised_one_by_one(program: Program, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    line = ("--plugin", tmp_path / "fails.py", "--model", "fails", "-o", tmp_path / "out")
    result = program("stylize", photos, *line)
    assert result.code == 0, result
    assert_mentions(result.err, "7 of 7")
