"""The commands ``up``, ``down`` and ``status`` of ``unseen``: thin, no logic."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, show
from flows.cli.output import console as output
from tasks.platform import progress

Port = Annotated[int | None, typer.Option(help="Else the usual port, or any that is free.")]


def up(  # noqa: PLR0913, PLR0917 - as many as there are options
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe", "-r", help="What to retrain and serve; repeat it for several. [walkway]"
        ),
    ] = None,
    retrain_cron: Annotated[
        str | None, typer.Option(help="When to retrain; '' for never by the clock. [0 3 * * *]")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of that time, such as Europe/Berlin. [UTC]")
    ] = None,
    monitor_minutes: Annotated[
        int | None,
        typer.Option(help="Minutes between two looks for drift; 0 for never. [15]", min=0),
    ] = None,
    if_busy: Annotated[
        str | None,
        typer.Option(help="wait or refuse, when a model is being retrained already. [wait]"),
    ] = None,
    serve: Annotated[
        bool | None, typer.Option("--serve/--no-serve", help="Serve the champions. [serve]")
    ] = None,
    prefect_port: Port = None,
    mlflow_port: Port = None,
    serve_port: Port = None,
    console: Annotated[
        bool | None, typer.Option("--console/--no-console", help="Run the web page. [console]")
    ] = None,
    console_port: Port = None,
    systemd: Annotated[
        bool, typer.Option(help="Write a systemd unit of yours that does this, and start it.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option(help="Stay, and mend what is lost, until this is ended or 'down'.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start everything in the background: schedules, triggers, monitoring, serving, both servers.

    A local Prefect server and an MLflow server (unless PREFECT_API_URL or MLFLOW_TRACKING_URI name
    yours), a worker that retrains by the clock, on new data ('unseen ingest') and on drift, one
    serving process for each model, which answers 503 until it has a champion, and the console.

    A service that dies is started again. Say it again after a reboot (--systemd sees to that): what
    runs is left alone, what does not is started, with the options of the last time. What you have
    changed in Prefect stays, unless an option given now says otherwise. Logs are in
    .unseen/processes. docs/guides/schedule.md tells the rest.
    """
    from flows.operations import keep_up, services

    recipes = tuple(_absolute(each) for each in recipe) if recipe else None
    with progress.waiting("Starting what should run"):
        started = services.up(
            {
                "recipes": recipes,
                "retrain_cron": retrain_cron,
                "timezone": timezone,
                "monitor_minutes": monitor_minutes,
                "if_busy": if_busy,
                "serve": serve,
                "prefect_port": prefect_port,
                "mlflow_port": mlflow_port,
                "serve_port": serve_port,
                "console": console,
                "console_port": console_port,
            }
        )
    _show_status(as_json=as_json)
    for line in () if as_json else started.left_alone:
        output.print(f"left alone: {line}", highlight=False, soft_wrap=True)
    if systemd:
        output.print(keep_up.install(), highlight=False, soft_wrap=True)
    if foreground:
        keep_up.stay()


def down() -> None:
    """Stop everything that 'unseen up' or 'unseen retrain' started in the background.

    Flow runs that are under way end as crashed; the next retrain resumes after their last finished
    step. Schedules rest until the next 'unseen up'. Nothing is deleted.
    """
    from flows.operations.services import down as stop

    stopped = stop()
    output.print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing ran here.")


def status(as_json: AsJson = False) -> None:
    """Show services and their health, deployments with last and next run, and the champions.

    Exit code 1 if something that should run does not, or is not well; 0 if all is well, or if
    nothing should run.
    """
    if not _show_status(as_json=as_json):
        raise typer.Exit(1)


def _show_status(*, as_json: bool = False) -> bool:
    from flows.cli.tables import status_tables
    from flows.operations.status import look

    found = look()
    show(lambda: status_tables(found), lambda: found, as_json=as_json)
    return found.well


def _absolute(reference: str) -> str:
    """A recipe that a process finds wherever it runs."""
    path, separator, name = reference.rpartition(":")
    if not path and name.endswith(".toml"):
        path, name = name, ""
    return f"{Path(path).resolve()}{separator}{name}" if path else reference
