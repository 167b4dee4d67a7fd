"""Building stylekit's own kernels: which files, for which instruction sets, from where and to where.

``setup.py`` uses this too, before anything but Python may be there.
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
"""Files of ``csrc/cpu`` that are compiled once for every instruction set."""

ISAS = {"portable": "-DSTYLEKIT_ISA=portable"}
if platform.machine() in ("x86_64", "AMD64"):
    ISAS["avx2"] = "-DSTYLEKIT_ISA=avx2 -mavx2 -mfma -mf16c"
    ISAS["avx512"] = (
        "-DSTYLEKIT_ISA=avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprefer-vector-width=512"
    )


def sources() -> Path:
    """The folder ``csrc``: beside this package in a checkout, installed as ``stylekit_csrc`` otherwise."""
    places = (PACKAGE.parents[1] / "stylekit_csrc", PACKAGE.parents[1] / "csrc")
    found = next((place for place in places if (place / "ops.cpp").is_file()), None)
    if found is None:
        raise StylekitError(f"The kernels' sources are not beside {PACKAGE}. Install stylekit anew.")
    return found


def build_kernels(folder: Path | None = None, cuda: bool | None = None) -> list[Path]:
    """Compiles the kernels into a folder, as :func:`stylekit.native.compiling.compile_libraries` does, and returns the files.

    Args:
        folder: by default the installed package's own, where the kernels are looked for
        cuda: whether to compile for CUDA; by default, if torch itself is built with it and there is an nvcc

    Raises:
        StylekitError: something that it takes is missing, or the compiler finds errors.
    """
    folder = folder or PACKAGE
    _check_writable(folder)
    with _workspace() as work:
        return compiling.compile_libraries(
            "the kernels", _fill, folder, work, cuda, f"`{BUILD} --debug` shows everything."
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StylekitError(
            f"The kernels belong into {folder}, which cannot be written: {error.strerror}. Run this as the user who "
            "installed stylekit, or install it into an environment of your own."
        ) from error


@contextlib.contextmanager
def _workspace() -> Iterator[Path]:
    """A folder to compile in, for one process at a time. A checkout keeps it, so that the next build is quick."""
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


def _fill(plan: compiling.Plan) -> None:
    """Every instruction set's inner loops, the operations, and a module that tells how they were built."""
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
        told = [f'-DSTYLEKIT_CUDA_VERSION="{plan.cuda}"', f'-DSTYLEKIT_CUDA_TARGETS="{" ".join(plan.targets)}"']
        teller = plan.compile("build.o", csrc / "build.cpp", [*python, *told])
        plan.link(f"_build{sysconfig.get_config_var('EXT_SUFFIX')}", [teller, "isa.any.o"], operations=False)


def _python_headers() -> list[str]:
    """Flags for pybind11; empty where it or Python's own headers are missing."""
    python = sysconfig.get_path("include")
    if importlib.util.find_spec("pybind11") is None or not Path(python, "Python.h").is_file():
        return []
    return ["-isystem", importlib.import_module("pybind11").get_include(), "-isystem", python]
