"""Detects launchers that started the processes of a run: torchrun, or SLURM's srun. Does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class External:
    """The position of this process among the processes that a launcher started.

    Attributes:
        rank: index of this process among all processes
        world: number of processes
        local_world: number of processes on this machine
    """

    rank: int
    world: int
    local_world: int


def external() -> External | None:
    """The position of this process if a launcher started several processes; None otherwise."""
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" in variables:
        position = External(*(int(variables[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
        return position if position.world > 1 else None
    # A shell within an allocation also has SLURM_NTASKS, but only srun sets SLURM_PROCID, even in an interactive shell.
    interactive = variables.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_PROCID" in variables and int(variables.get("SLURM_NTASKS", 1)) > 1 and not interactive:
        world, nodes = int(variables["SLURM_NTASKS"]), int(variables.get("SLURM_NNODES", 1))
        return External(int(variables["SLURM_PROCID"]), world, world // nodes)
    return None
