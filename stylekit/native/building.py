"""Builds stylekit's own kernels: the source files, the instruction sets, and the folders.

``setup.py`` imports this module too, possibly before any dependency is installed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import platform
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stylekit.errors import StylekitError
from stylekit.native import compiling

PACKAGE = Path(__file__).parent
LIBRARY = "_kernels.so"
BUILD = "stylekit kernels build"

PER_ISA = ("columns.cpp", "gram.cpp", "planes.cpp")
"""Files of ``csrc/cpu`` that are compiled once per instruction set."""

ISAS = {"portable": "-DSTYLEKIT_ISA=portable"}
if platform.machine() in ("x86_64", "AMD64"):
    ISAS["avx2"] = "-DSTYLEKIT_ISA=avx2 -mavx2 -mfma -mf16c"
    ISAS["avx512"] = (
        "-DSTYLEKIT_ISA=avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512"
    )


def sources() -> Path:
    """The folder of the sources: ``csrc`` in a checkout, ``stylekit_csrc`` if installed, next to the package stylekit.

    Raises:
        StylekitError: there is no such folder.
    """
    candidates = (PACKAGE.parents[1] / "stylekit_csrc", PACKAGE.parents[1] / "csrc")
    folder = next((path for path in candidates if (path / "ops.cpp").is_file()), None)
    if folder is None:
        raise StylekitError(f"The kernels' sources are missing in {PACKAGE.parents[1]}. Reinstall stylekit.")
    return folder


def build_kernels(folder: Path | None = None, cuda: bool | None = None) -> list[Path]:
    """Compiles the kernels into a folder with :func:`stylekit.native.compiling.compile_libraries`, and returns the files.

    Args:
        folder: by default that of the installed package, which the kernels are loaded from
        cuda: whether to compile for CUDA; by default, if torch is built with CUDA and nvcc is found

    Raises:
        StylekitError: a tool or the sources are missing, the folder is not writable, or compiling fails.
    """
    folder = folder or PACKAGE
    _check_writable(folder)
    with _workspace() as work:
        return compiling.compile_libraries(
            "the kernels", _plan, folder, work, cuda, f"`{BUILD} --debug` shows the full output."
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StylekitError(
            f"The folder of the kernels, {folder}, is not writable: {error.strerror}. Run this as the user who installed "
            "stylekit, or install it into your own environment."
        ) from error


@contextlib.contextmanager
def _workspace() -> Iterator[Path]:
    """The build folder, locked for one process at a time. A checkout keeps it, so that the next build is incremental."""
    if sources().name == "stylekit_csrc":
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    import fcntl

    work = PACKAGE.parents[1] / "build" / "kernels"
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield work


def _plan(plan: compiling.Plan) -> None:
    """Plans the inner loops of each instruction set, the operations, and a module that reports how they were built."""
    csrc = sources()
    objects = [
        plan.compile(f"{source.stem}.{isa}.o", source, flags.split())
        for source in sorted(csrc.glob("cpu/*.cpp"))
        for isa, flags in (ISAS if source.name in PER_ISA else {"any": ""}).items()
    ]
    if plan.cuda:
        objects += [plan.compile(f"{source.stem}.cuda.o", source) for source in sorted(csrc.glob("cuda/*.cu"))]
    objects.append(
        plan.compile("ops.cuda.o", csrc / "ops.cpp", ["-DSTYLEKIT_CUDA", "-DUSE_CUDA"])
        if plan.cuda
        else plan.compile("ops.cpu.o", csrc / "ops.cpp")
    )
    plan.link(LIBRARY, objects)
    if python := _python_headers():
        flags = [f'-DSTYLEKIT_CUDA_VERSION="{plan.cuda}"', f'-DSTYLEKIT_CUDA_TARGETS="{" ".join(plan.targets)}"']
        report = plan.compile("build.o", csrc / "build.cpp", [*python, *flags])
        plan.link(f"_build{sysconfig.get_config_var('EXT_SUFFIX')}", [report, "isa.any.o"], operations=False)


def _python_headers() -> list[str]:
    """Compiler flags for pybind11; empty if pybind11 or Python's headers are missing."""
    include = sysconfig.get_path("include")
    if importlib.util.find_spec("pybind11") is None or not Path(include, "Python.h").is_file():
        return []
    return ["-isystem", importlib.import_module("pybind11").get_include(), "-isystem", include]
