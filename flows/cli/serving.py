"""The commands ``serve``, ``monitor``, ``film``, ``export`` and ``keys``: thin, no logic."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table

from flows.cli.output import AsJson, console, show
from tasks.platform import progress

SCORING, KEPT = "Scoring", "Pictures"
"""Groups of options in the help."""
KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="File of API keys. [.unseen/keys.json]")
]
Engine = Annotated[
    str,
    typer.Option(
        help="onnxruntime, openvino or torch; auto measures them when a model is loaded, and takes "
        "the fastest.",
        rich_help_panel=SCORING,
    ),
]
KeepPolicy = Annotated[
    str,
    typer.Option(
        "--keep",
        help="Keep pictures in .unseen/kept for 'unseen review': alarms, all or none.",
        rich_help_panel=KEPT,
    ),
]
KeepMib = Annotated[
    int,
    typer.Option(
        "--keep-mib",
        help="Room for kept pictures; the oldest go first.",
        min=1,
        rich_help_panel=KEPT,
    ),
]


def serve(  # noqa: PLR0913, PLR0917 - every option of the command
    name: Annotated[
        str,
        typer.Argument(help="Name of the registered model; or a folder that 'unseen export' made."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            help="Share of normal frames that may raise an alarm; else the model's own.",
            rich_help_panel=SCORING,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Start without a champion; answer 503 until there is one")
    ] = False,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let everybody predict who reaches the server, keyless.")
    ] = False,
    key_file: KeyFile = None,
    log_predictions: Annotated[
        bool,
        typer.Option(
            help="Keep scores and SHA-256 of files in .unseen/predictions, no images.",
            rich_help_panel="Log",
        ),
    ] = True,
    same_rate: Annotated[
        bool,
        typer.Option(
            "--same-rate",
            help="Refuse videos of another frame rate than in training.",
            rich_help_panel=SCORING,
        ),
    ] = False,
    max_wait_ms: Annotated[
        float,
        typer.Option(
            help="Turn requests away (429) that would wait longer for their answer.",
            show_default="no limit",
            rich_help_panel=SCORING,
        ),
    ] = math.inf,
    engine: Engine = "auto",
    keep: KeepPolicy = "none",
    keep_mib: KeepMib = 1024,
) -> None:
    """Serve the champion over HTTP and follow its alias without restart; or an exported detector.

    POST /predict (images or a short clip, multipart), GET /health, GET /lineage, GET /drift,
    GET /metrics (Prometheus), GET /docs. On 127.0.0.1 predictions need no key until there is one
    ('unseen keys add'); at any other address they do. A folder needs neither MLflow nor torch, and
    no git repository where there is a folder .unseen. docs/guides/serve.md tells the rest.
    """
    from tasks.serving.api_keys import Access, Keys, is_local
    from tasks.serving.kept_pictures import Keep
    from tasks.serving.serve import serve as start
    from tasks.serving.uploads import Limits

    access = Access(Keys(key_file), local=is_local(host), open_to_all=open_to_all)
    start(
        name,
        host=host,
        port=port,
        limits=Limits(same_rate=same_rate, wait_seconds=max_wait_ms / 1e3),
        false_alarm_rate=false_alarm_rate,
        wait=wait,
        access=access,
        log_predictions=log_predictions,
        engine=engine,
        keep=Keep(policy=keep, mib=keep_mib),
    )


def export(
    reference: Annotated[
        str, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
    ],
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    kind: Annotated[str, typer.Option("--format", help="onnx, openvino or torch.")] = "onnx",
) -> None:
    """Write a whole detector as one program that runs without this project.

    From the bytes of images to scores and maps, for any number of images; beside it thresholds,
    p-values, lineage, checksums, and example.py, which needs NumPy and the engine alone.
    """
    from flows import export as write

    with progress.waiting("Writing and comparing the program"):
        about = write(reference, folder, kind)
    parity = max(about["parity"][name] for name in about["outputs"])
    console.print(
        f"{about['model']} version {about['version']} is in {folder}; it differs from torch by "
        f"{parity:.2g} of the largest value at most.",
        markup=False,
    )


def monitor(
    name: Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")],
    url: Annotated[
        str | None,
        typer.Option(help="Server to ask; else what 'unseen serve' wrote down here is read."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether what the served champion is shown is still like what it learned.

    The verdict, its figures and a plot become an MLflow run; drift becomes the Prefect event
    unseen.drift.detected, which an automation can answer with a retrain. Exit code 0: no drift, or
    not enough frames to tell. Exit code 4: drift.
    """
    from flows import monitor as look
    from models.functional.drift import DRIFT

    found = look(name, url)

    from flows.cli.summaries import monitor_summary

    show(lambda: monitor_summary(found), lambda: found, as_json=as_json)
    if found.verdict == DRIFT:
        raise typer.Exit(4)


def film(
    reference: Annotated[
        str, typer.Argument(help="NAME, NAME@alias or NAME@version; default the champion.")
    ],
    clip: Annotated[Path, typer.Argument(help="A folder of frames, or a video.")],
    out: Annotated[Path, typer.Option(help="The .gif file to write.")] = Path("film.gif"),
    engine: Engine = "auto",
) -> None:
    """Show what a detector says of a clip, frame by frame, as an animated picture.

    Anomaly maps, boxes with p-values, the scores over time, and the ground truth where there is
    one.
    """
    from tasks.serving.film import film as shoot

    console.print(f"{shoot(reference, clip, out, progress.bar, engine)} frames are in {out}.")


def add_key(
    name: Annotated[str, typer.Argument(help="Who will hold it; decisions bear this name.")],
    right: Annotated[
        list[str], typer.Option("--right", help="predict, promote or label; repeat it for several.")
    ],
    key_file: KeyFile = None,
) -> None:
    """Make a key and print its token, this once: only a digest of it is kept."""
    from tasks.serving.api_keys import Keys

    sys.stdout.write(Keys(key_file).add(name, right) + "\n")


def list_keys(key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """List the keys with their rights; never a token."""
    from tasks.serving.api_keys import Keys

    known = Keys(key_file).read()

    def view() -> RenderableType:
        if not known:
            return "There are no keys. Make one with: unseen keys add NAME --right predict"
        table = Table("name", "rights", "created (UTC)")
        for key in known:
            table.add_row(key.name, ", ".join(key.rights), key.created)
        return table

    rows = [{"name": each.name, "rights": each.rights, "created": each.created} for each in known]
    show(view, lambda: rows, as_json=as_json)


def remove_key(
    name: Annotated[str, typer.Argument(help="Name of the key.")], key_file: KeyFile = None
) -> None:
    """Forget a key; a running server refuses it from the next request on."""
    from tasks.serving.api_keys import Keys

    Keys(key_file).remove(name)
    console.print(f"The key {name!r} is no longer known.")
