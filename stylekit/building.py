"""Building the compiled kernels, with ninja, into one library for every torch from 2.10 on.

``setup.py`` uses this too: nothing here needs more than Python, as long as there is no torch to build against.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.files import write_whole

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

CXX_FLAGS = ["-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"]
CUDA_FLAGS = ["-std=c++20", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden"]
TORCH_FLAG = "-DTORCH_TARGET_VERSION=0x020a000000000000"
"""The oldest torch that the library loads into: 2.10."""


def find_compiler() -> str | None:
    """The C++ compiler, for the kernels and for ``--compile``."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((found for name in names if (found := shutil.which(name))), None)


def find_nvcc() -> str | None:
    """The CUDA compiler."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    places = [*(f"{home}/bin/nvcc" for home in homes if home), "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((found for place in places if (found := shutil.which(place))), None)


def cuda_version(nvcc: str) -> str:
    """The toolkit's version, such as 13.0."""
    told = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"release (\d+\.\d+)", told)
    return found[1] if found else ""


def cuda_targets(version: str) -> list[str]:
    """What that toolkit compiles for: architectures, and PTX for those to come."""
    newer = ["sm_100"] if version and int(version.partition(".")[0]) >= 13 else []
    return ["sm_80", "sm_90", *newer, "compute_90"]


def cuda_target_flags(targets: Sequence[str]) -> list[str]:
    """What tells nvcc to compile for them."""
    return [f"-gencode=arch={target.replace('sm_', 'compute_')},code={target}" for target in targets]


def sources() -> Path:
    """The folder ``csrc``: beside this package in a checkout, installed as ``stylekit_csrc`` otherwise."""
    places = (PACKAGE.parent / "stylekit_csrc", PACKAGE.parent / "csrc")
    found = next((place for place in places if (place / "ops.cpp").is_file()), None)
    if found is None:
        raise StylekitError(f"The kernels' sources are not beside {PACKAGE}. Install stylekit anew.")
    return found


def build(folder: Path | None = None, cuda: bool | None = None) -> list[Path]:
    """Compiles the kernels into a folder, where each file appears as a whole, and returns the files.

    If the CUDA files fail to compile, the others are built all the same, and there is a warning, or, where CUDA was asked
    for, an error.

    Args:
        folder: by default the installed package's own, where the kernels are looked for
        cuda: whether to compile for CUDA; by default, if torch itself is built with it and there is an nvcc

    Raises:
        StylekitError: something that it takes is missing, or the compiler finds errors.
    """
    folder = folder or PACKAGE
    cxx, ninja = _tools()
    nvcc = _nvcc(cuda)
    _check_writable(folder)
    with _workspace() as work:
        failure = None
        try:
            made = _compile(work, ninja, cxx, nvcc)
        except StylekitError as error:
            if nvcc is None:
                raise
            made, failure = _compile(work, ninja, cxx, None), error
        for name in made:
            write_whole(folder / name, (work / name).read_bytes())
    if failure:
        message = f"The kernels were built without CUDA. {failure}"
        if cuda:
            raise StylekitError(message) from failure.__cause__
        warn(message)
    return [folder / name for name in made]


def _tools() -> tuple[str, str]:
    """The compiler, and ninja, which runs it."""
    if os.name == "nt":
        raise StylekitError("The kernels cannot be built on Windows yet. torch's own operations do the work there.")
    if importlib.util.find_spec("torch") is None:
        raise StylekitError("The kernels are built against torch, which is not installed here.")
    cxx = find_compiler()
    if cxx is None:
        raise StylekitError("There is no C++ compiler. Install g++ or clang++, or name yours in the variable CXX.")
    packaged = importlib.import_module("ninja").BIN_DIR if importlib.util.find_spec("ninja") else None
    ninja = shutil.which("ninja", path=packaged) or shutil.which("ninja")
    if ninja is None:
        raise StylekitError("There is no ninja, which runs the compiler. Install it: pip install ninja.")
    return cxx, ninja


def _nvcc(asked: bool | None) -> str | None:
    """The CUDA compiler, if CUDA is to be compiled for."""
    import torch

    if asked is False or (asked is None and torch.version.cuda is None):
        return None
    nvcc = find_nvcc()
    if asked and nvcc is None:
        raise StylekitError(
            "CUDA was asked for, but there is no nvcc. Put it on the PATH, name its toolkit in the variable CUDA_HOME, "
            "or leave CUDA out."
        )
    return nvcc


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

    work = PACKAGE.parent / "build" / "kernels"
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield work


