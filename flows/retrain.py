"""Retrain: from a data version to a champion, or to the reason why there is no new one."""

from pathlib import Path

from prefect import flow

from flows import recipes
from flows.outcome import told
from flows.recipes import catalog
from flows.recipes.asked import Options, asked, settled
from tasks.data.ingest import ingest
from tasks.data.validate import validate
from tasks.evaluation.comparison import compare
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.sample import sample
from tasks.platform.flow_run import first_name
from tasks.records import Decision
from tasks.registry.caching import refreshed
from tasks.registry.promote import promote
from tasks.registry.register import register
from tasks.training.champion_encoder import inherit
from tasks.training.choose_detector import choose_detector
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain
from tasks.training.retrain_turn import turn
from tasks.training.sharding import divided


@flow(flow_run_name=first_name)
@told
def retrain(  # noqa: PLR0913 - every option of the command
    recipe: str | None = None,
    data: Path | None = None,
    device: str | None = None,
    backbone: str | None = None,
    seed: int | None = None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    detector: str | None = None,
    encoder: str | None = None,
    pretext: str | None = None,
    image_size: tuple[int, int] | None = None,
    settings: tuple[str, ...] = (),
    keep_encoder: bool = False,
    if_busy: str = "wait",
    devices: int | None = None,
    shards: int = 1,
    scheduler: str | None = None,
    again: bool = False,
    refresh: bool = False,
) -> Decision:
    """Train a challenger on the current data version and promote it if it is not worse.

    Args:
        recipe: Name of an embedded recipe, ``path/to/file.py:name`` or ``file.toml``. None takes
            ``walkway``, or chooses one for the data if a name or a data set is given.
        data: Folder to bring in as the data set first; else the current version is used.
        device: ``auto``, ``cpu`` or ``cuda``, instead of the recipe's.
        backbone: ``pretext`` or ``imagenet``, instead of the recipe's.
        seed: Seed of every random choice, instead of the recipe's.
        name: Of the registered model, and of the data set if that is not named.
        dataset: Of the data set, instead of the recipe's.
        detector: Name of a detector, or ``auto``, instead of the recipe's.
        encoder: ``NAME[:LAYER,LAYER]``, instead of the recipe's.
        pretext: Name of a pretext task or ``none``, instead of the recipe's.
        image_size: Height and width, instead of the recipe's.
        settings: ``FIELD.FIELD=VALUE``, the last word on any field of the recipe.
        keep_encoder: Fit on the champion's encoder instead of training one. A detector whose
            statistics add up is then refitted from the difference between the data versions.
        if_busy: ``wait`` if the model is being retrained already, or ``refuse``.
        devices: Processes that train the pretext task together, instead of the recipe's.
        shards: Processes that divide features, moments and evaluation between them; the result is
            the same. Only for detectors that learn nothing but moments.
        scheduler: Address of a Dask cluster to do it; else as many processes are started here.
        again: Decide anew about a version that was refused, or set aside by a person.
        refresh: Compute every step again, whatever is remembered.

    Returns:
        What was decided about the challenger, and why.
    """
    options = Options(
        detector=detector,
        encoder=encoder,
        pretext=pretext,
        image_size=image_size,
        settings=tuple(settings),
        device=device,
        backbone=backbone,
        seed=seed,
        devices=devices,
    )
    wanted = asked(recipe, data, name, dataset, options)
    with turn(wanted.name, if_busy), divided(shards, scheduler), refreshed(wanted=refresh):
        version = ingest(wanted.dataset, data)
        chosen = wanted.complete(version)
        recipes.check_divisible(chosen, shards)
        validation = validate(version, chosen.expectations, chosen.name)
        if keep_encoder:
            trunk = inherit(chosen.name, recipes.describe(chosen))
        else:
            trunk = pretrain(version, chosen.encoder, chosen.pretext, chosen.training, chosen.name)
        if wanted.auto:
            selection = choose_detector(
                version, trunk, catalog.candidates(), chosen.training, chosen.name
            )
            chosen = settled(chosen, selection, options)
        fitted = fit(
            version,
            validation,
            trunk,
            chosen.detector,
            chosen.training,
            recipes.describe(chosen),
            chosen.name,
        )
        report = evaluate(version, fitted)
        sample(version, fitted)
        challenger = register(fitted, report, chosen.name)
        comparison = compare(challenger, report, chosen.promotion, again=again)
        decision: Decision = promote(challenger, comparison, chosen.promotion, again=again)
        return decision
