"""What a person asks for in one line, and the complete recipe that comes of it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.recipes import catalog, choose, find
from flows.recipes.fields import assign
from flows.recipes.recipe import Recipe
from models.errors import InvalidInputError, NotFoundError
from tasks.data import versions
from tasks.data.describe import describe
from tasks.records import DataVersion, Selection

if TYPE_CHECKING:
    from tasks.data.describe import SetDescription

DEFAULT = "walkway"
"""The recipe of someone who names none."""
AUTO = "auto"
"""Instead of a detector's name: whichever finds put-in defects best."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to change in a recipe; None and empty leave it as it is."""

    detector: str | None = None
    """Name from ``unseen detectors``, or ``auto``."""
    encoder: str | None = None
    """``NAME[:LAYER,LAYER]``: a file of ``models/encoders``, or a network of timm."""
    pretext: str | None = None
    """Name of a pretext task, or ``none``."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels."""
    settings: tuple[str, ...] = ()
    """``FIELD.FIELD=VALUE``, applied last."""
    device: str | None = None
    backbone: str | None = None
    seed: int | None = None
    devices: int | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which model is to be trained on which data set; the rest is known once the data are."""

    name: str
    dataset: str
    recipe: Recipe | None
    """None: it is chosen for the data."""
    options: Options

    @property
    def auto(self) -> bool:
        """Whether the detector is to be chosen by put-in defects."""
        return self.options.detector == AUTO

    def complete(self, version: DataVersion) -> Recipe:
        """The recipe, chosen for the data if none was named, with every option applied.

        Raises:
            NotFoundError: If an option names what does not exist.
            InvalidInputError: If an option does not fit its field.
            DataError: If the data cannot be described.
        """
        recipe, found = self.recipe, None
        if recipe is None or self.options.detector:
            found = describe(version)
            recipe = recipe or choose.recipe_for(found, self.name)
        recipe = dataclasses.replace(recipe, name=self.name, dataset=self.dataset)
        return changed(recipe, self.options, found)


def settled(recipe: Recipe, selection: Selection, options: Options) -> Recipe:
    """The recipe with the detector that was chosen, and how; settings have the last word.

    Raises:
        InvalidInputError: If a setting does not fit the chosen detector.
    """
    detector = catalog.detector(selection.name)
    recipe = dataclasses.replace(recipe, detector=detector, selection=selection)
    for setting in options.settings:
        recipe = assign(recipe, setting)
    return recipe


def asked(
    recipe: str | None,
    data: Path | None,
    name: str | None,
    dataset: str | None,
    options: Options,
) -> Asked:
    """Which model is meant; whatever can be refused before the data are read is refused.

    Args:
        recipe: Name or file; ``walkway`` if neither a name nor a data set is given.
        data: Folder that is to be brought in.
        name: Of the registered model.
        dataset: Of the data set; the recipe's, else as the model is called.
        options: What to change.

    Raises:
        NotFoundError: If there is no such recipe, detector, encoder or pretext task.
        InvalidInputError: If a folder is given without a name, or a setting makes no sense.
    """
    if recipe is None and name is None and dataset is None:
        if data is not None:
            raise InvalidInputError(
                f"A folder needs a name for its data set and its model, and {data} came without "
                f"one. Add --name, such as --name {_suggested(data)}; to replace the data of an "
                "embedded recipe, name it: --recipe walkway."
            )
        recipe = DEFAULT
    chosen = _named(recipe, dataset) if recipe is not None else None
    if chosen is None and recipe is not None:
        name, dataset = name or recipe, dataset or recipe
    if chosen is not None:
        changed(chosen, options)
    else:
        _check(options)
    return Asked(
        name=name or (chosen.name if chosen else dataset or ""),
        dataset=dataset or (name if chosen is None else chosen.dataset) or "",
        recipe=chosen,
        options=options,
    )


def changed(recipe: Recipe, options: Options, found: "SetDescription | None" = None) -> Recipe:
    """A recipe with options applied; settings last.

    A detector of still images on clips judges each frame by itself.

    Args:
        recipe: What options are applied to.
        options: What was asked for.
        found: What the data set consists of; None before it is read.

    Raises:
        NotFoundError: If an option names what does not exist.
        InvalidInputError: If an option does not fit its field.
    """
    if options.detector == AUTO and recipe.training.window > 1:
        raise InvalidInputError(
            f"--detector auto chooses among detectors of still images, and {recipe.dataset!r} "
            "consists of clips, where put-in anomalies did not tell which detector is better. "
            "Name one: motion_gaussian judges by movement, patchcore each frame by itself."
        )
    if options.detector and options.detector != AUTO:
        detector = catalog.detector(options.detector)
        if type(detector) is not type(recipe.detector):
            clips = recipe.training.window > 1
            if clips and catalog.judges_single_images(detector):
                recipe = choose.single_frames(recipe, detector, found)
            else:
                encoder = recipe.encoder if clips else catalog.default_encoder(detector)
                recipe = dataclasses.replace(
                    recipe, detector=detector, encoder=encoder, pretext=None
                )
    if options.encoder:
        recipe = dataclasses.replace(recipe, encoder=catalog.encoder(options.encoder), pretext=None)
    if options.pretext:
        recipe = dataclasses.replace(recipe, pretext=catalog.pretext_task(options.pretext))
    given = {
        key: getattr(options, key)
        for key in ("image_size", "device", "backbone", "seed", "devices")
        if getattr(options, key) is not None
    }
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **given))
    for setting in options.settings if options.detector != AUTO else ():
        recipe = assign(recipe, setting)
    return recipe


def _check(options: Options) -> None:
    """Refuse names that do not exist before any data are read; settings wait for the recipe."""
    if options.detector and options.detector != AUTO:
        catalog.detector(options.detector)
    if options.encoder:
        catalog.encoder(options.encoder).build()
    if options.pretext:
        catalog.pretext_task(options.pretext)


def _named(reference: str, dataset: str | None) -> Recipe | None:
    """The recipe of that name; None if it is the name of a data set, whose recipe is chosen."""
    try:
        return find.load(reference)
    except NotFoundError:
        if dataset is None and ":" not in reference and _is_set(reference):
            return None
        raise


def _is_set(name: str) -> bool:
    if (versions.folder() / name).is_dir():
        return True
    dvc_md5 = versions.recorded()
    return dvc_md5 is not None and name in versions.names(dvc_md5)


def _suggested(data: Path) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "-" for c in data.resolve().name.lower())
