"""The ``unseen`` command: thin, no logic. Heavy imports wait until a command needs them."""

import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from flows import explain_failure
from flows.cli import (
    console_page,
    data,
    decisions,
    feedback,
    housekeeping,
    lineage,
    notify,
    services,
    serving,
    training,
    watching,
)
from models.errors import UnseenError
from tasks.platform import workspace

EXIT_CODES = """Exit codes:

| code | means |
|---|---|
| 0 | done; all is well |
| 1 | failed, and the message says what to do; something is not well (status) |
| 2 | what was asked for cannot be: a wrong option, or a name that does not exist |
| 3 | the data failed validation; nothing was trained |
| 4 | drift (monitor); or somebody else was quicker, and nothing was done |
| 5 | a reproduction came out otherwise |
| 130 | interrupted; the same command again resumes |
"""
"""As ``docs/reference/exit-codes.md`` has them."""


def _group(**options: Any) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", **options)


app = _group(
    name="unseen",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Retrain, evaluate, promote, serve and trace visual detectors that learn without labels."
    "\n\nBegin with `unseen retrain`: the embedded data, minutes on two cores.",
    epilog=EXIT_CODES,
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"unseen {version('unseen')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Say the version."),
    ] = False,
) -> None:
    """Options of the command itself."""


errors = Console(stderr=True, markup=False, emoji=False)


def _add(panel: str | None, command: Callable[..., Any], *examples: str, to: typer.Typer) -> None:
    """Add a command, called as its first example calls it, to a group of the help."""
    shown = "\n".join(("Examples:", "", "```text", *examples, "```"))
    words = examples[0].split()
    to.command(words[1 if to is app else 2], rich_help_panel=panel, epilog=shown)(command)


def _fill() -> None:
    """Every command: the panel of the help where it stands, and examples that can be copied."""
    recipe = _group(help="Show a recipe as a file of your own.")
    _add(
        None,
        training.show_recipe,
        "unseen recipe show walkway > mine.toml",
        "unseen retrain --recipe mine.toml",
        to=recipe,
    )
    keys = _group(
        help="API keys: who may have images scored, and who may decide which version serves."
    )
    _add(None, serving.add_key, "unseen keys add gate --right predict", to=keys)
    _add(None, serving.list_keys, "unseen keys list", to=keys)
    _add(None, serving.remove_key, "unseen keys remove gate", to=keys)
    told = _group(
        help="Tell somebody by mail, chat or HTTP: alarms, drift, refused data, failures, "
        "promotions."
    )
    _add(None, notify.add, "unseen notify add ntfy://ntfy.sh/TOPIC --on alarm,drift", to=told)
    _add(None, notify.list_receivers, "unseen notify list", to=told)
    _add(None, notify.remove, "unseen notify remove 1", to=told)
    _add(None, notify.test, "unseen notify test", to=told)
    groups = {"recipe": recipe, "keys": keys, "notify": told}
    for panel, commands in PANELS.items():
        for command, *examples in commands:
            if isinstance(command, str):
                app.add_typer(groups[command], name=command, rich_help_panel=panel)
            else:
                _add(panel, command, *examples, to=app)


PANELS: dict[str, list[tuple[Any, ...]]] = {
    "Training": [
        (
            training.retrain,
            "unseen retrain",
            "unseen retrain --data incoming/bottles --name bottles",
            "unseen retrain --name bottles --detector padim --explain",
        ),
        (training.adapt, "unseen adapt walkway --as yard --data incoming/yard"),
        (training.recipes, "unseen recipes"),
        (training.detectors, "unseen detectors"),
        ("recipe",),
    ],
    "Data": [
        (
            data.ingest,
            "unseen ingest incoming/bottles --as bottles",
            "unseen ingest ped2 --from downloads",
        ),
        (data.datasets, "unseen datasets"),
    ],
    "Registry": [
        (decisions.models, "unseen models"),
        (decisions.show_history, "unseen history walkway"),
        (
            decisions.promote,
            'unseen promote walkway 3 --why "It sees carts."',
            "unseen promote walkway challenger --instead-of 2",
        ),
        (decisions.rollback, 'unseen rollback walkway --why "It misses carts."'),
        (decisions.pin, 'unseen pin walkway 2 --why "An audit."'),
        (decisions.unpin, "unseen unpin walkway"),
        (
            lineage.trace,
            "unseen trace walkway",
            "unseen trace --file data/walkway/train/good/01/000.png",
            "unseen trace walkway@3 --restore bytes",
        ),
        (lineage.card, "unseen card walkway", "unseen card walkway@3 --out card"),
        (housekeeping.reproduce, "unseen reproduce walkway@3"),
    ],
    "Serving": [
        (
            serving.serve,
            "unseen serve walkway",
            "unseen serve walkway --keep alarms --port 8001",
            "unseen serve ./detector",
        ),
        (
            watching.watch,
            "unseen watch bottles incoming --once",
            "unseen watch walkway rtsp://CAMERA/1 --keep alarms",
        ),
        (serving.monitor, "unseen monitor walkway"),
        (serving.film, "unseen film walkway data/walkway/test/cyclist/01"),
        (serving.export, "unseen export walkway detector --format onnx"),
        ("keys",),
    ],
    "Feedback": [
        (feedback.review, "unseen review walkway", "unseen review walkway ID --as defect:cart"),
        (feedback.absorb, "unseen absorb walkway"),
        (feedback.forget, "unseen forget walkway ID"),
    ],
    "Operations": [
        (services.up, "unseen up --recipe walkway", "unseen up --retrain-cron '0 3 * * *'"),
        (services.down, "unseen down"),
        (services.status, "unseen status"),
        (console_page.console, "unseen console"),
        ("notify",),
        (housekeeping.prune, "unseen prune", "unseen prune --keep-days 30 --delete"),
        (housekeeping.backup, "unseen backup /mnt/backup/today"),
        (housekeeping.restore_backup, "unseen restore-backup /mnt/backup/today"),
    ],
}
_fill()


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
