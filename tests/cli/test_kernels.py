"""``stylekit kernels build``, and what ``stylekit doctor`` says of the kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from stylekit.cli import doctor
from stylekit.native import building, compiling, kernels
from stylekit.native.kernels import Kernels
from stylekit.ops import kernel

if TYPE_CHECKING:
    from tests.cli.conftest import Program

TOLD: dict[str, Any] = {
    "compiler": "gcc 12.2.0",
    "isas": ["portable", "avx2"],
    "isa": "avx2",
    "cuda": "",
    "architectures": "",
}
ON_CUDA = {**TOLD, "cuda": "13.0", "architectures": "sm_80 sm_90"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of its own, with the real sources, and no compiler but what a test puts into the folder ``bin``."""
    for name in ("stylekit/native", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "csrc").symlink_to(building.sources())
    monkeypatch.setattr(building, "PACKAGE", tmp_path / "stylekit" / "native")
    monkeypatch.setattr(compiling, "find_nvcc", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "stylekit" / "native"


def false_compiler(package: Path, script: str) -> None:
    path = package.parents[1] / "bin" / "c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


WRITES = 'while [ $# -gt 0 ]; do case $1 in -o) shift; : > "$1";; -MF) shift; echo "it:" > "$1";; esac; shift; done'


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({}, ""),
        (TOLD, " for portable, avx2, with gcc 12.2.0"),
        (ON_CUDA, " for portable, avx2, for CUDA 13.0: sm_80 sm_90, with gcc 12.2.0"),
    ],
)
def test_a_build_says_what_was_built_and_how_long_it_took(
    program: Program, package: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], what: str
) -> None:
    false_compiler(package, WRITES)
    monkeypatch.setattr(kernels, "build_report", lambda: told)
    said = program("kernels", "build")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"Built {package}/_kernels.so{what}, in ")
    assert said.out.endswith(" s.\n")
    assert (package / "_kernels.so").is_file()


def test_a_build_that_fails_says_why_and_with_debug_everything(program: Program, package: Path) -> None:
    assert program("kernels", "build").error.startswith("There is no C++ compiler. Install g++ or clang++, or name")
    false_compiler(package, "echo a.cpp:1: error: bad; echo and more of it; exit 1")
    assert program("kernels", "build", "--cuda").error.startswith("CUDA was asked for, but there is no nvcc. Put it on")
    error = program("kernels", "build").error
    assert error.startswith("Compiling the kernels failed: a.cpp:1: error: bad. `stylekit")
    assert error.endswith("`stylekit kernels build --debug` shows everything.")
    assert "and more of it" not in error
    assert "and more of it" in program("kernels", "build", "--debug").err


def facts(program: Program, monkeypatch: pytest.MonkeyPatch, state: Kernels, told: dict[str, Any]) -> str:
    """What doctor says of kernels in this state."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(kernel, "KERNELS", state)
    monkeypatch.setattr(kernels, "build_report", lambda: told)
    monkeypatch.setattr(doctor, "MEASURED", 0.0)
    said = program("doctor")
    assert (said.code, said.err) == (0, "")
    return next(line.removeprefix("kernels").strip() for line in said.out.splitlines() if line.startswith("kernels"))


def test_doctor_tells_why_the_reference_runs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Kernels(False, False, "not built: run `stylekit kernels build`")
    assert facts(program, monkeypatch, state, {}) == (
        "reference, torch's own operations (not built: run `stylekit kernels build`)"
    )


@pytest.mark.parametrize(
    ("told", "torchs", "cuda"),
    [
        (TOLD, None, ""),
        ({}, None, ""),
        (TOLD, "12.8", "without CUDA: put nvcc on the PATH and run `stylekit kernels build`; "),
        (ON_CUDA, "13.2", "CUDA 13.0 for sm_80 sm_90; "),
        (ON_CUDA, None, "CUDA 13.0 for sm_80 sm_90; "),
        (
            ON_CUDA,
            "12.8",
            "CUDA 13.0 for sm_80 sm_90, while torch has CUDA 12.8: should they fail on the GPU, build with a toolkit "
            "of that version; ",
        ),
    ],
)
def test_doctor_tells_of_cuda_and_measures(
    program: Program, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], torchs: str | None, cuda: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", torchs)
    said = facts(program, monkeypatch, Kernels(kernel.KERNELS.live, False, "built"), told)
    if kernel.KERNELS.live:
        assert said.startswith(f"live (built); {cuda}instance norm with ReLU: ")
        assert said.endswith(" times as fast as the reference")
