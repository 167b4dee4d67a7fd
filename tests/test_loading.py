"""The benchmark of loading: its ratio, and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import loading
from benchmarks.tables import scale
from tests.facts import assert_mentions


def test_a_ratio_is_the_median_over_the_pairs() -> None:
    """2, 3 and 9 over 2, 1 and 3 are 1, 3 and 3; the medians alone would give 3 / 2."""
    values = {"folder": iter([2.0, 1.0, 3.0]), "shards": iter([2.0, 3.0, 9.0])}
    order: list[str] = []

    def measure(source: Path) -> float:
        order.append(source.name)
        return next(values[source.name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "ROUNDS", 3)
        found = loading.alternate({name: Path(name) for name in values}, measure)
    assert found == {"folder": 2.0, "shards": 3.0, "ratio": 3.0}
    assert order == ["folder", "shards", "shards", "folder", "folder", "shards"]  # each comes first in turn


@pytest.mark.slow
def test_everything_is_measured_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {
        "DRAWN": 4,
        "COPIES": 4,
        "SIDE": 150,
        "PER_SHARD": 8,
        "SIZE": 32,
        "BATCH": 4,
        "WORKERS": 0,
        "ROUNDS": 1,
        "STEPS": 1,
    }
    for name, value in {**small, "RESULTS": tmp_path}.items():
        monkeypatch.setattr(loading, name, value)
    monkeypatch.setattr(scale, "RESULTS", tmp_path)
    loading.main(["--record"])
    results = json.loads((tmp_path / "loading.json").read_text())
    assert (results["images"], results["shards"]) == (16, 2)
    assert set(results["waiting"]) == {"folder", "shards"}
    assert all(0 <= share < 1 for share in results["waiting"].values())
    assert_mentions(scale.loading(), "16 JPEG files of 150 x 150", "2 shards", "share of training that waits")
