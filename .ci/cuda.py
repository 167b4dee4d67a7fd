"""Compiles the CUDA kernels for every target, and fails on a warning or on registers that spill into memory."""

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
    words = [nvcc, *flags, "-c", source, "-o", os.devnull]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def readable(name: str) -> str:
    """A kernel's name without its namespaces and arguments."""
    told = subprocess.run(["c++filt", name], capture_output=True, text=True, check=True).stdout.strip()
    told = re.sub(r"\(anonymous namespace\)::|stylekit::|cuda::|^void ", "", told)
    return re.sub(r"\((?!int\)|bool\)).*$", "", told)


def main() -> int:
    nvcc = compiling.find_nvcc()
    if nvcc is None:
        print("CUDA kernels: skipped: no nvcc")
        return 0
    sources = sorted(building.sources().glob("cuda/*.cu"))
    targets = compiling.cuda_targets(compiling.cuda_version(nvcc))
    jobs = [(source, target) for source in sources for target in targets]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda job: compile_one(nvcc, *job), jobs))
    used: dict[str, dict[str, str]] = defaultdict(dict)
    failed = False
    for (source, target), compiled in zip(jobs, done, strict=True):
        if compiled.returncode:
            print(f"{source.name} for {target} fails:\n{compiled.stdout}")
            failed = True
        for kernel in KERNEL.finditer(compiled.stdout):
            spilled = int(kernel["stores"]) + int(kernel["loads"])
            used[readable(kernel["name"])][target] = kernel["registers"] + (f", {spilled} B spilled" if spilled else "")
            failed |= spilled > 0
    shown = [target for target in targets if target.startswith("sm_")]
    print(*shown, " registers a thread")
    for name, registers in sorted(used.items()):
        print(*(f"{registers.get(target, '-'):>{len(target)}}" for target in shown), f" {name}")
    print(f"CUDA kernels: {len(used)} compiled for {', '.join(targets)}{', and there are errors' if failed else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
