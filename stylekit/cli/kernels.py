"""``stylekit kernels``: compiling the operations that are quicker so."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from stylekit.cli.output import echo
from stylekit.native import building
from stylekit.native import kernels as compiled

kernels = typer.Typer(help="Compile the operations that are quicker compiled.", no_args_is_help=True)


@kernels.command()
def build(
    cuda: Annotated[
        bool | None,
        typer.Option(
            "--cuda/--no-cuda", help="Also for CUDA, or not; left out: if torch has CUDA and there is an nvcc."
        ),
    ] = None,
) -> None:
    """Compile the kernels into the installed package.

    This takes a C++ compiler, and nvcc for CUDA. They are used from then on, also after an update of torch;
    STYLEKIT_KERNELS=reference in the environment leaves them out. What they bring is measured by stylekit doctor.
    """
    began = time.perf_counter()
    with Console().status("compiling the kernels"):
        files = building.build_kernels(cuda=cuda)
    told = compiled.build_report()
    with_cuda = f", for CUDA {told['cuda']}: {told['architectures']}" if told.get("cuda") else ""
    what = f" for {', '.join(told['isas'])}{with_cuda}, with {told['compiler']}" if told else ""
    seconds = time.perf_counter() - began
    echo(f"Built {files[0]}{what}, in {seconds:.0f} s.")
