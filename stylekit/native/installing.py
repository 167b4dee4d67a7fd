"""Compiled libraries in wheels: setuptools' commands, for stylekit's own ``setup.py`` and for those of plugins.

An install never fails for a library: where it cannot be compiled it is left out, and one line says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

from stylekit.errors import StylekitError
from stylekit.native.compiling import find_tools

CUDA = {"0": False, "1": True}.get(os.environ.get("STYLEKIT_CUDA", ""))


class Compiled(Extension):
    """A library that a function compiles.

    Args:
        name: where it is put, as a module's name: ``grain._grain`` is ``_grain.so`` in the package ``grain``
        build: compiles into a folder, given with one for everything else, and whether to compile for CUDA
        makes: patterns of the names of the files that it makes
        sources: files that a source distribution carries for it
        any_python: whether what it makes knows nothing of Python, so that one wheel serves all versions
    """

    def __init__(
        self,
        name: str,
        build: Callable[[Path, Path, bool | None], object],
        makes: Sequence[str],
        sources: Sequence[str] = (),
        any_python: bool = True,
    ) -> None:
        super().__init__(name, list(sources))
        self.build, self.makes, self.any_python = build, makes, any_python


class BuildLibraries(build_ext):
    """Compiles libraries. Called by name, as ``python setup.py build_ext --inplace``, it fails where they do not compile."""

    def run(self) -> None:
        for library in self.extensions:
            package = library.name.rpartition(".")[0]
            in_source = self.editable_mode or self.inplace
            home = self.get_finalized_command("build_py").get_package_dir(package) if in_source else self.build_lib
            folder = Path(home).resolve() if in_source else Path(home, *package.split(".")).resolve()
            for pattern in () if in_source else library.makes:
                for stale in folder.glob(pattern):
                    stale.unlink()  # of an earlier build of the wheel; this one may fail
            try:
                library.build(folder, Path(self.build_temp, library.name).resolve(), CUDA)
            except Exception as error:  # whatever it is, the package works without
                if "build_ext" in self.distribution.commands:
                    raise SystemExit(f"{error.__cause__ or ''}\nError: {error}") from None
                print(f"{library.name} is left out. {error}")
            else:
                print(f"{library.name} is compiled.")

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Wheel(bdist_wheel):
    """Makes a wheel for every platform where nothing can be compiled, and for every Python where none is needed."""

    def finalize_options(self) -> None:
        libraries = self.distribution.ext_modules or []
        try:
            find_tools()
        except StylekitError as error:
            for library in libraries:
                print(f"{library.name} is left out. {error}")
            self.distribution.ext_modules = []
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        tag: tuple[str, str, str] = super().get_tag()
        if all(library.any_python for library in self.distribution.ext_modules or []):
            return "py3", "none", tag[2]
        return tag


def setup_arguments_for(library: Compiled) -> dict[str, Any]:
    """What ``setuptools.setup`` takes, to compile a library."""
    return {"ext_modules": [library], "cmdclass": {"build_ext": BuildLibraries, "bdist_wheel": Wheel}}
