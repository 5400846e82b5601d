"""The ``unseen`` command: thin, no logic. Heavy imports wait until a command needs them."""

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from flows.cli import (
    console_page,
    decisions,
    explain_failure,
    feedback,
    housekeeping,
    notify,
    services,
    serving,
    training,
    watching,
)
from models.errors import InvalidInputError, UnseenError
from tasks.platform import workspace

app = typer.Typer(
    name="unseen",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Retrain, evaluate, promote, serve and trace visual detectors that learn without labels.",
    epilog="Begin with: unseen retrain   (the embedded data, minutes on two cores)",
)
console = Console(markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)

Name = Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")]

app.command()(training.retrain)
app.command()(training.recipes)
app.command()(training.detectors)
app.add_typer(training.recipe_app, name="recipe")


@app.command()
def adapt(
    source: Annotated[
        str, typer.Argument(help="The detector to start from: NAME, NAME@alias or NAME@version.")
    ],
    name: Annotated[
        str, typer.Option("--as", help="Name of the new camera's data set and of its model.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder to ingest under that name first.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the adversarial training.")] = None,
) -> None:
    """Carry a detector over to another camera or site, with normal images of it and no labels.

    Its encoder learns to see the new camera's images as it saw those it was trained on (ADDA); what
    it knows of normal stays, and thresholds are set anew. It serves if it is not worse there than
    the detector it was made from. Labels of test images score, and never train.
    """
    from flows.cli.run_flow import run_adapt

    console.print(run_adapt(source, name, data, device, seed, steps))


@app.command()
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
    console.print(ingest_summary(version, changes, *look(version), committed=commit))


@app.command()
def datasets() -> None:
    """List the data sets that can be had by name, and those that are here."""
    from flows.cli.tables import dataset_table

    console.print(dataset_table())


@app.command()
def models() -> None:
    """List the registered models with champion, challenger and figures."""
    from flows.cli.tables import model_table

    console.print(model_table())


@app.command()
def monitor(
    name: Name,
    url: Annotated[
        str | None,
        typer.Option(help="Server to ask; else what 'unseen serve' wrote down here is read."),
    ] = None,
) -> None:
    """Tell whether what the served champion is shown is still like what it learned.

    The verdict, its figures and a plot become an MLflow run; drift becomes the Prefect event
    unseen.drift.detected, which an automation can answer with a retrain. Exit code 0: no drift, or
    not enough frames to tell. Exit code 4: drift.
    """
    from flows.cli.run_flow import run_monitor

    summary, drifted = run_monitor(name, url)
    console.print(summary)
    if drifted:
        raise typer.Exit(4)


@app.command()
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
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
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
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n")
    else:
        console.print(rendered(found))


@app.command()
def film(
    reference: Annotated[
        str, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
    ],
    clip: Annotated[Path, typer.Argument(help="A folder of frames, or a video.")],
    out: Annotated[Path, typer.Option(help="The .gif file to write.")] = Path("film.gif"),
    engine: serving.Engine = "auto",
) -> None:
    """Show what a detector says of a clip, frame by frame, as an animated picture.

    Anomaly maps, boxes with p-values, the scores over time, and the ground truth where there is
    one. For example: unseen film walkway data/walkway/test/cyclist/01
    """
    from tasks.platform.progress import bar
    from tasks.serving.film import film as shoot

    console.print(f"{shoot(reference, clip, out, bar, engine)} frames are in {out}.")


services.register(app)
console_page.register(app)
serving.register(app)
app.command()(watching.watch)
feedback.register(app)
app.add_typer(notify.app, name="notify")
app.command("history")(decisions.show_history)
app.command()(decisions.promote)
app.command()(decisions.rollback)
app.command()(decisions.pin)
app.command()(decisions.unpin)
app.command()(housekeeping.reproduce)
app.command()(housekeeping.prune)
app.command()(housekeeping.backup)
app.command("restore-backup")(housekeeping.restore_backup)


def _tell(problem: str) -> None:
    """One sentence on standard error; what stands in brackets in it is no markup."""
    told = Text.assemble(("error:", "bold red"), " ", problem)
    errors.print(told, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command; a failure that the reader can mend is one sentence and an exit code."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it raises what it logs
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        if not {"-h", "--help"} & set(sys.argv) and len(sys.argv) > 1:
            workspace.configure()
        app()
    except UnseenError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        told = explain_failure.explain(error)
        if told is None:
            raise
        _tell(told)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("interrupted; run the same command again to resume.")
        sys.exit(130)
