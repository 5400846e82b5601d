"""The commands ``notify`` of ``unseen``: thin, no logic."""

import sys
from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table

from flows.cli.output import AsJson, console, show
from models.errors import NotFoundError


def add(
    url: Annotated[
        str, typer.Argument(help="As apprise has it; - reads it from standard input, unseen.")
    ],
    topics: Annotated[
        str, typer.Option("--on", help="Of alarm, drift, refused, failed, promotion; by commas.")
    ] = "alarm,drift,refused,failed,promotion",
    every: Annotated[
        float, typer.Option(help="Seconds between two messages at least; a burst is one.")
    ] = 60.0,
) -> None:
    """Tell a receiver from now on, such as mailto://..., slack://..., ntfy://..., json://HOST.

    github.com/caronc/apprise lists a hundred services. The address is kept in .unseen/notices.json,
    readable by its owner alone, and stands in no log. What a receiver does not take waits on the
    disk and is tried again; scoring waits for nobody.
    """
    from tasks.notices import receivers

    given = sys.stdin.readline().strip() if url == "-" else url
    made = receivers.add(given, [each.strip() for each in topics.split(",") if each.strip()], every)
    console.print(f"{made.called} is told of {', '.join(made.topics)}. Try: unseen notify test")


def list_receivers(as_json: AsJson = False) -> None:
    """List who is told of what, without secrets, and how much still waits to be delivered."""
    from tasks.notices import outbox, receivers

    known = receivers.read()
    table = Table("number", "service", "told of", "at most every")
    for each in known:
        service = each.url.partition(":")[0]
        table.add_row(str(each.number), service, ", ".join(each.topics), f"{each.every:g} s")
    rows = [
        {"number": one.number, "service": one.url.partition(":")[0], "told_of": one.topics}
        for one in known
    ]
    waiting = outbox.waiting()
    show(
        lambda: Group(table, f"{waiting} notices wait."),
        lambda: {"receivers": rows, "waiting": waiting},
        as_json=as_json,
    )


def remove(number: Annotated[int, typer.Argument(help="As 'unseen notify list' has it.")]) -> None:
    """Tell a receiver no more, nor what still waits for it."""
    from tasks.notices import outbox, receivers

    receivers.remove(number)
    outbox.drop(number)
    console.print(f"Receiver {number} is told no more.")


def test() -> None:
    """Send every receiver a message now. Exit code 1 if one does not take it."""
    from tasks.notices import dispatcher, outbox, receivers

    known = receivers.read()
    if not known:
        raise NotFoundError(
            "A receiver must be told, and there is none. Add one: unseen notify add URL"
        )
    said = outbox.Notice(number=0, topic="test", subject="unseen", text="This is a test.", at="")
    failed = False
    for each in known:
        took = dispatcher.send(each, [said])
        failed |= not took
        console.print(f"{each.called}: {'took it' if took else 'did not take it'}")
    if failed:
        raise typer.Exit(1)