def _compile(work: Path, ninja: str, cxx: str, nvcc: str | None) -> list[str]:
    """Compiles in the folder, and returns the names of what is to be installed."""
    steps = _steps(cxx, nvcc)
    text = RULES
    for made, (rule, inputs, words) in steps.items():
        paths = " ".join(re.sub(r"([$ :])", r"$\1", str(path)) for path in inputs)
        text += f"build {made}: {rule} {paths}\n  words = {shlex.join(map(str, words)).replace('$', '$$')}\n"
    (work / "build.ninja").write_text(text)
    done = subprocess.run([ninja, "-C", str(work)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = [line.strip() for line in done.stdout.strip().splitlines()]
        told = re.compile(r"error:|fatal|undefined reference|cannot find|not found")
        errors = list(dict.fromkeys(line.rstrip(".") for line in lines if told.search(line))) or lines[:3]
        raise StylekitError(
            f"The kernels do not compile: {'; '.join(errors[:3])}. `{BUILD} --debug` shows everything."
        ) from RuntimeError(done.stdout)
    return [made for made, (rule, *_) in steps.items() if rule == "link"]


RULES = """\
rule compile
  command = $words -MD -MF $out.d -c $in -o $out
  description = $out
  depfile = $out.d
  deps = gcc
rule link
  command = $words $in -o $out
  description = $out
"""

Words = Sequence[Any]
"""Of a command: texts and paths."""


def _steps(cxx: str, nvcc: str | None) -> dict[str, tuple[str, Words, Words]]:
    """Every file that is made, by which rule, from what, and the words of the command."""
    import torch

    csrc, torch_folder = sources(), Path(torch.__file__).parent
    version = cuda_version(nvcc) if nvcc else ""
    targets = cuda_targets(version) if nvcc else []
    compiler = [cxx, *shlex.split(os.environ.get("CXXFLAGS", ""))]
    cpp: Words = [*compiler, *CXX_FLAGS, "-isystem", torch_folder / "include", TORCH_FLAG]
    mac: Words = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    steps: dict[str, tuple[str, Words, Words]] = {}
    for source in sorted(csrc.glob("cpu/*.cpp")):
        for isa, flags in (ISAS if source.name in PER_ISA else {"any": ""}).items():
            steps[f"{source.stem}.{isa}.o"] = "compile", [source], [*cpp, *flags.split()]
    linker: Words = compiler
    if not nvcc:
        steps["ops.cpu.o"] = "compile", [csrc / "ops.cpp"], cpp
    else:
        steps["ops.cuda.o"] = "compile", [csrc / "ops.cpp"], [*cpp, "-DSTYLEKIT_CUDA", "-DUSE_CUDA"]
        linker = [nvcc, "-ccbin", cxx]  # which knows where its own libraries are
        for source in sorted(csrc.glob("cuda/*.cu")):
            steps[f"{source.stem}.cuda.o"] = "compile", [source], [*linker, *CUDA_FLAGS, *cuda_target_flags(targets)]
    # Without a path to torch's libraries: they are loaded by then.
    to_torch = mac or ["-Xlinker", "--no-as-needed", "-L", torch_folder / "lib", "-ltorch"]
    steps[LIBRARY] = "link", list(steps), [*linker, "-shared", *to_torch]
    if python := _python_headers():
        told = [f'-DSTYLEKIT_CUDA_VERSION="{version}"', f'-DSTYLEKIT_CUDA_TARGETS="{" ".join(targets)}"']
        steps["build.o"] = "compile", [csrc / "build.cpp"], [*cpp, *python, *told]
        name = f"_build{sysconfig.get_config_var('EXT_SUFFIX')}"
        steps[name] = "link", ["build.o", "isa.any.o"], [*compiler, "-shared", *mac]
    return steps


def _python_headers() -> list[str]:
    """Flags for pybind11; empty where it or Python's own headers are missing."""
    python = sysconfig.get_path("include")
    if importlib.util.find_spec("pybind11") is None or not Path(python, "Python.h").is_file():
        return []
    return ["-isystem", importlib.import_module("pybind11").get_include(), "-isystem", python]
