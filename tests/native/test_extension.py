"""Compiled operations of plugins: the example ``grain`` as anyone would build, break, install and load it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stylekit import StylekitError, StylekitWarning
from stylekit.native import compiling, load_library, setup_arguments
from tests.venvs import NO_COMPILER, FreshEnvironment, build_wheel, call, copy_sources

ROOT = Path(__file__).parents[2]
GRAIN = ROOT / "examples" / "grain"
LIBRARY = "stylekit_grain/_grain.so"

needs_compiler = pytest.mark.skipif(compiling.find_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The example, in a folder of its own."""
    return copy_sources(GRAIN, tmp_path / "grain")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's wheel, with the operation."""
    return build_wheel(GRAIN, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def stylekit_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stylekit's own wheel, without kernels."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("stylekit"), **NO_COMPILER)


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def wheel_in_place(project: Path) -> tuple[Path, list[str]]:
    """The wheel that is built in the project's folder, and what was told of the library."""
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    [made] = (project / "dist").iterdir()
    return made, [line for line in done.stdout.splitlines() if line.startswith("stylekit_grain._grain ")]


def break_it(project: Path) -> None:
    source = project / "stylekit_grain" / "grain.cpp"
    source.write_text(source.read_text() + "\nint number = no_such_number;\n")


# ---- Building ----


@needs_compiler
@pytest.mark.slow
def test_a_wheel_carries_the_operation_for_every_python(wheel: Path) -> None:
    assert wheel.name.startswith("stylekit_grain-0.1.0-py3-none-")
    assert not wheel.name.endswith("-any.whl")
    assert [name for name in names(wheel) if name.endswith(".so")] == [LIBRARY]


@pytest.mark.slow
def test_without_a_compiler_it_is_python_only(tmp_path: Path) -> None:
    made = build_wheel(GRAIN, tmp_path, **NO_COMPILER)
    assert made.name == "stylekit_grain-0.1.0-py3-none-any.whl"
    assert sorted(name for name in names(made) if "dist-info" not in name) == [
        "stylekit_grain/__init__.py",
        "stylekit_grain/operation.py",
    ]


@pytest.mark.slow
def test_a_source_distribution_carries_the_sources_wherever_it_is_made(project: Path) -> None:
    call(sys.executable, "-m", "build", "--sdist", "--no-isolation", project, **NO_COMPILER)
    told = call("tar", "-tzf", project / "dist" / "stylekit_grain-0.1.0.tar.gz").stdout.splitlines()
    assert {"stylekit_grain-0.1.0/setup.py", "stylekit_grain-0.1.0/stylekit_grain/grain.cpp"} <= set(told)


@needs_compiler
@pytest.mark.long
def test_with_errors_it_installs_without_and_an_earlier_library_is_not_taken_for_it(project: Path) -> None:
    made, told = wheel_in_place(project)
    assert LIBRARY in names(made)
    assert told == ["stylekit_grain._grain was compiled."]
    made.unlink()
    break_it(project)
    made, [line] = wheel_in_place(project)
    assert LIBRARY not in names(made)
    assert line.startswith("stylekit_grain._grain is left out. Compiling stylekit_grain._grain failed: ")
    assert "no_such_number" in line
    assert line.endswith("`python setup.py build_ext --inplace` shows the full output.")


@needs_compiler
@pytest.mark.long
def test_asked_for_it_compiles_beside_the_sources_or_fails_with_all_that_the_compiler_says(project: Path) -> None:
    words = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(words, cwd=project, capture_output=True, check=True)
    assert (project / LIBRARY).is_file()
    break_it(project)
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    *everything, error = done.stderr.splitlines()
    assert done.returncode == 1
    assert error.startswith("Error: Compiling stylekit_grain._grain failed: ")
    assert "int number = no_such_number;" in "\n".join(everything)
    assert "Traceback" not in done.stderr


def test_a_missing_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        StylekitError, match=r"^There is no file .*/gone\.cpp, which setup\.py lists as a source of a\._a"
    ):
        setup_arguments("a._a", ["gone.cpp"])


# ---- Loading ----


