"""Commands about the registry: models, history, promote, rollback, pin, unpin."""

from typing import Annotated

import typer

from flows.cli.output import AsJson, console, show

Name = Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")]
Why = Annotated[str, typer.Option(help="Reason, kept in the history.")]
InsteadOf = Annotated[
    int | None,
    typer.Option(help="Version that serves now; if another does by then, nothing is done."),
]


def models(as_json: AsJson = False) -> None:
    """List the registered models with champion, challenger and figures."""
    from flows import registered
    from flows.cli.tables import model_table

    show(model_table, registered, as_json=as_json)


def show_history(name: Name, as_json: AsJson = False) -> None:
    """Show every decision about a model, also those made with MLflow: who, when, why."""
    from flows.cli.tables import history_table
    from tasks.registry import history, quick_reads

    client = quick_reads.reader()
    history.notice(name, client)
    show(lambda: history_table(name), lambda: history.read(name, client), as_json=as_json)
    if as_json:
        return
    if pinned := history.pinned(history.read(name, client)):
        console.print(
            f"No retrain promotes a version: {history.told(pinned)} 'unseen unpin {name}' ends it."
        )


def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="Number or alias of the version to serve.")],
    why: Why = "no reason given",
    instead_of: InsteadOf = None,
) -> None:
    """Let a version serve because you say so, whatever its figures.

    Retrain promotes by itself what is not worse; this is for the other cases. Exit code 4: somebody
    else decided meanwhile, or the version serves already; nothing was done.
    """
    from flows import promote as appoint

    decision = appoint(name, version, why, instead_of=instead_of)
    former = f" instead of {decision.former}" if decision.former else ""
    console.print(
        f"{name}: version {decision.champion} serves{former}. "
        f"'unseen rollback {name}' undoes it; 'unseen history {name}' shows all decisions."
    )


def rollback(name: Name, why: Why = "no reason given", instead_of: InsteadOf = None) -> None:
    """Undo the last promotion: the version that served before serves again.

    Say it again to go further back. Exit code 4: somebody else decided meanwhile; nothing was done.
    """
    from flows import rollback as undo

    decision = undo(name, why, instead_of=instead_of)
    former = f" instead of {decision.former}" if decision.former else ""
    console.print(
        f"{name}: version {decision.champion} serves again{former}. "
        f"'unseen history {name}' shows all decisions."
    )


def pin(
    name: Name,
    version: Annotated[
        str | None, typer.Argument(help="Number or alias of the version to serve; the champion.")
    ] = None,
    why: Why = "no reason given",
) -> None:
    """Stop automatic promotion: retrains go on, and only people decide who serves."""
    from tasks.registry.decisions import pin as stop

    decision = stop(name, version, why)
    former = decision.former if decision.former != decision.champion else None
    instead = f" instead of {former}" if former else ""
    console.print(
        f"{name}: version {decision.champion} serves{instead}, and no retrain promotes another. "
        f"'unseen unpin {name}' lets them again."
    )


def unpin(name: Name, why: Why = "no reason given") -> None:
    """Let retrains promote again what is not worse."""
    from tasks.registry.decisions import unpin as release

    release(name, why)
    console.print(f"{name}: the next retrain promotes what is not worse than the champion.")
