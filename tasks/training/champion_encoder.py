"""Inherit: go on with the encoder of the present champion, instead of training another."""

from collections.abc import Mapping
from typing import Any

from prefect import task

from models.errors import InvalidInputError
from tasks.platform import former_names
from tasks.platform.outages import RETRIED
from tasks.records import TrainedModel
from tasks.registry import mlflow_store, model_versions, version_facts
from tasks.training import encoder_store

SAME = ("encoder", "pretext", "training")
"""Parts of the recipe that the encoder depends on."""


@task(task_run_name="inherit encoder of {model_name}", **RETRIED)
def inherit(model_name: str, recipe: Mapping[str, Any]) -> TrainedModel:
    """Return the run that trained the encoder of the champion.

    A detector on the same encoder can be compared with the champion feature by feature, and one
    whose statistics add up is refitted from what changed in the data. What the encoder itself
    learned from clips that are gone meanwhile stays in it: only pretraining forgets that.

    Args:
        model_name: Registered model.
        recipe: The whole experiment; its encoder, pretext task and training must be the champion's.

    Raises:
        NotFoundError: If there is no champion.
        InvalidInputError: If the recipe would train another encoder.
    """
    client = mlflow_store.client()
    champion = model_versions.resolve(client, model_name, model_versions.CHAMPION)
    lineage = version_facts.gather(client, champion).lineage
    former = lineage.get("recipe") or {}
    differing = [key for key in SAME if _plain(former.get(key)) != _plain(recipe.get(key))]
    if differing:
        raise InvalidInputError(
            f"The encoder of {model_name} version {champion.version} can be kept only by the "
            f"recipe that it was trained with, and {', '.join(differing)} differ. Retrain without "
            "--keep-encoder."
        )
    run_id = str(lineage["pretext"]["run_id"])
    return TrainedModel(
        run_id=run_id,
        model_uri=f"runs:/{run_id}/{encoder_store.FOLDER}",
        data_digest=str((lineage["pretext"].get("data") or {}).get("digest", "")),
    )


def _plain(value: Any) -> Any:
    """JSON's idea of a value, and without the device, which does not decide what is learned.

    What is None is left out too: the facts of a version do not keep it.
    """
    if isinstance(value, Mapping):
        kept = {key: inner for key, inner in value.items() if key != "device" and inner is not None}
        if "class" in kept:
            kept["class"] = former_names.present(str(kept["class"]))
        return {key: _plain(inner) for key, inner in kept.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
