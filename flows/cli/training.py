"""The command ``retrain`` of ``unseen``: thin, no logic."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()

RecipeName = Annotated[
    str, typer.Option("--recipe", "-r", help="A name from 'unseen recipes', or FILE.py:NAME.")
]


def retrain(  # noqa: PLR0913, PLR0917 - every option of the command
    recipe: RecipeName = "walkway",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder to ingest as the recipe's data set first; else what is there."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="pretext (trained here) or imagenet (torchvision's).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    keep_encoder: Annotated[
        bool,
        typer.Option("--keep-encoder", help="Refit on the champion's encoder; train no other."),
    ] = False,
    if_busy: Annotated[
        str, typer.Option(help="wait or refuse, while somebody else retrains this model.")
    ] = "wait",
    devices: Annotated[
        int | None, typer.Option(help="Processes that train the pretext task, a GPU or core each.")
    ] = None,
    shards: Annotated[
        int, typer.Option(help="Processes that divide features, moments and evaluation.")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask cluster for the shards, tcp://HOST:PORT; else here.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Compute every step again, changed or not.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say what would be computed and why; run nothing."),
    ] = False,
) -> None:
    """Train a challenger, evaluate it, and promote it if it is not worse than the champion.

    A step is computed again if its data, configuration, code or libraries changed (--explain says
    which). A killed run resumes after the last finished step. Exit code 3: the data failed
    validation; nothing was trained. 4: somebody else retrains this model, and --if-busy says
    refuse.
    """
    from flows.cli.run_flow import run_explain, run_retrain

    if explain:
        given = {"device": device, "backbone": backbone, "seed": seed, "devices": devices}
        console.print(run_explain(recipe, data, keep_encoder=keep_encoder, **given))
        return

    shown = run_retrain(
        recipe,
        data,
        device,
        backbone,
        seed,
        keep_encoder=keep_encoder,
        if_busy=if_busy,
        devices=devices,
        shards=shards,
        scheduler=scheduler,
        refresh=refresh,
    )
    console.print(shown)
