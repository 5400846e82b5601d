"""Retrain: from a data version to a champion, or to the reason why there is no new one."""

from pathlib import Path

from prefect import flow

from flows import recipes
from tasks.data.ingest import ingest
from tasks.data.validate import validate
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.sample import sample
from tasks.records import Decision
from tasks.registry.caching import refreshed
from tasks.registry.promote import promote
from tasks.registry.register import register
from tasks.training.champion_encoder import inherit
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain
from tasks.training.retrain_turn import turn
from tasks.training.sharding import divided


@flow
def retrain(  # noqa: PLR0913 - every option of the command
    recipe: str = "walkway",
    data: Path | None = None,
    device: str | None = None,
    backbone: str | None = None,
    seed: int | None = None,
    *,
    keep_encoder: bool = False,
    if_busy: str = "wait",
    devices: int | None = None,
    shards: int = 1,
    scheduler: str | None = None,
    refresh: bool = False,
) -> Decision:
    """Train a challenger on the current data version and promote it if it is not worse.

    Args:
        recipe: Name of a function of ``flows/recipes.py``, or ``path/to/file.py:name``.
        data: Folder to bring in as the recipe's data set first; else the current version is used.
        device: ``auto``, ``cpu`` or ``cuda``, instead of the recipe's.
        backbone: ``pretext`` or ``imagenet``, instead of the recipe's.
        seed: Seed of every random choice, instead of the recipe's.
        keep_encoder: Fit on the champion's encoder instead of training one. A detector whose
            statistics add up is then refitted from the difference between the data versions.
        if_busy: ``wait`` if the model is being retrained already, or ``refuse``.
        devices: Processes that train the pretext task together, instead of the recipe's.
        shards: Processes that divide features, moments and evaluation between them; the result is
            the same. Only for detectors that learn nothing but moments.
        scheduler: Address of a Dask cluster to do it; else as many processes are started here.
        refresh: Compute every step again, whatever is remembered.

    Returns:
        What was decided about the challenger, and why.
    """
    overrides = {"device": device, "backbone": backbone, "seed": seed, "devices": devices}
    chosen = recipes.load(recipe, **overrides)
    recipes.check_divisible(chosen, shards)
    with turn(chosen.name, if_busy), divided(shards, scheduler), refreshed(wanted=refresh):
        version = ingest(chosen.dataset, data)
        validation = validate(version, chosen.expectations, chosen.name)
        if keep_encoder:
            encoder = inherit(chosen.name, recipes.describe(chosen))
        else:
            encoder = pretrain(
                version, chosen.encoder, chosen.pretext, chosen.training, chosen.name
            )
        detector = fit(
            version,
            validation,
            encoder,
            chosen.detector,
            chosen.training,
            recipes.describe(chosen),
            chosen.name,
        )
        report = evaluate(version, detector)
        sample(version, detector)
        challenger = register(detector, report, chosen.name)
        decision: Decision = promote(challenger, report, chosen.promotion)
        return decision
