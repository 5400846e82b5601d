"""Reproduce: train a registered version again from what was recorded, and compare."""

from dataclasses import replace
from pathlib import Path

from flows import recipes
from flows.rebuild import rebuild, unrecorded
from flows.recipes import Recipe
from tasks import isolation, progress, registry, reproduction
from tasks.agreement import Tolerance
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.pretrain import pretrain
from tasks.recorded import Recorded, recorded
from tasks.records import Report, TrainedModel
from tasks.reproduction import Reproduction

DEFAULT = Tolerance()


def reproduce(reference: str, tolerance: Tolerance = DEFAULT) -> Reproduction:
    """Train a registered version again, in a project of its own that is gone afterwards.

    Neither registry, ``data/``, ``data.dvc`` nor any remembered result is touched or used; the
    report alone is kept, as an MLflow run. It is no Prefect flow for that reason.

    Args:
        reference: ``NAME`` for its champion, ``NAME@ALIAS``, or a version ``NAME@3``.
        tolerance: How large a difference may be that is not called one.

    Raises:
        NotFoundError: If there is no such version, or its recipe names what no longer exists.
        RegistryError: If its files are lost, were changed, or say too little.
        DataError: If its data cannot be restored; says how to get them.
    """
    then = recorded(reference)
    recipe = _rebuilt(then)
    with isolation.scratch("reproduce") as folder:
        for material in {then.pretext, then.data}:
            isolation.fetch(material, folder, progress.bar)
        with isolation.isolated(folder / "project"), reproduction.threads_of(then.environment):
            detector, report = _train(then, recipe, folder)
            now = registry.folder(detector.model_uri)
            lacking = unrecorded(then.lineage["recipe"], recipe)
            found = reproduction.compare(then, now, report, tolerance, lacking)
    return reproduction.log(found)


def _rebuilt(then: Recorded) -> Recipe:
    recipe: Recipe = rebuild(then.lineage["recipe"], then.folder / "sources")
    device = "cpu" if then.lineage["device"] == "cpu" else "auto"
    return replace(recipe, training=replace(recipe.training, device=device))


def _train(then: Recorded, recipe: Recipe, folder: Path) -> tuple[TrainedModel, Report]:
    """What ``retrain`` does from ``pretrain`` to ``evaluate``, on the recorded data versions."""
    training, name = recipe.training, recipe.name
    before, version = (isolation.bring_in(each, folder) for each in (then.pretext, then.data))
    encoder = pretrain.fn(before, recipe.encoder, recipe.pretext, training, name)
    described = recipes.describe(recipe)
    detector = fit.fn(version, then.validation, encoder, recipe.detector, training, described, name)
    return detector, evaluate.fn(version, detector)
