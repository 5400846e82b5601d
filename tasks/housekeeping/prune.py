"""Prune: take away what is old and what no registered version refers to."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlflow import MlflowClient

from models.contracts import Progress, silent
from models.errors import InvalidInputError, RegistryError
from tasks.housekeeping import references, stale_files, stale_flows, stale_objects, stale_runs
from tasks.housekeeping.stale import Kind
from tasks.platform.locks import Lock
from tasks.registry import mlflow_store
from tasks.training import crash_remains

DAY = 86400.0
SHORTEST = 1
"""Days that everything is kept at least, so that nothing under way is ever touched."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What one pruning took away, or would take away."""

    keep_days: int
    deleted: bool
    """False if it was only looked for."""
    kinds: tuple[Kind, ...]
    notes: tuple[str, ...]


def prune(
    keep_days: int, *, delete: bool, now: float | None = None, progress: Progress = silent
) -> Pruned:
    """Find what is old and unused, and take it away if asked to.

    Whatever a registered version, its lineage or a branch or tag of git refers to stays, and so
    does whatever is younger. Each thing goes at once or not at all; what an interrupted pruning has
    left, the next one takes.

    Args:
        keep_days: Days for which everything is kept, at least 1.
        delete: Take it away; else only look.
        now: Seconds since 1970 that ages are counted from; the present time if None.
        progress: Shows what is taken away.

    Raises:
        InvalidInputError: If ``keep_days`` is too small.
        RegistryError: If something is being trained.
        DataError: If DVC's cache is corrupt.
    """
    if keep_days < SHORTEST:
        raise InvalidInputError(f"keep_days must be at least {SHORTEST}, got {keep_days}.")
    client = mlflow_store.client()
    cutoff = (now or time.time()) - keep_days * DAY
    if not delete:
        kinds, notes = _find(client, cutoff)
    else:
        with lock():
            crash_remains.mark_dead()
            _refuse_while_training(client)
            kinds, notes = _find(client, cutoff)
            for kind in kinds:
                for each in progress(kind.stale, total=len(kind.stale), description=kind.title):
                    each.remove()
    return Pruned(keep_days=keep_days, deleted=delete, kinds=kinds, notes=notes)


def lock() -> Lock:
    """Held while things are taken away, and while a backup is made of them."""
    return Lock("prune")


def _find(client: MlflowClient, cutoff: float) -> tuple[tuple[Kind, ...], tuple[str, ...]]:
    """All kinds in the order in which they may go: whatever points to another goes before it."""
    needed = references.gather(client)
    results = stale_files.results(needed, cutoff)
    runs, staying = stale_runs.find(client, needed, cutoff)
    flows = stale_flows.find(needed, cutoff)
    data = stale_objects.find(needed, staying, cutoff)
    kinds = (results, runs, flows, stale_files.scratch(cutoff), data)
    return kinds, (*needed.notes, *(note for kind in kinds for note in kind.notes))


def _refuse_while_training(client: MlflowClient) -> None:
    busy = next(_under_way(client), None)
    if busy:
        raise RegistryError(
            f"Nothing may be trained while things are deleted, and {busy} is under way. Wait for "
            "it, or for a day if it was killed; without --delete you can look meanwhile."
        )


def _under_way(client: MlflowClient) -> Iterator[str]:
    since = (time.time() - stale_flows.FORGOTTEN.total_seconds()) * 1000
    experiments = [each.experiment_id for each in references.pages(client.search_experiments)]
    for run in stale_runs.ours(client, experiments):
        if run.info.status in stale_runs.RUNNING and run.info.start_time > since:
            yield f"MLflow run {run.info.run_id}"
    if flow := stale_flows.active():
        yield f"the flow run {flow}"
