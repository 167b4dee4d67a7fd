"""Finding the shots of a clip."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch

from stylekit.images import Picture
from stylekit.inference.shots import SAMPLES, find_shots
from tests.tensors import noise


def clip(*shots: tuple[float, int]) -> Iterable[Picture]:
    """Shots of these shades and numbers of frames, in which something moves."""
    texture = 0.2 * noise(1, 3, 40, 200)
    for shade, count in shots:
        for number in range(count):
            yield Picture(shade + texture[..., number % 100 : number % 100 + 60])


@pytest.mark.parametrize(
    ("shots", "starts"),
    [
        ([(0.2, 10)], [0]),
        ([(0.2, 10), (0.6, 1), (0.1, 20)], [0, 10, 11]),
        ([(0.05 * number, 1) for number in range(16)], [0]),  # a fade
        ([], []),
    ],
)
def test_a_shot_begins_where_the_picture_changes_at_once(shots: list[tuple[float, int]], starts: list[int]) -> None:
    assert [shot.first for shot in find_shots(clip(*shots))] == starts


def test_samples_are_spread_over_the_shot() -> None:
    frames = [Picture(torch.full((1, 3, 4, 4), number / 1000)) for number in range(1000)]
    [shot] = find_shots(frames)
    numbers = [round(float(each.image.mean()) * 1000) for each in shot.samples]
    assert SAMPLES <= len(numbers) <= 2 * SAMPLES
    assert numbers == [number * numbers[1] for number in range(len(numbers))]
    assert numbers[-1] > 850


def test_a_short_shot_is_sampled_completely() -> None:
    assert [len(shot.samples) for shot in find_shots(clip((0.1, 5), (0.7, 3)))] == [5, 3]
