"""Reproduce: train a registered version again from what was recorded, and compare."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flows import recipes
from flows.recipes import Recipe
from flows.recipes.adaptation import Adaptation
from flows.recipes.rebuild import rebuild, unrecorded
from models.errors import RegistryError
from models.former_names import present
from tasks.evaluation.evaluate import evaluate
from tasks.lineage import reproduction, sandbox
from tasks.lineage.compare_models import Tolerance
from tasks.lineage.reproduction import Reproduction
from tasks.lineage.training_record import Material, Recorded, recorded
from tasks.platform import files, progress
from tasks.records import DataVersion, Source, TrainedModel
from tasks.registry import model_versions
from tasks.training.adaptation.adapt import adapt
from tasks.training.adaptation.recalibrate import recalibrate
from tasks.training.adaptation.source_detector import recall
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain

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
    recipe, source = _rebuilt(then), _source(then)
    needed = {each for each in (then.source, then.pretext, then.data) if each}
    with files.scratch("reproduce") as folder:
        for material in needed:
            sandbox.fetch(material, folder, progress.bar)
        with sandbox.isolated(folder / "project"), reproduction.threads_of(then.environment):
            versions = {each: sandbox.bring_in(each, folder) for each in needed}
            if source is None:
                detector = _train(then, recipe, versions)
            else:
                detector = _adapt(then, recipe, source, versions)
            report = evaluate.fn(versions[then.data], detector)
            now = model_versions.folder(detector.model_uri)
            lacking = unrecorded(then.lineage["recipe"], recipe)
            found = reproduction.compare(then, now, report, tolerance, lacking)
    return reproduction.log(found)


def _rebuilt(then: Recorded) -> Any:
    recipe = rebuild(present(then.lineage["recipe"]), then.folder / "sources")
    device = "cpu" if then.lineage["device"] == "cpu" else "auto"
    return replace(recipe, training=replace(recipe.training, device=device))


def _source(then: Recorded) -> Source | None:
    """The detector that the version was adapted from, where it can be read from anywhere."""
    known = then.lineage.get("source")
    if not known:
        return None
    found: Source = recall.fn(f"{known['name']}@{known['version']}")
    if found.digest != known["digest"]:
        raise RegistryError(
            f"{then.reference} was adapted from {known['name']}@{known['version']} with the digest "
            f"{known['digest']}, which is {found.digest} now. Restore the artifact store."
        )
    return replace(found, model_uri=str(model_versions.folder(found.model_uri).parents[1]))


def _train(
    then: Recorded, recipe: Recipe, versions: Mapping[Material, DataVersion]
) -> TrainedModel:
    """What ``retrain`` does, on the recorded data versions."""
    training, name, described = recipe.training, recipe.name, recipes.describe(recipe)
    before, version, validation = versions[then.pretext], versions[then.data], then.validation
    encoder = pretrain.fn(before, recipe.encoder, recipe.pretext, training, name)
    trained: TrainedModel = fit.fn(
        version, validation, encoder, recipe.detector, training, described, name
    )
    return trained


def _adapt(
    then: Recorded, recipe: Adaptation, source: Source, versions: Mapping[Material, DataVersion]
) -> TrainedModel:
    """What ``adapt`` does, on the recorded data versions of both cameras."""
    assert then.source
    source = replace(source, data=versions[then.source])
    training, name, described = recipe.training, recipe.name, recipes.describe(recipe)
    version, validation = versions[then.data], then.validation
    encoder = adapt.fn(source, version, recipe.adapter, training, name)
    trained: TrainedModel = recalibrate.fn(
        source, version, validation, encoder, training, described, name
    )
    return trained
