"""``stylekit kernels``: compiles the faster fused operations."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from stylekit.cli.output import echo
from stylekit.native import building
from stylekit.native import kernels as compiled

kernels = typer.Typer(help="Compile the faster fused operations.", no_args_is_help=True)


@kernels.command()
def build(
    cuda: Annotated[
        bool | None,
        typer.Option(
            "--cuda/--no-cuda", help="Build for CUDA too, or not. By default, if torch has CUDA and nvcc is available."
        ),
    ] = None,
) -> None:
    """Compile the kernels into the installed package.

    This needs a C++ compiler, and nvcc for CUDA. stylekit uses the kernels from then on, also after an update of torch, unless
    the environment variable STYLEKIT_KERNELS is set to reference. stylekit doctor measures how much faster they are.
    """
    start = time.perf_counter()
    with Console().status("compiling the kernels"):
        files = building.build_kernels(cuda=cuda)
    report = compiled.build_report()
    with_cuda = f", for CUDA {report['cuda']}: {report['architectures']}" if report.get("cuda") else ""
    details = f" for {', '.join(report['isas'])}{with_cuda}, with {report['compiler']}" if report else ""
    seconds = time.perf_counter() - start
    echo(f"Built {files[0]}{details}, in {seconds:.0f} s.")
