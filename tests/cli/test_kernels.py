"""``stylekit kernels build``, and the report of ``stylekit doctor`` about the kernels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from stylekit.cli import doctor
from stylekit.native import building, compiling, kernels
from stylekit.native.kernels import Kernels
from stylekit.ops import kernel
from tests.facts import assert_mentions

if TYPE_CHECKING:
    from tests.cli.conftest import Program

REPORT: dict[str, Any] = {
    "compiler": "gcc 12.2.0",
    "isas": ["portable", "avx2"],
    "isa": "avx2",
    "cuda": "",
    "architectures": "",
}
ON_CUDA = {**REPORT, "cuda": "13.0", "architectures": "sm_80 sm_90"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with the real sources, and no compiler except what a test puts into the folder ``bin``."""
    for name in ("stylekit/native", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "csrc").symlink_to(building.sources())
    monkeypatch.setattr(building, "PACKAGE", tmp_path / "stylekit" / "native")
    monkeypatch.setattr(compiling, "find_nvcc", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "stylekit" / "native"


def fake_compiler(package: Path, script: str) -> None:
    path = package.parents[1] / "bin" / "c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


WRITES = 'while [ $# -gt 0 ]; do case $1 in -o) shift; : > "$1";; -MF) shift; echo "it:" > "$1";; esac; shift; done'


@pytest.mark.parametrize(
    ("report", "facts"),
    [
        ({}, []),
        (REPORT, ["portable, avx2", "gcc 12.2.0"]),
        (ON_CUDA, ["portable, avx2", "CUDA 13.0: sm_80 sm_90", "gcc 12.2.0"]),
    ],
)
def test_a_build_prints_what_was_built_and_how_long_it_took(
    program: Program, package: Path, monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], facts: list[str]
) -> None:
    fake_compiler(package, WRITES)
    monkeypatch.setattr(kernels, "build_report", lambda: report)
    result = program("kernels", "build")
    assert (result.code, result.err) == (0, "")
    assert_mentions(result.out, package / "_kernels.so", *facts)
    assert re.search(r" \d+ s\.\n$", result.out)
    assert (package / "_kernels.so").is_file()


def test_a_build_that_fails_prints_the_reason_and_with_debug_everything(program: Program, package: Path) -> None:
    assert_mentions(program("kernels", "build").error, "compiler", "g++", "clang++")
    fake_compiler(package, "echo a.cpp:1: error: bad; echo and more of it; exit 1")
    assert_mentions(program("kernels", "build", "--cuda").error, "CUDA", "nvcc")
    error = program("kernels", "build").error
    assert_mentions(error, "a.cpp:1: error: bad", "`stylekit kernels build --debug`")
    assert "and more of it" not in error
    assert "and more of it" in program("kernels", "build", "--debug").err


def doctor_on_kernels(program: Program, monkeypatch: pytest.MonkeyPatch, state: Kernels, report: dict[str, Any]) -> str:
    """What doctor prints about kernels in this state."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(kernel, "KERNELS", state)
    monkeypatch.setattr(kernels, "build_report", lambda: report)
    monkeypatch.setattr(doctor, "MEASURED", 0.0)
    result = program("doctor")
    assert (result.code, result.err) == (0, "")
    return next(line.removeprefix("kernels").strip() for line in result.out.splitlines() if line.startswith("kernels"))


def test_doctor_prints_why_the_reference_runs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    state = Kernels(False, False, "not built: run `stylekit kernels build`")
    line = doctor_on_kernels(program, monkeypatch, state, {})
    assert line.startswith("reference")
    assert_mentions(line, "not built: run `stylekit kernels build`")


@pytest.mark.parametrize(
    ("report", "torchs", "cuda"),
    [
        (REPORT, None, []),
        ({}, None, []),
        (REPORT, "12.8", ["nvcc", "`stylekit kernels build`"]),
        (ON_CUDA, "13.2", ["CUDA 13.0", "sm_80 sm_90"]),
        (ON_CUDA, None, ["CUDA 13.0", "sm_80 sm_90"]),
        (ON_CUDA, "12.8", ["CUDA 13.0", "sm_80 sm_90", "CUDA 12.8"]),
    ],
)
def test_doctor_reports_on_cuda_and_measures(
    program: Program, monkeypatch: pytest.MonkeyPatch, report: dict[str, Any], torchs: str | None, cuda: list[str]
) -> None:
    monkeypatch.setattr(torch.version, "cuda", torchs)
    line = doctor_on_kernels(program, monkeypatch, Kernels(kernel.KERNELS.live, False, "built"), report)
    if kernel.KERNELS.live:
        assert line.startswith("in use (built)")
        assert_mentions(line, *cuda, "instance norm", "times as fast")
        assert cuda or "CUDA" not in line
