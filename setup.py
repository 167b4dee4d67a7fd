"""Compiles the kernels into the package if torch and a compiler are installed. Otherwise it is installed without them."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent))

from stylekit.native import building, installing  # these import only what a build environment has

MAKES = [building.LIBRARY, "_build*.so"]
KERNELS = installing.Compiled(
    "stylekit.native._kernels", lambda folder, work, cuda: building.build_kernels(folder, cuda), MAKES, any_python=False
)
setup(**installing.setup_arguments_for(KERNELS))
