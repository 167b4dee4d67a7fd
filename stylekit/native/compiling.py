"""Compiles operations into libraries for torch's stable ABI, with ninja: one library loads into any torch from 2.10 on.

``setup.py`` imports this module too, so it imports torch only to compile.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from stylekit._files import write_atomic
from stylekit.errors import StylekitError, warn

CXX_FLAGS = ["-std=c++20", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"]
CUDA_FLAGS = ["-std=c++20", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden"]
TORCH_FLAG = "-DTORCH_TARGET_VERSION=0x020a000000000000"
"""The oldest version of torch that the libraries load into: 2.10."""


def find_compiler() -> str | None:
    """The path of the C++ compiler, which operations and ``--compile`` need."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((path for name in names if (path := shutil.which(name))), None)


def find_nvcc() -> str | None:
    """The path of the CUDA compiler."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    names = [*(f"{home}/bin/nvcc" for home in homes if home), "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((path for name in names if (path := shutil.which(name))), None)


def find_tools() -> tuple[str, str]:
    """The paths of the C++ compiler and of ninja, which runs it.

    Raises:
        StylekitError: one of them or torch is missing, or this is Windows.
    """
    if os.name == "nt":
        raise StylekitError("Operations cannot be compiled on Windows yet. stylekit uses plain PyTorch there.")
    if importlib.util.find_spec("torch") is None:
        raise StylekitError("Operations are compiled against torch, which is not installed. Install it first.")
    cxx = find_compiler()
    if cxx is None:
        raise StylekitError("There is no C++ compiler. Install g++ or clang++, or set the environment variable CXX.")
    packaged = importlib.import_module("ninja").BIN_DIR if importlib.util.find_spec("ninja") else None
    ninja = shutil.which("ninja", path=packaged) or shutil.which("ninja")
    if ninja is None:
        raise StylekitError("There is no ninja, which runs the compiler. Install it with `pip install ninja`.")
    return cxx, ninja


def _nvcc(cuda: bool | None) -> str | None:
    """The path of the CUDA compiler; None to compile without CUDA.

    Raises:
        StylekitError: CUDA is requested, and there is no nvcc.
    """
    import torch

    if cuda is False or (cuda is None and torch.version.cuda is None):
        return None
    nvcc = find_nvcc()
    if cuda and nvcc is None:
        raise StylekitError(
            "CUDA was requested, but nvcc was not found. Add it to the PATH, set CUDA_HOME to the folder of its toolkit, or "
            "compile without CUDA."
        )
    return nvcc


def cuda_version(nvcc: str) -> str:
    """The version of the toolkit, such as 13.0; empty if nvcc does not report it."""
    output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"release (\d+\.\d+)", output)
    return match[1] if match else ""


def cuda_targets(version: str) -> list[str]:
    """The targets for that version of the toolkit: GPU architectures, and PTX for future ones."""
    newer = ["sm_100"] if version and int(version.partition(".")[0]) >= 13 else []
    return ["sm_80", "sm_90", *newer, "compute_90"]


def cuda_target_flags(targets: Sequence[str]) -> list[str]:
    """The flags of nvcc for the targets."""
    return [f"-gencode=arch={target.replace('sm_', 'compute_')},code={target}" for target in targets]


Words: TypeAlias = Iterable[Any]
"""Arguments of a command: strings and paths."""


class Plan:
    """The objects to compile and the libraries to link, with their commands.

    Args:
        cxx: path of the C++ compiler
        nvcc: path of the CUDA compiler; None to compile without CUDA
    """

    def __init__(self, cxx: str, nvcc: str | None) -> None:
        import torch

        self.cuda = cuda_version(nvcc) if nvcc else ""
        self.targets = cuda_targets(self.cuda) if nvcc else []
        self.steps: dict[str, tuple[str, list[Any], list[Any]]] = {}
        """For each output file: the rule, the input files, and the arguments of the command."""
        self._cxx = [cxx, *shlex.split(os.environ.get("CXXFLAGS", ""))]
        # nvcc links its own libraries.
        self._linker = [nvcc, "-ccbin", cxx] if nvcc else self._cxx
        self._torch = Path(torch.__file__).parent

    def compile(self, made: str, source: Path, words: Words = ()) -> str:
        """Plans the object file ``made`` of a C++ file, or a CUDA file if its suffix is ``.cu``, and returns its name."""
        cuda = [*self._linker, *CUDA_FLAGS, "-DUSE_CUDA", *cuda_target_flags(self.targets)]
        compiler = cuda if source.suffix == ".cu" else [*self._cxx, *CXX_FLAGS]
        headers = ["-isystem", self._torch / "include", TORCH_FLAG]
        self.steps[made] = "compile", [source.resolve()], [*compiler, *headers, *words]
        return made

    def link(self, made: str, objects: Iterable[str], operations: bool = True) -> None:
        """Plans the shared library ``made``, linked to torch if it has operations."""
        mac = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        # No rpath to torch's libraries: torch is already loaded when this library is.
        torch_flags: list[Any] = mac or ["-Xlinker", "--no-as-needed", "-L", self._torch / "lib", "-ltorch"]
        linker, flags = (self._linker, torch_flags) if operations else (self._cxx, mac)
        self.steps[made] = "link", list(objects), [*linker, "-shared", *flags]


def compile_libraries(
    what: str, fill: Callable[[Plan], None], folder: Path, work: Path, cuda: bool | None = None, more: str = ""
) -> list[Path]:
    """Compiles libraries into a folder, writes each of them atomically, and returns the files.

    If compiling with CUDA fails, the libraries are compiled without it. This raises an error if CUDA was requested,
    otherwise it warns.

    Args:
        what: name of the libraries in messages
        fill: adds to the plan what to compile and link
        folder: the folder of the libraries
        work: the folder of all other files; if it is kept, the next build is incremental
        cuda: whether to compile for CUDA; by default, if torch is built with CUDA and nvcc is found
        more: a sentence for error messages on how to see the full output of the compiler

    Raises:
        StylekitError: a tool is missing, or compiling fails.
    """
    cxx, ninja = find_tools()
    nvcc = _nvcc(cuda)

    def build(nvcc: str | None) -> list[str]:
        plan = Plan(cxx, nvcc)
        fill(plan)
        output = _run(ninja, plan, work)
        if output:
            raise StylekitError(f"Compiling {what} failed: {_errors(output)}. {more}".strip()) from RuntimeError(output)
        return [name for name, (rule, *_) in plan.steps.items() if rule == "link"]

    failure = None
    try:
        libraries = build(nvcc)
    except StylekitError as error:
        if nvcc is None:
            raise
        libraries, failure = build(None), error
    folder.mkdir(parents=True, exist_ok=True)
    for name in libraries:
        write_atomic(folder / name, (work / name).read_bytes())
    if failure:
        message = f"Compiled without CUDA. {failure}"
        if cuda:
            raise StylekitError(message) from failure.__cause__
        warn(message)
    return [folder / name for name in libraries]


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


def _run(ninja: str, plan: Plan, work: Path) -> str:
    """Runs the plan in the folder, and returns the output if that fails, otherwise an empty string."""
    text = RULES
    for made, (rule, inputs, words) in plan.steps.items():
        paths = " ".join(re.sub(r"([$ :])", r"$\1", str(path)) for path in inputs)
        text += f"build {made}: {rule} {paths}\n  words = {shlex.join(map(str, words)).replace('$', '$$')}\n"
    work.mkdir(parents=True, exist_ok=True)
    (work / "build.ninja").write_text(text)
    process = subprocess.run([ninja, "-C", str(work)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return process.stdout if process.returncode else ""


def _errors(output: str) -> str:
    """The first three errors in the output of compilers and linkers."""
    lines = [line.strip() for line in output.strip().splitlines()]
    pattern = re.compile(r"error:|fatal|undefined reference|cannot find|not found")
    return "; ".join(list(dict.fromkeys(line.rstrip(".") for line in lines if pattern.search(line)) or lines)[:3])
