"""The processor's kernels under AddressSanitizer and UBSan, for every instruction set, on the emulation's samples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylekit.native import building

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kernels, built with the sanitizers in a checkout of their own."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++, which compiles the kernels with sanitizers")
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "csrc", checkout / "csrc")
    (checkout / "stylekit" / "native").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "PACKAGE", checkout / "stylekit" / "native")
        patch.setenv("CXX", "g++")
        patch.setenv("CXXFLAGS", "-g1 -fsanitize=address,undefined -fno-sanitize-recover=all")
        building.build_kernels(cuda=False)
    yield checkout / "stylekit" / "native" / building.LIBRARY
    shutil.rmtree(checkout)


@pytest.mark.long
@pytest.mark.parametrize("isa", building.ISAS)
def test_no_instruction_set_touches_what_is_not_its_own(library: Path, isa: str) -> None:
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "OMP_NUM_THREADS": "1",
        "STYLEKIT_ISA": isa,
    }
    words = [sys.executable, ROOT / "tests" / "native" / "test_emulation.py", library, "stylekit"]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    failures = [line for line in done.stdout.splitlines() if "FAILED" in line]
    assert done.returncode == 0, "\n".join(failures or done.stdout.splitlines()[-60:])
    assert done.stdout.count(": ok (") > 200
