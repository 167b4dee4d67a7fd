"""Runs a batch by Ray Data: schedules, retries and moves nothing itself."""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from stylekit.cli.batch.worker import FAILED, FATAL, Outcome, Task, Worker
from stylekit.errors import StylekitError, explain, one_line_error
from stylekit.registry.extras import import_extra

LOCAL = "ray"
"""The cluster that is meant without an address: that of ``RAY_ADDRESS``, or one that is started on this machine."""
BATCH, LEAST = 16, 4
"""Pictures that a worker is given at once, at most; and how many times each worker is given some, if there are enough."""
RETRIES = 5
"""How often pictures are given to another worker if theirs was killed."""
EVERY = 0.5
"""Seconds from one report of finished pictures to the next, at least."""
PATIENCE = 10.0
"""Seconds to wait for an address to answer."""


class RayWorker:
    """A worker in the form that Ray Data wants: rows are columns, and cells are pickled.

    Args:
        worker: the worker
        threads: cores that it may use
    """

    def __init__(self, worker: Worker, threads: int) -> None:
        os.environ.setdefault("STYLEKIT_THREADS", str(threads))  # the process is this worker's own
        self.worker = worker

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """What becomes of the pictures of a batch."""
        tasks: list[Task] = [pickle.loads(cell) for cell in batch["task"]]
        return {"outcome": [pickle.dumps(outcome) for outcome in self.worker(tasks)]}


def find_address(cluster: str) -> str:
    """The address that ``ray.init`` gets: that of the environment or ``local`` for ``ray``. It is checked that something
    answers there; Ray itself would wait for minutes.

    Raises:
        StylekitError: Ray is not installed, or it is no address, or nothing answers.
    """
    _import_ray()
    address = os.environ.get("RAY_ADDRESS", "local") if cluster == LOCAL else cluster
    if address in ("local", "auto"):
        return address
    match = re.fullmatch(r"(ray://)?([^:/]+|\[[^\]]+\]):(\d{1,5})", address)
    if match is None or int(match[3]) > 65535 or (cluster != LOCAL and not match[1]):
        raise StylekitError(f"--cluster must be ray, or ray://HOST:PORT for a cluster that runs, not {address!r}.")
    try:
        socket.create_connection((match[2].strip("[]"), int(match[3])), PATIENCE).close()
    except OSError as error:
        raise StylekitError(
            f"Nothing answers at {address}: {error.strerror or error}. Check that the cluster runs, and that its port for "
            "clients, 10001 by default, can be reached."
        ) from error
    return address


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster, which ends with the block if it was started here.

    Args:
        address: from :func:`find_address`

    Raises:
        StylekitError: the cluster cannot be used.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    with redirect_stdout(sys.stderr):  # where Ray tells of workers that were killed; a report in JSON goes to the other
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises many types
            raise StylekitError(_refusal(address, ray.__version__, error)) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _import_ray() -> Any:
    """Ray, with Ray Data.

    Raises:
        StylekitError: it is not installed.
    """
    import_extra("ray.data", "ray", "--cluster")
    return import_extra("ray", "ray", "--cluster")


def run(ray: Any, worker: Worker, tasks: Sequence[Task], workers: int | None, gpu: bool | None) -> Iterator[Outcome]:
    """Stylises the pictures, and yields what becomes of each, in any order.

    Args:
        ray: from :func:`connected`
        worker: what stylises; each process gets its own copy
        tasks: the pictures
        workers: number of workers; None: one for each GPU of the cluster, or each core if no GPU is used
        gpu: whether each worker gets a GPU of its own; None: if the cluster has any

    Raises:
        StylekitError: Ray failed.
    """
    # Ray's client cannot run Ray Data itself, so an actor in the cluster does.
    actor = ray.remote(num_cpus=0)(Runner).remote(worker, tasks, workers, gpu)
    try:
        while outcomes := ray.get(actor.some.remote()):
            yield from outcomes
    except ray.exceptions.RayError as error:
        raise StylekitError(
            f"Ray stopped: {one_line_error(error)[:300]}. Run it again to do what is missing."
        ) from error


class Runner:
    """Runs Ray Data within the cluster, and hands out what becomes of the pictures as it comes.

    Args:
        worker, tasks, workers, gpu: as for :func:`run`
    """

    def __init__(self, worker: Worker, tasks: Sequence[Task], workers: int | None, gpu: bool | None) -> None:
        self._outcomes = self._run(worker, tasks, workers, gpu)

    def some(self) -> list[Outcome]:
        """What has become of some more pictures; empty at the end."""
        found, until = list[Outcome](), time.monotonic() + EVERY
        try:
            for outcome in self._outcomes:
                found.append(outcome)
                if time.monotonic() >= until:
                    break
        except Exception as error:  # Ray raises many types
            found.append(Outcome("", FATAL, explain(error)))
        return found

    def _run(self, worker: Worker, tasks: Sequence[Task], workers: int | None, gpu: bool | None) -> Iterator[Outcome]:
        import ray

        have = ray.cluster_resources()
        cores, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
        gpu = gpus > 0 if gpu is None else gpu
        most, what = (min(cores, gpus), "GPUs") if gpu else (cores, "cores")
        if not most or (workers or 1) > most:
            raise StylekitError(f"The cluster has {most} {what}, which are too few for --workers {workers or 1}.")
        workers = min(workers or most, len(tasks))
        size = max(1, min(BATCH, len(tasks) // (LEAST * workers)))
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.max_errored_blocks = False, -1  # what is missing at the end has failed
        rows = [{"task": pickle.dumps(task)} for task in tasks]
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Ray means to drop the last two arguments in 2.64, but offers no others yet
            # One batch at a time: of what waits for a worker that is killed, Ray would count the deaths as well.
            pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
            outcomes = ray.data.from_items(rows, override_num_blocks=-(-len(tasks) // size)).map_batches(
                RayWorker, batch_size=None, compute=pool, num_cpus=1, num_gpus=int(gpu),
                fn_constructor_args=(worker, 1), max_restarts=-1, max_task_retries=RETRIES,
            )  # fmt: skip
        remaining = {task.target: task for task in tasks}
        for row in outcomes.iter_rows():
            outcome: Outcome = pickle.loads(row["outcome"])
            remaining.pop(outcome.target, None)
            yield outcome
        for target, task in remaining.items():
            reason = f"{task.source}: its worker was killed {RETRIES + 1} times, perhaps for want of memory."
            yield Outcome(target, FAILED, reason)


def _refusal(address: str, own: str, error: Exception) -> str:
    """Why a cluster cannot be used, in one sentence."""
    text = one_line_error(error)
    if re.search("ersion mismatch|ersions differ|incompatible with server", text):
        versions = ", ".join(dict.fromkeys(re.findall(r"(?:Ray|Python): ?[\w.]+", text))) or text[:200]
        return (
            f"The cluster {address} has another version of Ray or Python than this machine, which has Ray {own} ({versions}). "
            "Install the same ones on all machines."
        )
    return f"The cluster {address} cannot be used: {text[:300].rstrip('.')}."
