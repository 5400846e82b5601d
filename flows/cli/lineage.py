"""The commands ``trace`` and ``card``: what a version was made from, and what to know of it."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, console, show
from models.errors import InvalidInputError

Reference = Annotated[
    str, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
]


def trace(
    reference: Annotated[
        str | None, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="The other way: which registered versions saw this file?")
    ] = None,
    prediction: Annotated[
        str | None, typer.Option(help="Request id of an answer of the server, to start there.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="With --prediction: the image that was sent; what was it compared with?"),
    ] = None,
    picture: Annotated[
        Path, typer.Option(help="With --image: the .png file that shows regions beside patches.")
    ] = Path("evidence.png"),
    restore: Annotated[
        Path | None, typer.Option(help="Put exactly the bytes it was trained on into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the data, code and statistics behind a detector or an answer, or who saw a file."""
    from flows.cli.tables import rendered, trace_output

    if sum(given is not None for given in (reference, file, prediction)) != 1:
        raise InvalidInputError(
            "trace needs a model, a file or a prediction, and one of them. Say 'unseen trace "
            "NAME', 'unseen trace --file PATH' or 'unseen trace --prediction ID'."
        )
    if image is not None and prediction is None:
        raise InvalidInputError("--image belongs to an answer: say --prediction ID as well.")
    if prediction is None:
        found = trace_output(reference, file, restore)
    else:
        from tasks.serving.trace_prediction import trace_prediction

        found = trace_prediction(prediction, image, picture)
    show(lambda: rendered(found), lambda: found, as_json=as_json)


def card(
    reference: Reference,
    out: Annotated[
        Path | None, typer.Option(help="Folder for card.md, and thumbnails.png of its data.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what one should know of a version before trusting it, as Markdown.

    Purpose, data, method, figures with intervals, thresholds, limits, drift, decisions, and how to
    reproduce it: as the record has them now. MLflow shows it as the version's description.
    """
    from flows import card as write

    text = write(reference, out)
    if not (as_json or console.is_terminal):
        typer.echo(text, nl=False)  # no line is broken on its way to a file
        return

    from rich.markdown import Markdown

    show(lambda: Markdown(text), lambda: {"reference": reference, "card": text}, as_json=as_json)
