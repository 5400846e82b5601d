"""The commands of training: ``retrain``, ``adapt``, and what recipes and detectors there are."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import AsJson, show

DATA, RECIPE, MACHINE = "Data and model", "Recipe", "Machine and schedule"
"""Groups of options in the help."""


def retrain(  # noqa: PLR0913, PLR0917 - every option of the command
    data: Annotated[
        Path | None,
        typer.Option(help="Folder to bring in first; needs --name.", rich_help_panel=DATA),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the model, and of the data set unless --dataset.", rich_help_panel=DATA
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="A data set that is here already.", rich_help_panel=DATA),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="A name from 'unseen recipes', FILE.toml or FILE.py:NAME; chosen for the data if "
            "a name or data set is given, else walkway.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="A name from 'unseen detectors', or auto.", rich_help_panel=RECIPE),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="NAME[:LAYER,LAYER]: pretrained, alexnet, ... or any network of timm.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    pretext: Annotated[
        str | None,
        typer.Option(
            help="A pretext task that trains the encoder, or none.", rich_help_panel=RECIPE
        ),
    ] = None,
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width in pixels, such as 256 256.", rich_help_panel=RECIPE),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any field, such as detector.shrinkage=0.2; 'unseen recipe show' lists them.",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="pretext (trained here) or imagenet (torchvision's AlexNet).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of every random choice.", rich_help_panel=RECIPE)
    ] = None,
    keep_encoder: Annotated[
        bool,
        typer.Option(
            "--keep-encoder",
            help="Refit on the champion's encoder; train no other.",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="auto (a GPU if there is one), cpu or cuda.", rich_help_panel=MACHINE),
    ] = None,
    if_busy: Annotated[
        str,
        typer.Option(
            help="wait or refuse, while somebody else retrains this model.",
            rich_help_panel=MACHINE,
        ),
    ] = "wait",
    devices: Annotated[
        int | None,
        typer.Option(
            help="Processes that train the pretext task, a GPU or core each.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    shards: Annotated[
        int,
        typer.Option(
            help="Processes that divide features, moments and evaluation.", rich_help_panel=MACHINE
        ),
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask cluster for the shards, tcp://HOST:PORT; else here.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Decide anew about a version that was refused or set aside."),
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Compute every step again, changed or not.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say what would be computed and why; run nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a challenger, evaluate it, and promote it if it is not worse than the champion.

    A step is computed again if its data, configuration, code or libraries changed (--explain says
    which). A killed run resumes after the last finished step. Exit code 3: the data failed
    validation; nothing was trained. 4: somebody else retrains this model, and --if-busy says
    refuse.
    """
    from flows.cli.run_flow import decided, explained

    (explained if explain else decided)(
        "retrain",
        recipe,
        data,
        device,
        backbone,
        seed,
        name=name,
        dataset=dataset,
        detector=detector,
        encoder=encoder,
        pretext=pretext,
        image_size=image_size,
        settings=tuple(settings or ()),
        keep_encoder=keep_encoder,
        if_busy=if_busy,
        devices=devices,
        shards=shards,
        scheduler=scheduler,
        again=again,
        refresh=refresh,
        as_json=as_json,
    )


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
    as_json: AsJson = False,
) -> None:
    """Carry a detector over to another camera or site, with normal images of it and no labels.

    Its encoder learns to see the new camera's images as it saw those it was trained on (ADDA); what
    it knows of normal stays, and thresholds are set anew. It serves if it is not worse there than
    the detector it was made from. Labels of test images score, and never train.
    """
    from flows.cli.run_flow import decided

    decided("adapt", source, name, data, device, seed, steps, as_json=as_json)


def recipes(as_json: AsJson = False) -> None:
    """List the recipes, with their data set and what they are."""
    from flows.cli.listings import recipe_rows, recipe_table

    show(recipe_table, recipe_rows, as_json=as_json)


def detectors(as_json: AsJson = False) -> None:
    """List the detectors, what each is and needs, and what it costs."""
    from flows.cli.listings import detector_rows, detector_table

    show(detector_table, detector_rows, as_json=as_json)


def show_recipe(
    name: Annotated[
        str, typer.Argument(help="A recipe, FILE.py:NAME, or a data set: what would be chosen.")
    ],
) -> None:
    """Print a complete recipe as TOML, every field with what it means."""
    from flows.recipes.asked import Options, asked
    from flows.recipes.toml_file import write
    from tasks.data import versions

    wanted = asked(name, None, None, None, Options())
    recipe = wanted.recipe or wanted.complete(versions.current(wanted.dataset))
    print(write(recipe), end="")
