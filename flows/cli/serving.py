"""The commands ``serve``, ``export`` and ``keys`` of ``unseen``: thin, no logic."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

console = Console(markup=False, emoji=False)
keys = typer.Typer(
    no_args_is_help=True,
    help="API keys: who may have images scored, and who may decide which version serves.",
)

KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="File of API keys. [.unseen/keys.json]")
]
Engine = Annotated[
    str,
    typer.Option(
        help="onnxruntime, openvino or torch; auto measures them when a model is loaded, and takes "
        "the fastest."
    ),
]
KeepPolicy = Annotated[
    str,
    typer.Option(
        "--keep", help="Keep pictures in .unseen/kept for 'unseen review': alarms, all or none."
    ),
]
KeepMib = Annotated[
    int, typer.Option("--keep-mib", help="Room for kept pictures; the oldest go first.", min=1)
]


def register(app: typer.Typer) -> None:
    """Add the commands to the ``unseen`` command."""
    app.command()(serve)
    app.command()(export)
    app.add_typer(keys, name="keys")


def serve(  # noqa: PLR0913, PLR0917 - every option of the command
    name: Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="Share of normal frames that may raise an alarm; else the model's own."),
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
        typer.Option(help="Keep scores and SHA-256 of files in .unseen/predictions, no images."),
    ] = True,
    same_rate: Annotated[
        bool,
        typer.Option("--same-rate", help="Refuse videos of another frame rate than in training."),
    ] = False,
    engine: Engine = "auto",
    keep: KeepPolicy = "none",
    keep_mib: KeepMib = 1024,
) -> None:
    """Serve the champion over HTTP and follow its alias without restart.

    POST /predict (images or a short clip, multipart), GET /health, GET /lineage, GET /drift,
    GET /metrics (Prometheus), GET /docs. On 127.0.0.1 predictions need no key until there is one
    ('unseen keys add'); at any other address they do. docs/guides/serve.md tells the rest.
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
        limits=Limits(same_rate=same_rate),
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

    about = write(reference, folder, kind)
    parity = max(about["parity"][name] for name in about["outputs"])
    console.print(
        f"{about['model']} version {about['version']} is in {folder}; it differs from torch by "
        f"{parity:.2g} of the largest value at most.",
        markup=False,
    )


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Who will hold it; decisions bear this name.")],
    right: Annotated[
        list[str], typer.Option("--right", help="predict, promote or label; repeat it for several.")
    ],
    key_file: KeyFile = None,
) -> None:
    """Make a key and print its token, this once: only a digest of it is kept."""
    from tasks.serving.api_keys import Keys

    sys.stdout.write(Keys(key_file).add(name, right) + "\n")


@keys.command("list")
def show(key_file: KeyFile = None) -> None:
    """List the keys with their rights; never a token."""
    from tasks.serving.api_keys import Keys

    known = Keys(key_file).read()
    if not known:
        console.print("There are no keys. Make one with: unseen keys add NAME --right predict")
        return
    table = Table("name", "rights", "created (UTC)")
    for key in known:
        table.add_row(key.name, ", ".join(key.rights), key.created)
    console.print(table)


@keys.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the key.")], key_file: KeyFile = None
) -> None:
    """Forget a key; a running server refuses it from the next request on."""
    from tasks.serving.api_keys import Keys

    Keys(key_file).remove(name)
    console.print(f"The key {name!r} is no longer known.")
