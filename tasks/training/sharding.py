"""Shards: parts of a task's work, done by other processes or machines through Prefect and Dask.

What is divided is told by a context and not by an argument of a task: shards are computed as the
whole would have been, clip by clip in the same batches, so that they change nothing about a result
and a remembered one holds for any number of them.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect import Task

from models.errors import InvalidInputError

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

ONCE: dict[str, Any] = {"cache_policy": None, "persist_result": False}
"""Options of a ``@task`` that is one shard: the task it belongs to remembers the whole."""

MALLOC, KEPT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), 2**30
"""What glibc is told of freed memory in our own workers: to keep it. Dask has it give all back, and
then two workers are slower than one process, busy with being given fresh pages."""


@dataclass(frozen=True)
class Workers:
    """Who computes shards, and how many there are to be."""

    runner: "TaskRunner[Any]"
    num: int


_workers: ContextVar[Workers | None] = ContextVar("workers", default=None)


@contextmanager
def divided(num: int, scheduler: str | None = None) -> Iterator[None]:
    """Have shards computed by ``num`` processes in the block; by this one alone if that is 1.

    Args:
        num: Shards, at least 1.
        scheduler: Address of a Dask cluster whose workers stand in a clone of this repository and
            reach the same stores; else as many processes of one thread are started here.

    Raises:
        InvalidInputError: If the numbers make no sense, or Prefect's Dask runner is not installed.
    """
    if num < 1 or (scheduler and num == 1):
        raise InvalidInputError(
            f"shards must be at least 1, and at least 2 with a scheduler, got {num}."
        )
    if num == 1:
        yield
        return
    with _runner(num, scheduler) as runner:
        token = _workers.set(Workers(runner, num))
        try:
            yield
        finally:
            _workers.reset(token)


def num() -> int:
    """How many shards there are to be; 1 if nothing is divided."""
    workers = _workers.get()
    return workers.num if workers else 1


def each(shard: Task[Any, Any], parts: Sequence[Any], **common: Any) -> list[Any]:
    """Results of a task for every part, in their order; the first failure is raised.

    Args:
        shard: Takes a part as its argument ``part``.
        parts: What makes the shards differ.
        common: Arguments that are the same for all of them.
    """
    workers = _workers.get()
    assert workers is not None
    futures = [workers.runner.submit(shard, parameters={"part": part, **common}) for part in parts]
    return [future.result() for future in futures]


def cut(weights: Sequence[int], num: int) -> list[range]:
    """Consecutive places in at most ``num`` ranges of about the same weight, none of them empty."""
    total, done, start = sum(weights), 0, 0
    ranges: list[range] = []
    for place, weight in enumerate(weights):
        done += weight
        full = len(ranges) < num - 1 and done * num >= total * (len(ranges) + 1)
        if full or place == len(weights) - 1:
            ranges.append(range(start, place + 1))
            start = place + 1
    return ranges


def _runner(num: int, scheduler: str | None) -> "TaskRunner[Any]":
    try:
        import dask
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise InvalidInputError(
            "Shards need Prefect's Dask runner. Install unseen[scale]."
        ) from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of every connection
    if scheduler:
        return DaskTaskRunner(address=scheduler)
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": KEPT for name in MALLOC})
    local = {"n_workers": num, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=local)
