"""Compiled libraries in wheels: commands of setuptools, for the ``setup.py`` of stylekit and of plugins.

An installation never fails because of a library: if it cannot be compiled, it is left out, and one line says why.
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
        name: module name of the library: ``grain._grain`` is the file ``_grain.so`` in the package ``grain``
        build: function of the library's folder, a folder for all other files, and whether to compile for CUDA
        makes: patterns of the names of the files that it creates
        sources: files to add to source distributions
        any_python: whether the files do not depend on Python, so that one wheel suits all versions
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
    """Compiles libraries. Errors are printed, but raised only if the user runs ``build_ext`` explicitly."""

    def run(self) -> None:
        for library in self.extensions:
            package = library.name.rpartition(".")[0]
            in_source = self.editable_mode or self.inplace
            root = self.get_finalized_command("build_py").get_package_dir(package) if in_source else self.build_lib
            folder = Path(root).resolve() if in_source else Path(root, *package.split(".")).resolve()
            for pattern in () if in_source else library.makes:
                for stale in folder.glob(pattern):
                    stale.unlink()  # from an earlier build of the wheel, in case this one fails
            try:
                library.build(folder, Path(self.build_temp, library.name).resolve(), CUDA)
            except Exception as error:  # the package works without the library
                if "build_ext" in self.distribution.commands:
                    raise SystemExit(f"{error.__cause__ or ''}\nError: {error}") from None
                print(f"{library.name} is left out. {error}")
            else:
                print(f"{library.name} was compiled.")

    def get_outputs(self) -> list[str]:
        return []

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class Wheel(bdist_wheel):
    """Builds a wheel for any platform if nothing can be compiled, and for any Python if no library depends on it."""

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
    """The arguments of ``setuptools.setup`` that compile a library."""
    return {"ext_modules": [library], "cmdclass": {"build_ext": BuildLibraries, "bdist_wheel": Wheel}}
