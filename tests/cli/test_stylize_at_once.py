"""Pictures that threads stylise at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from stylekit.cli import stylize
from stylekit.model import load
from stylekit_plugins.adain import AdaIN
from tests.cli.pixels import pixels

if TYPE_CHECKING:
    from tests.cli.conftest import Paint, Program

DRAWS = """
import threading
import torch
from stylekit import Method, hookimpl

class Speckled(Method):
    names = set()

    def stylize(self, content, style=None):
        self.names.add(threading.current_thread().name)
        return (content + 0.2 * torch.rand_like(content)).clamp(0, 1)

@hookimpl
def stylekit_methods():
    return {"speckled": Speckled}
"""


@pytest.fixture
def photos(paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, and two cores to stylise them on."""
    for index in range(6):
        paint(tmp_path / "photos" / f"{index}.png", 40 + index, 30, seed=index)
    paint(tmp_path / "photos" / "large.png", 90, 80, seed=9)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(stylize, "LARGE", 50 * 50)
    return tmp_path / "photos"


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, ...], str]:
    """The thread that stylised a picture, by its sides."""
    seen: dict[tuple[int, ...], str] = {}
    transfer: Callable[..., Tensor] = AdaIN.transfer

    def noted(self: AdaIN, content: Tensor, *rest: object) -> Tensor:
        seen[tuple(content.shape[2:])] = threading.current_thread().name
        return transfer(self, content, *rest)

    monkeypatch.setattr(AdaIN, "transfer", noted)
    return seen


def test_what_threads_make_is_what_is_made_one_by_one(
    program: Program, photos: Path, place: Path, adain: Path, tmp_path: Path, threads: dict[tuple[int, ...], str]
) -> None:
    out = tmp_path / "out"
    assert program("stylize", photos, "--model", adain, "--style", place / "red.png", "-o", out).code == 0
    made_by = {size: name.split("_")[0] for size, name in threads.items() if size != (128, 128)}  # that is tried first
    assert made_by.pop((90, 80)) == "MainThread"  # it is large
    assert len(made_by) == 6
    assert set(made_by.values()) == {"makers"}
    model = load(adain, "cpu")
    for photo in photos.iterdir():
        alone = model.stylize(torch.tensor(pixels(photo)).permute(2, 0, 1)[None] / 255, place / "red.png")
        expected = (alone[0].permute(1, 2, 0) * 255).round().numpy()
        assert np.abs(pixels(out / photo.name) - expected).max() <= 1


def test_where_numbers_are_drawn_or_memory_is_short_there_is_one_at_a_time(
    program: Program, photos: Path, place: Path, adain: Path, tmp_path: Path, threads: dict[tuple[int, ...], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    plugin = tmp_path / "draws.py"
    plugin.write_text(DRAWS)
    line = ("stylize", photos, "--plugin", plugin, "--model", "speckled")
    assert program(*line, "-o", tmp_path / "first").code == 0
    assert program(*line[:1], photos / "3.png", *line[2:], "-o", tmp_path / "alone.png").code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "first" / "3.png"), pixels(tmp_path / "alone.png"))

    per_pixel = load(adain, "cpu").needed_memory(1000, 1000) / 10**6
    monkeypatch.setattr("stylekit.memory.free_memory", lambda device: int(2 * 43.5 * 30 * per_pixel))
    assert program("stylize", photos, "--model", adain, "--style", place / "red.png", "-o", tmp_path / "out").code == 0
    by_height = {height: name.split("_")[0] for (height, width), name in threads.items() if width == 30}
    assert by_height == {**dict.fromkeys((40, 41, 42, 43), "makers"), 44: "MainThread", 45: "MainThread"}
