"""Reproduce: train a registered version again from what was recorded, and compare."""

from dataclasses import replace

from flows import recipes
from flows.rebuild import rebuild, unrecorded
from tasks import isolation, progress, registry, reproduction
from tasks.agreement import Tolerance
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.pretrain import pretrain
from tasks.recorded import recorded
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
    described = then.lineage["recipe"]
    recipe = rebuild(described, then.folder / "sources")
    device = "cpu" if then.lineage["device"] == "cpu" else "auto"
    training = replace(recipe.training, device=device)
    with isolation.scratch("reproduce") as folder:
        for material in {then.pretext, then.data}:
            isolation.fetch(material, folder, progress.bar)
        with isolation.isolated(folder / "project"), reproduction.threads_of(then.environment):
            before, version = (
                isolation.bring_in(each, folder) for each in (then.pretext, then.data)
            )
            encoder = pretrain.fn(before, recipe.encoder, recipe.pretext, training, recipe.name)
            detector = fit.fn(
                version,
                then.validation,
                encoder,
                recipe.detector,
                training,
                recipes.describe(recipe),
                recipe.name,
            )
            report = evaluate.fn(version, detector)
            now = registry.folder(detector.model_uri)
            lacking = unrecorded(described, recipe)
            found = reproduction.compare(then, now, report, tolerance, lacking)
    return reproduction.log(found)
