"""Recall: a registered detector and what it was made from, as the start of another."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from prefect import task

from models.contracts import Recalibrated
from models.errors import InvalidInputError
from tasks.data import snapshots
from tasks.packaging.preprocessing import Preprocessing
from tasks.platform.outages import RETRIED
from tasks.records import DataVersion, Source, Training
from tasks.registry import mlflow_store, model_versions


@task(task_run_name="recall {reference}", **RETRIED)
def recall(reference: str) -> Source:
    """Find a registered detector that another camera's can be made from.

    Args:
        reference: ``NAME`` for its champion, ``NAME@ALIAS``, or a version ``NAME@3``.

    Raises:
        NotFoundError: If there is no such model, version or alias.
        RegistryError: If it is lost, was changed, or does not fit the present code.
        InvalidInputError: If its thresholds cannot be set without training it anew.
        DataError: If what it was trained on is lost.
    """
    found = model_versions.find(mlflow_store.client(), reference)
    packaged = model_versions.load(found)
    detector, preprocessing = model_versions.rebuild(found.source)
    if not isinstance(detector, Recalibrated):
        raise InvalidInputError(
            f"A detector that is carried over to another camera must be able to set its thresholds "
            f"anew, and {type(detector).__name__} of {found.name} version {found.version} cannot: "
            "it has no method recalibrate. Take another model, or train one for that camera."
        )
    data, recipe = DataVersion(**packaged.lineage["data"]), packaged.lineage["recipe"]
    return Source(
        name=found.name,
        version=int(found.version),
        run_id=found.run_id,
        model_uri=found.source,
        digest=packaged.digest,
        data=data,
        training=_training(recipe.get("training") or {}, preprocessing, data),
        recipe=recipe,
    )


def _training(
    described: Mapping[str, Any], preprocessing: Preprocessing, data: DataVersion
) -> Training:
    """How its images were read; frames of another camera are brought to the same size."""
    known = {each.name for each in fields(Training)}
    values = {key: value for key, value in described.items() if key in known}
    size = preprocessing.image_size
    if size is None:
        snapshot = snapshots.open_version(data)
        size = snapshot.frame_size(snapshot.clips("train")[0])
    window, channels = preprocessing.window, preprocessing.channels
    return Training(**{**values, "window": window, "channels": channels, "image_size": size})
