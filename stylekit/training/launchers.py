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
        by: torchrun or srun
    """

    rank: int
    world: int
    local_world: int
    by: str


def torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def job() -> str | None:
    """The name that torchrun's job has (``--rdzv-id``); None if it has none, or without torchrun."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if name == "none" else name  # torchrun's default


def restarted(made_by: str | None) -> bool:
    """Whether torchrun starts this process again, after a process of the run failed or nodes joined or left.

    torchrun counts only what failed on the process's own node: where it heard of a failure on another one, or where a node
    joins, the name of the job tells.

    Args:
        made_by: the job that started the run
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0 or (made_by is not None and made_by == job())


def shares_store() -> bool:
    """Whether torchrun's nodes may wait for one another without end after a restart.

    The processes of a new round then get the agents' store of the one before, with the addresses of processes that are gone
    (https://github.com/pytorch/pytorch/issues/135712).
    """
    nodes, restarts = (int(os.environ.get(name, 1)) for name in ("GROUP_WORLD_SIZE", "TORCHELASTIC_MAX_RESTARTS"))
    return torchrun() and nodes > 1 and restarts > 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def external() -> External | None:
    """The position of this process if a launcher started several processes; None otherwise."""
    variables = os.environ
    if torchrun():
        rank, world, local_world = (int(variables[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        return External(rank, world, local_world, "torchrun") if world > 1 else None
    # The script of a job also has SLURM_NTASKS and SLURM_PROCID, but only srun, which starts a step, sets SLURM_STEP_*.
    world, nodes = (int(variables.get(name, 1)) for name in ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"))
    if world > 1:
        return External(int(variables["SLURM_PROCID"]), world, world // nodes, "srun")
    return None
