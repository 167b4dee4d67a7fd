"""The projection of docs/scale.md is the arithmetic that it says."""

from __future__ import annotations

import pytest

from benchmarks.cluster import projected

FIGURES = {"core_seconds": {"128": 0.1, "512": 1.0}, "seconds_per_batch": 0.01}


def test_a_node_is_limited_by_its_cores() -> None:
    # 16 cores, a tenth of a second each: 160 a second.
    assert projected(FIGURES, 1, 128) == {"pictures_an_hour": 160 * 3600, "limit": "the cores"}
    assert projected(FIGURES, 1, 512)["pictures_an_hour"] == 16 * 3600


@pytest.mark.parametrize(
    ("nodes", "seconds", "rate", "limit"),
    [
        (10, 0.01, 1600, "the cores"),  # the engine: 16 every hundredth of a second, 1,600
        (11, 0.01, 1600, "engine"),
        (100, 0.001, 3500 * 16 / 17, "S3"),
    ],
)
def test_many_nodes_are_limited_by_what_they_share(nodes: int, seconds: float, rate: float, limit: str) -> None:
    found = projected({**FIGURES, "seconds_per_batch": seconds}, nodes, 128)
    assert found["pictures_an_hour"] == round(rate * 3600)
    assert limit in found["limit"]
