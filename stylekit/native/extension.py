"""Compiled operations of a plugin: its ``setup.py`` compiles them into its wheel, and the plugin loads them on import.

The C++ files register the operations with ``STABLE_TORCH_LIBRARY``, through torch's stable ABI: one library loads into
any torch from 2.10 on, under any Python. ``examples/grain`` is a complete plugin with an operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.native import compiling, kernels


def setup_arguments(library: str, sources: Sequence[str]) -> dict[str, Any]:
    """The arguments of ``setuptools.setup`` that compile a library of operations into the wheel of a plugin::

        from setuptools import setup
        from stylekit.native import setup_arguments

        setup(**setup_arguments("grain._grain", ["grain/grain.cpp"]))

    An installation never fails because of the library: without a compiler, or with errors in the sources, it is left
    out, and a line of ``pip install -v`` says why. ``python setup.py build_ext --inplace`` compiles it next to the
    sources, and if that fails, prints the full output of the compiler. CUDA files are compiled if torch is built with
    CUDA and nvcc is found, or if ``STYLEKIT_CUDA=1`` is set in the environment; ``USE_CUDA`` is then defined in the C++
    files.

    Args:
        library: module name of the library: ``grain._grain`` is the file ``_grain.so`` in the package ``grain``
        sources: the C++ (``.cpp``) and CUDA (``.cu``) files, relative to ``setup.py``, and the headers that they
            include; all are added to source distributions

    Raises:
        StylekitError: a source file is missing.
    """
    from stylekit.native.installing import Compiled, setup_arguments_for

    missing = [source for source in sources if not Path(source).is_file()]
    if missing:
        raise StylekitError(
            f"There is no file {Path(missing[0]).resolve()}, which setup.py lists as a source of {library}."
        )
    file = f"{library.rpartition('.')[2]}.so"
    cpp, cu = ([Path(source) for source in sources if source.endswith(suffix)] for suffix in (".cpp", ".cu"))

    def fill(plan: compiling.Plan) -> None:
        files = cpp + (cu if plan.cuda else [])
        flags = ["-DUSE_CUDA"] if plan.cuda else []
        objects = [plan.compile(f"{number}.{path.name}.o", path, flags) for number, path in enumerate(files)]
        plan.link(file, objects)

    def build(folder: Path, work: Path, cuda: bool | None) -> None:
        more = "`python setup.py build_ext --inplace` shows the full output."
        compiling.compile_libraries(library, fill, folder, work, cuda if cu else False, more)

    return setup_arguments_for(Compiled(library, build, [file], sources))


def load_library(library: Path) -> bool:
    """Registers the operations of a plugin's library with torch. Call it once, when the plugin is imported::

        LIVE = load_library(Path(__file__).with_name("_grain.so"))

    If it returns False, the plugin uses a reference in plain PyTorch instead. A library that exists but fails to load
    causes a warning; one that was never compiled does not.

    Args:
        library: path of the file, which is next to the plugin's module

    Returns:
        Whether the operations are registered; always False under ``STYLEKIT_KERNELS=reference``.

    Raises:
        StylekitError: ``STYLEKIT_KERNELS`` is neither ``auto`` nor ``reference``.
    """
    if kernels.requested_kernels() == "reference" or not library.is_file():
        return False
    import torch

    try:
        torch.ops.load_library(library)
    except (OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        warn(f"{library} failed to load: {reason}. Reinstall its plugin. Until then it uses plain PyTorch.")
        return False
    return True
