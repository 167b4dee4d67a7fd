"""How the program prepares its process, tested in subprocesses."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest

GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")

# In a prepared process: the blocks that glibc maps one by one (hblks) while a large block is allocated, and whether freed
# memory is kept.
PROGRAM = """
import ctypes, os, sys
from stylekit.cli.process import prepare

class Counts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Counts
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
prepare()
before = libc.mallinfo2()
block = libc.malloc(1 << 27)
held = libc.mallinfo2()
libc.free(block)
freed = libc.mallinfo2()
print(held.hblks - before.hblks, freed.arena - before.arena > 1 << 26, os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
"""


def run(**variables: str) -> str:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GLIBC_TUNABLES")
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not GLIBC, reason="it reads the statistics of glibc's allocator")
def test_freed_memory_is_kept_unless_the_user_chose_otherwise() -> None:
    assert run() == "0 True PASSIVE False"
    assert run(GLIBC_TUNABLES="glibc.malloc.arena_max=8") == "1 False PASSIVE False"
    assert run(MALLOC_MMAP_THRESHOLD_="65536") == "1 False PASSIVE False"
    assert run(MALLOC_TRIM_THRESHOLD_="1000000", OMP_WAIT_POLICY="ACTIVE") == "1 False ACTIVE False"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6])
def test_ctrl_c_while_the_program_starts_ends_it_without_a_traceback(seconds: float) -> None:
    line = [sys.executable, "-m", "stylekit", "stylize", "nowhere.png", "--model", "color-pca", "-o", "out.png"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        time.sleep(seconds)
        started.send_signal(signal.SIGINT)
        _, error = started.communicate(timeout=60)
    assert "Traceback" not in error
    assert started.returncode in (130, -signal.SIGINT, 2), error  # 2: it was faster, and reported the missing image
