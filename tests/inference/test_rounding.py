"""How far results differ between processors, numbers of threads, and with or without kernels: the README states it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import sys, numpy, stylekit
scenes = stylekit.make("dataset", "scenes", size=128, split="test")
model = stylekit.load(sys.argv[1], "cpu")
made = [model.stylize(scenes[i]["content"][None], scenes[i + 10]["style"][None]).numpy() for i in range(3)]
numpy.save(sys.argv[2], numpy.concatenate(made))
"""
OTHERS = {
    "without kernels": {"STYLEKIT_KERNELS": "reference"},
    "a plain processor": {"ATEN_CPU_CAPABILITY": "default", "STYLEKIT_KERNELS": "reference"},
    "two threads": {"OMP_NUM_THREADS": "2"},
}


def stylized(model: str, path: Path, **variables: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    subprocess.run([sys.executable, "-c", SCRIPT, model, str(path)], env=environment, check=True)
    return np.load(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "least"), [("stylekit-any", 40.0), pytest.param("color-pca", 90.0, marks=pytest.mark.long)]
)
def test_results_differ_by_as_much_as_the_readme_says(tmp_path: Path, model: str, least: float) -> None:
    expected = stylized(model, tmp_path / "usual.npy")
    for name, variables in OTHERS.items():
        difference = stylized(model, tmp_path / "other.npy", **variables) - expected
        assert 10 * np.log10(1 / max(float((difference**2).mean()), 1e-30)) > least, name
        assert (np.abs(difference) <= 1 / 255).mean() > 0.98, name
