"""A plugin's own compiled operations: its ``setup.py`` compiles them into its wheel, and it loads them when imported.

The C++ files register the operations with ``STABLE_TORCH_LIBRARY``, through torch's stable ABI: one library loads into
every torch from 2.10 on, under every Python. ``examples/grain`` is a whole plugin with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylekit.errors import StylekitError, warn
from stylekit.native import compiling, kernels


def setup_arguments(library: str, sources: Sequence[str]) -> dict[str, Any]:
    """What a plugin's ``setup.py`` gives to ``setuptools.setup``, to compile a library of operations into its wheel::

        from setuptools import setup
        from stylekit.native import setup_arguments

        setup(**setup_arguments("grain._grain", ["grain/grain.cpp"]))

    The install never fails for the library: without a compiler, or with errors in the sources, it is left out, and a
    line of ``pip install -v`` says why. ``python setup.py build_ext --inplace`` compiles it beside the sources, and
    fails with everything that the compiler says. CUDA files are compiled if torch is built with CUDA and there is an
    nvcc, or, with ``STYLEKIT_CUDA=1`` in the environment, in any case; the C++ files see ``USE_CUDA`` defined then.

    Args:
        library: where the library is put, as a module's name: ``grain._grain`` is ``_grain.so`` in the package ``grain``
        sources: the C++ (``.cpp``) and CUDA (``.cu``) files, relative to ``setup.py``, and headers that they include,
            which source distributions carry too

    Raises:
        StylekitError: a source file is missing.
    """
    from stylekit.native.installing import Compiled, setup_arguments_for

    missing = [source for source in sources if not Path(source).is_file()]
    if missing:
        raise StylekitError(
            f"There is no file {Path(missing[0]).resolve()}, which setup.py names as a source of {library}."
        )
    file = f"{library.rpartition('.')[2]}.so"
    cpp, on_cuda = ([Path(source) for source in sources if source.endswith(suffix)] for suffix in (".cpp", ".cu"))

    def fill(plan: compiling.Plan) -> None:
        code = cpp + (on_cuda if plan.cuda else [])
        words = ["-DUSE_CUDA"] if plan.cuda else []
        objects = [plan.compile(f"{number}.{path.name}.o", path, words) for number, path in enumerate(code)]
        plan.link(file, objects)

    def build(folder: Path, work: Path, cuda: bool | None) -> None:
        more = "`python setup.py build_ext --inplace` shows everything."
        compiling.compile_libraries(library, fill, folder, work, cuda if on_cuda else False, more)

    return setup_arguments_for(Compiled(library, build, [file], sources))


def load_library(library: Path) -> bool:
    """Registers the operations in a plugin's library with torch. To be called once, when the plugin is imported::

        LIVE = load(Path(__file__).with_name("_grain.so"))

    Where they are not live, the plugin does the same in plain torch. A library that is there and does not load costs one
    warning; one that was never compiled costs none.

    Args:
        library: the file, which lies beside the plugin's module

    Returns:
        Whether the operations are there; False in any case under ``STYLEKIT_KERNELS=reference``.

    Raises:
        StylekitError: ``STYLEKIT_KERNELS`` is something else than ``auto`` or ``reference``.
    """
    if kernels.requested_kernels() == "reference" or not library.is_file():
        return False
    import torch

    try:
        torch.ops.load_library(library)
    except (OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        warn(f"{library} fails to load: {reason}. Install its plugin anew; until then plain torch does the work.")
        return False
    return True
