"""Random numbers that are drawn again."""

from __future__ import annotations

import random

import numpy as np
import torch

from stylekit.seeding import repeatable, seeded


def numbers() -> tuple[float, float, float]:
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_a_block_repeats_the_numbers_and_changes_none_that_follow() -> None:
    with seeded("following"):
        first, second = numbers(), numbers()
    with seeded("following"):
        again = repeatable()
        assert numbers() == first
        for _ in range(2):
            with again():
                assert (numbers(), numbers()) == (first, second)
        assert numbers() == second