@needs_compiler
@pytest.mark.slow
def test_installed_it_equals_the_reference_and_does_what_the_contract_says(
    wheel: Path, stylekit_wheel: Path, tmp_path: Path
) -> None:
    fresh = FreshEnvironment(tmp_path / "fresh")
    fresh.install(stylekit_wheel, wheel)
    tests = copy_sources(GRAIN / "tests", tmp_path / "tests")
    live = fresh.run("python", "-m", "pytest", "-W", "error", "-rs", tests, STYLEKIT_KERNELS="auto")
    assert live.returncode == 0, live.stdout
    assert "skipped" not in live.stdout
    left_out = fresh.run("python", "-m", "pytest", "-W", "error", "-rs", tests, STYLEKIT_KERNELS="reference")
    assert left_out.returncode == 0, left_out.stdout
    assert "operation is missing or disabled" in left_out.stdout
    assert "grain" in fresh.run("stylekit", "plugins").stdout


def test_what_was_never_compiled_is_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ("auto", "reference"):
        monkeypatch.setenv("STYLEKIT_KERNELS", asked)
        assert load_library(tmp_path / "_gone.so") is False


def test_a_damaged_library_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "_damaged.so"
    library.write_text("no library")
    monkeypatch.setenv("STYLEKIT_KERNELS", "auto")
    with pytest.warns(
        StylekitWarning, match=r"_damaged\.so failed to load: .*\. Reinstall its plugin\. Until"
    ) as caught:
        assert load_library(library) is False
    assert len(caught) == 1
    monkeypatch.setenv("STYLEKIT_KERNELS", "reference")
    assert load_library(library) is False
    monkeypatch.setenv("STYLEKIT_KERNELS", "fast")
    with pytest.raises(StylekitError, match="Invalid STYLEKIT_KERNELS='fast'"):
        load_library(library)


def test_importing_it_takes_neither_torch_nor_setuptools() -> None:
    code = "import sys, stylekit.native.extension; print(*({'torch', 'numpy', 'setuptools'} & sys.modules.keys()))"
    assert call(sys.executable, "-c", code).stdout.strip() == ""


# ---- CUDA ----

TWICE = """
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
using torch::stable::Tensor;
"""
ON_CPU = """
#include "twice.h"
Tensor twice(const Tensor& x) { return torch::stable::clone(x); }
STABLE_TORCH_LIBRARY(stylekit_twice, m) { m.def("twice(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(stylekit_twice, CPU, m) { m.impl("twice", TORCH_BOX(&twice)); }
"""
ON_CUDA = """
#include "twice.h"
__global__ void add(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x] + x[threadIdx.x]; }
Tensor twice_on_cuda(const Tensor& x) {
  const Tensor y = torch::stable::empty_like(x);
  add<<<1, x.numel()>>>(static_cast<const float*>(x.const_data_ptr()), static_cast<float*>(y.mutable_data_ptr()));
  return y;
}
STABLE_TORCH_LIBRARY_IMPL(stylekit_twice, CUDA, m) { m.impl("twice", TORCH_BOX(&twice_on_cuda)); }
"""
SETUP = """
from setuptools import setup
from stylekit.native import setup_arguments
setup(name="twice", py_modules=[], **setup_arguments("_twice", ["twice.cpp", "twice.cu", "twice.h"]))
"""


@needs_compiler
@pytest.mark.long
@pytest.mark.parametrize("cuda", ["0", "1"])
def test_cuda_files_are_compiled_where_they_can_be(cuda: str, tmp_path: Path) -> None:
    if cuda == "1" and compiling.find_nvcc() is None:
        pytest.skip("there is no nvcc")
    for name, text in (("twice.h", TWICE), ("twice.cpp", ON_CPU), ("twice.cu", ON_CUDA), ("setup.py", SETUP)):
        (tmp_path / name).write_text(text)
    code = """
import sys, torch
from pathlib import Path
from stylekit.native import load_library
live = load_library(Path(sys.argv[1]))
on_cuda = torch._C._dispatch_has_kernel_for_dispatch_key("stylekit_twice::twice", "CUDA")
x = torch.ones(3, device="cuda" if on_cuda and torch.cuda.is_available() else "cpu")
print(live, on_cuda, torch.ops.stylekit_twice.twice(x).tolist() == [1 + x.is_cuda] * 3)
"""
    words = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(words, cwd=tmp_path, env={**os.environ, "STYLEKIT_CUDA": cuda}, check=True)
    told = call(sys.executable, "-W", "error", "-c", code, tmp_path / "_twice.so", STYLEKIT_KERNELS="auto")
    assert told.stdout.split() == ["True", str(cuda == "1"), "True"]
