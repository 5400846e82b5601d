"""Commands of ``unseen`` that look after what was made: thin, no logic."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.output import AsJson, console, show
from tasks.platform import progress

if TYPE_CHECKING:
    from tasks.housekeeping.prune import Pruned

DIFFERS = 5
"""Exit code of a reproduction that came out otherwise."""


def reproduce(
    reference: Annotated[
        str, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
    ],
    *,
    tensor_tolerance: Annotated[
        float, typer.Option(help="Difference of a tensor, relative to its largest magnitude.")
    ] = 1e-3,
    metric_tolerance: Annotated[
        float, typer.Option(help="Difference of a metric, absolute; relative beyond 1.")
    ] = 0.01,
    recorded_code: Annotated[
        bool, typer.Option("--recorded-code", help="Use the sources of models it was trained with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a registered version again from its record, and compare every tensor and metric.

    Data, recipe, seed and number of threads are those that were recorded; nothing is registered,
    promoted or overwritten, and nothing remembered is used. On the same machine and libraries every
    bit should be the same. The report is kept as an MLflow run, which 'unseen trace' names.

    Exit code 0: identical, or within the tolerances. Exit code 5: it differs.
    """
    from flows import reproduce as train_again
    from flows.cli.run_flow import run_with_recorded_code
    from flows.cli.tables import reproduction_view

    if recorded_code:
        others = [each for each in sys.argv[1:] if each != "--recorded-code"]
        raise typer.Exit(run_with_recorded_code(reference, others))
    found = train_again(reference, tensor=tensor_tolerance, metric=metric_tolerance)
    show(lambda: reproduction_view(found), lambda: found, as_json=as_json)
    if found.verdict == "differs":
        raise typer.Exit(DIFFERS)


def prune(
    *,
    keep_days: Annotated[
        int, typer.Option(help="Days for which everything is kept, whoever needs it.")
    ] = 90,
    delete: Annotated[
        bool, typer.Option("--delete/--dry-run", help="Delete; else only show what would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is old and what no registered version refers to; first show what that is.

    MLflow runs with their models, remembered results and flow runs of the local Prefect server,
    scratch files, and objects of DVC's cache. Whatever a registered version, its lineage, a
    decision, data.dvc, or a branch or tag of git refers to stays, so that a trace, a rollback and
    a reproduction of every registered version still work. While something is trained it refuses.
    """
    from flows.cli.tables import prune_table
    from tasks.housekeeping.prune import prune as take_away

    found = take_away(keep_days, delete=delete, progress=progress.bar)
    show(lambda: prune_table(found), lambda: _listed(found), as_json=as_json)


def _listed(found: "Pruned") -> dict[str, Any]:
    """A pruning without the functions that take things away."""
    kinds = [
        {
            "what": kind.title,
            "why": kind.why,
            "stale": [each.name for each in kind.stale],
            "num_bytes": kind.num_bytes,
            "kept": kind.kept,
        }
        for kind in found.kinds
    ]
    return {"deleted": found.deleted, "kinds": kinds, "notes": found.notes}


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder to write to.")],
    *,
    data: Annotated[
        bool, typer.Option(help="With the data; not needed if a DVC remote has them all.")
    ] = True,
) -> None:
    """Copy registry, runs, models, data and git history to a folder, consistent in itself.

    It may run while something is trained or served. Every md5 and every digest of a registered
    model is verified on the way. 'unseen restore-backup' brings it back:
    docs/guides/backups.md.
    """
    from flows.cli.tables import backup_summary
    from tasks.housekeeping.backup import backup as write

    console.print(backup_summary(write(folder, data=data, progress=progress.bar)))


def restore_backup(
    folder: Annotated[Path, typer.Argument(help="Written by 'unseen backup'.")],
) -> None:
    """Bring a backup back into a repository without a store, such as a new clone.

    The repository itself comes from 'git clone FOLDER/repository.bundle', if it is lost too. It may
    lie elsewhere than it did. Every byte is verified before anything is written.
    """
    from flows.cli.tables import backup_summary
    from tasks.housekeeping.restore_backup import restore_backup as bring_back

    console.print(backup_summary(bring_back(folder, progress=progress.bar)))
