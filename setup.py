"""Compiles the kernels into the package where torch and a compiler are there already; an install never fails for them."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))

from stylekit.native import building, installing  # which import nothing that may be missing here

MAKES = [building.LIBRARY, "_build*.so"]
KERNELS = installing.Compiled(
    "stylekit.native._kernels", lambda folder, work, cuda: building.build_kernels(folder, cuda), MAKES, any_python=False
)
setup(**installing.setup_arguments_for(KERNELS))
