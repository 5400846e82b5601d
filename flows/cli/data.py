"""The commands about data: ``ingest`` and ``datasets``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, show


def ingest(
    source: Annotated[
        str, typer.Argument(help="A folder, or the name of a well-known set ('unseen datasets').")
    ],
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the data set; needed for a folder.")
    ] = None,
    origin: Annotated[
        Path | None,
        typer.Option("--from", help="Take a well-known set from this folder, not the network."),
    ] = None,
    commit: Annotated[bool, typer.Option(help="Commit data.dvc in git at once.")] = False,
    push: Annotated[
        bool, typer.Option(help="Copy the bytes to DVC's remote, for other machines to have.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Take what data.dvc names; lose edits in data/.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a folder or a well-known set in, version it with DVC, and show what changed.

    Layout: train/good/... , test/good/... , test/KIND/... , ground_truth/KIND/... of images, or of
    clips (a folder of numbered frames, or a video file). The README shows it in full.
    """
    from flows.cli.tables import ingest_summary
    from tasks.data.ingest import ingest_folder
    from tasks.data.validate import look

    version, changes = ingest_folder(
        source, name=name, origin=origin, commit=commit, push=push, discard=discard
    )
    files, failed = look(version)
    show(
        lambda: ingest_summary(version, changes, files, failed, committed=commit),
        lambda: {"version": version, "changes": changes, "warnings": failed},
        as_json=as_json,
    )


def datasets(as_json: AsJson = False) -> None:
    """List the data sets that can be had by name, and those that are here."""
    from flows.cli.listings import dataset_rows, dataset_table

    show(dataset_table, dataset_rows, as_json=as_json)
