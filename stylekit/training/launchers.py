"""Launchers that start the processes of a run from outside: torchrun, and SLURM's srun. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class External:
    """The place of this process among those that a launcher has started.

    Attributes:
        rank: its number among all processes
        world: how many processes there are
        local_world: how many of them are on this machine
    """

    rank: int
    world: int
    local_world: int


def external() -> External | None:
    """This process's place, if a launcher has started several; None otherwise."""
    variables = os.environ
    if "TORCHELASTIC_RUN_ID" in variables:
        found = External(*(int(variables[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
        return found if found.world > 1 else None
    # A shell within an allocation knows the number of tasks too, but only srun numbers them; not so for an interactive one.
    interactive = variables.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_PROCID" in variables and int(variables.get("SLURM_NTASKS", 1)) > 1 and not interactive:
        world, nodes = int(variables["SLURM_NTASKS"]), int(variables.get("SLURM_NNODES", 1))
        return External(int(variables["SLURM_PROCID"]), world, world // nodes)
    return None
