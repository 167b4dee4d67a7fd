"""Compiles the kernels into the package where torch and a compiler are there already; an install never fails for them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent))

from stylekit import building  # which imports nothing that may be missing here

CUDA = {"0": False, "1": True}.get(os.environ.get("STYLEKIT_CUDA", ""))


class BuildKernels(build_ext):
    def run(self) -> None:
        folder = building.PACKAGE if self.editable_mode or self.inplace else Path(self.build_lib, "stylekit")
        for stale in () if folder == building.PACKAGE else [*folder.glob("_kernels*.so"), *folder.glob("_build*.so")]:
            stale.unlink()  # of an earlier build of the wheel; this one may fail
        try:
            building.build(folder, CUDA)
        except Exception as error:  # whatever it is, stylekit works without
            print(f"stylekit: installed without compiled kernels. {error}")
        else:
            print("stylekit: installed with compiled kernels.")

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return []


able = building.find_compiler() is not None and importlib.util.find_spec("torch") is not None
if not able:
    print(f"stylekit: Python only, without torch or a compiler. `{building.BUILD}` compiles the kernels later.")
# What has an extension is installed for one platform.
setup(ext_modules=[Extension("stylekit._kernels", [])] if able else [], cmdclass={"build_ext": BuildKernels})
