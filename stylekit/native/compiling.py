"""Compiling operations into libraries for torch's stable ABI, with ninja: one library for every torch from 2.10 on.

``setup.py`` uses this too: nothing here needs more than Python, as long as there is no torch to compile against.
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
"""The oldest torch that the libraries load into: 2.10."""


def find_compiler() -> str | None:
    """The C++ compiler, for operations and for ``--compile``."""
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((found for name in names if (found := shutil.which(name))), None)


def find_nvcc() -> str | None:
    """The CUDA compiler."""
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    places = [*(f"{home}/bin/nvcc" for home in homes if home), "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((found for place in places if (found := shutil.which(place))), None)


def find_tools() -> tuple[str, str]:
    """The C++ compiler, and ninja, which runs it.

    Raises:
        StylekitError: something that compiling takes is missing.
    """
    if os.name == "nt":
        raise StylekitError("Operations cannot be compiled on Windows yet. torch's own do the work there.")
    if importlib.util.find_spec("torch") is None:
        raise StylekitError("Operations are compiled against torch, which is not installed here.")
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


Words: TypeAlias = Iterable[Any]
"""Of a command: texts and paths."""


class Plan:
    """What is compiled, and linked, with the tools that there are.

    Args:
        cxx: the C++ compiler
        nvcc: the CUDA compiler, or none to compile without CUDA
    """

    def __init__(self, cxx: str, nvcc: str | None) -> None:
        import torch

        self.cuda = cuda_version(nvcc) if nvcc else ""
        self.targets = cuda_targets(self.cuda) if nvcc else []
        self.steps: dict[str, tuple[str, list[Any], list[Any]]] = {}
        """Of every file that is made: by which rule, from what, and the words of the command."""
        self._cxx = [cxx, *shlex.split(os.environ.get("CXXFLAGS", ""))]
        # nvcc knows where its own libraries are.
        self._linker = [nvcc, "-ccbin", cxx] if nvcc else self._cxx
        self._torch = Path(torch.__file__).parent

    def compile(self, made: str, source: Path, words: Words = ()) -> str:
        """Plans an object, named ``made``, of a C++ or, by its suffix ``.cu``, of a CUDA file; returns its name."""
        on_cuda = [*self._linker, *CUDA_FLAGS, "-DUSE_CUDA", *cuda_target_flags(self.targets)]
        compiler = on_cuda if source.suffix == ".cu" else [*self._cxx, *CXX_FLAGS]
        headers = ["-isystem", self._torch / "include", TORCH_FLAG]
        self.steps[made] = "compile", [source.resolve()], [*compiler, *headers, *words]
        return made

    def link(self, made: str, objects: Iterable[str], operations: bool = True) -> None:
        """Plans a library: of operations for torch, or of something else."""
        mac = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        # Without a path to torch's libraries: they are loaded by then.
        to_torch: list[Any] = mac or ["-Xlinker", "--no-as-needed", "-L", self._torch / "lib", "-ltorch"]
        linker, more = (self._linker, to_torch) if operations else (self._cxx, mac)
        self.steps[made] = "link", list(objects), [*linker, "-shared", *more]


def compile_libraries(
    what: str, fill: Callable[[Plan], None], folder: Path, work: Path, cuda: bool | None = None, more: str = ""
) -> list[Path]:
    """Compiles libraries into a folder, where each appears as a whole, and returns the files.

    If it does not compile with CUDA, it is compiled without, and there is a warning, or, where CUDA was asked for, an
    error.

    Args:
        what: the libraries' name in sentences
        fill: plans what is compiled and linked
        folder: where the libraries are put
        work: where everything else is put; if it is kept, the next build compiles only what changed
        cuda: whether to compile for CUDA; by default, if torch itself is built with it and there is an nvcc
        more: a sentence that says where the compiler's whole output is shown

    Raises:
        StylekitError: something that it takes is missing, or the compiler finds errors.
    """
    cxx, ninja = find_tools()
    nvcc = _nvcc(cuda)

    def compiled(nvcc: str | None) -> list[str]:
        plan = Plan(cxx, nvcc)
        fill(plan)
        told = _run(ninja, plan, work)
        if told:
            raise StylekitError(f"Compiling {what} failed: {_errors(told)}. {more}".strip()) from RuntimeError(told)
        return [made for made, (rule, *_) in plan.steps.items() if rule == "link"]

    failure = None
    try:
        made = compiled(nvcc)
    except StylekitError as error:
        if nvcc is None:
            raise
        made, failure = compiled(None), error
    folder.mkdir(parents=True, exist_ok=True)
    for name in made:
        write_atomic(folder / name, (work / name).read_bytes())
    if failure:
        message = f"Compiled without CUDA. {failure}"
        if cuda:
            raise StylekitError(message) from failure.__cause__
        warn(message)
    return [folder / name for name in made]


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
    """Makes in the folder what is planned, and returns what was told if that failed."""
    text = RULES
    for made, (rule, inputs, words) in plan.steps.items():
        paths = " ".join(re.sub(r"([$ :])", r"$\1", str(path)) for path in inputs)
        text += f"build {made}: {rule} {paths}\n  words = {shlex.join(map(str, words)).replace('$', '$$')}\n"
    work.mkdir(parents=True, exist_ok=True)
    (work / "build.ninja").write_text(text)
    done = subprocess.run([ninja, "-C", str(work)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode else ""


def _errors(told: str) -> str:
    """The first errors in what compilers and linkers told."""
    lines = [line.strip() for line in told.strip().splitlines()]
    wrong = re.compile(r"error:|fatal|undefined reference|cannot find|not found")
    return "; ".join(list(dict.fromkeys(line.rstrip(".") for line in lines if wrong.search(line)) or lines)[:3])
