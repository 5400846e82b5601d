"""Fit: train a detector as ``retrain`` does and look at it first; nothing is registered."""

from pathlib import Path

from prefect import flow

from flows import recipes
from flows.recipes import catalog
from flows.recipes.asked import Options, asked, settled
from tasks.data.ingest import ingest
from tasks.data.validate import validate
from tasks.platform.flow_run import first_name
from tasks.records import TrainedModel
from tasks.training.choose_detector import choose_detector
from tasks.training.fit import fit as fit_detector
from tasks.training.pretrain import pretrain
from tasks.training.retrain_turn import turn


@flow(flow_run_name=first_name)
def fit(
    recipe: str | None = None,
    data: Path | None = None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    options: Options = Options(),  # noqa: B008 - frozen
) -> TrainedModel:
    """Train a detector on the current data version, up to where ``retrain`` evaluates it.

    Steps are remembered: ``retrain`` with the same arguments computes none of them again.

    Args:
        recipe: As ``retrain`` takes it, like ``data``, ``name`` and ``dataset``.
        data: Folder to bring in first.
        name: Of the model that it is to be a version of.
        dataset: Of the data set.
        options: What to change in the recipe.

    Returns:
        Where MLflow keeps the packaged detector.
    """
    wanted = asked(recipe, data, name, dataset, options)
    with turn(wanted.name):
        version = ingest(wanted.dataset, data)
        chosen = wanted.complete(version)
        training, model = chosen.training, chosen.name
        validation = validate(version, chosen.expectations, model)
        trunk = pretrain(version, chosen.encoder, chosen.pretext, training, model)
        if wanted.auto:
            selection = choose_detector(version, trunk, catalog.candidates(), training, model)
            chosen = settled(chosen, selection, options)
        described = recipes.describe(chosen)
        fitted: TrainedModel = fit_detector(
            version, validation, trunk, chosen.detector, training, described, model
        )
        return fitted
