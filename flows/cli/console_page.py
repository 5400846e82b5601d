"""The command ``console`` of ``unseen``: thin, no logic."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors import InvalidInputError


def console(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8900,
    serving: Annotated[
        list[str] | None,
        typer.Option(help="NAME=URL of a serving process that 'unseen up' has not started."),
    ] = None,
    host_name: Annotated[
        list[str] | None, typer.Option(help="Further name under which browsers ask for it.")
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let everybody look who reaches it, without a key.")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option("--keys", help="File of API keys. [.unseen/keys.json]")
    ] = None,
) -> None:
    """Show all detectors on a web page: versions, lineage, data, drift; try images; promote.

    Promoting and rolling back on the page need a key: 'unseen keys add NAME --right promote'.
    'unseen up' starts the console too. It works without internet.
    docs/guides/console.md tells the rest.
    """
    from tasks.console.app import console as start

    start(
        host,
        port,
        serving=dict(_pair(each) for each in serving or ()),
        host_names=tuple(host_name or ()),
        open_to_all=open_to_all,
        key_file=key_file,
    )


def _pair(given: str) -> tuple[str, str]:
    name, separator, url = given.partition("=")
    if not name or not separator or not url.startswith(("http://", "https://")):
        raise InvalidInputError(
            f"--serving must be NAME=URL, such as walkway=http://127.0.0.1:8000, got {given!r}."
        )
    return name, url
