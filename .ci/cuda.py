"""Compiles the CUDA kernels for every target. Fails on a compiler warning, or if registers spill to memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stylekit.native import building, compiling

STRICT = ["-Werror", "all-warnings", "-Xptxas", "-v,-warn-spills"]
KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def compile_one(nvcc: str, source: Path, target: str) -> subprocess.CompletedProcess[str]:
    flags = [*compiling.CUDA_FLAGS, *compiling.cuda_target_flags([target]), *STRICT]
    command: list[str | Path] = [nvcc, *flags, "-c", source, "-o", os.devnull]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def demangle(name: str) -> str:
    """A kernel's name without namespaces and parameters."""
    demangled = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout.strip()
    demangled = re.sub(r"\(anonymous namespace\)::|stylekit::|cuda::|^void ", "", demangled)
    return re.sub(r"\((?!int\)|bool\)).*$", "", demangled)


def main() -> int:
    nvcc = compiling.find_nvcc()
    if nvcc is None:
        print("CUDA kernels: skipped, because nvcc was not found")
        return 0
    sources = sorted(building.sources().glob("cuda/*.cu"))
    targets = compiling.cuda_targets(compiling.cuda_version(nvcc))
    jobs = [(source, target) for source in sources for target in targets]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_one(nvcc, *job), jobs))
    registers: dict[str, dict[str, str]] = defaultdict(dict)
    failed = False
    for (source, target), result in zip(jobs, results, strict=True):
        if result.returncode:
            print(f"{source.name} does not compile for {target}:\n{result.stdout}")
            failed = True
        for kernel in KERNEL.finditer(result.stdout):
            spilled = int(kernel["stores"]) + int(kernel["loads"])
            note = f", {spilled} B spilled" if spilled else ""
            registers[demangle(kernel["name"])][target] = kernel["registers"] + note
            failed |= spilled > 0
    columns = [target for target in targets if target.startswith("sm_")]
    print(*columns, " registers per thread")
    for name, by_target in sorted(registers.items()):
        print(*(f"{by_target.get(target, '-'):>{len(target)}}" for target in columns), f" {name}")
    print(f"CUDA kernels: {len(registers)} compiled for {', '.join(targets)}{', with errors' if failed else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
