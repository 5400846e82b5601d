"""Adapt: fit the encoder of a registered detector to another camera, as one MLflow run."""

import time
from collections.abc import Mapping, Sequence
from statistics import fmean

import mlflow
from mlflow.entities import Metric

from models.contracts import AdapterConfig, Encoder
from tasks.data import mlflow_dataset, snapshots
from tasks.platform import progress
from tasks.records import DataVersion, Source, TrainedModel, Training
from tasks.registry import lineage_record, mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.registry.key_parts import classes
from tasks.registry.tags import DEVICE
from tasks.training import devices, encoder_store, inputs

MOST_POINTS = 100
"""Points of a curve that are logged; each is the mean of the steps that it stands for."""


@remembered(
    "adapt {source} to {version}",
    apart_from=("training.smoothing",),
    code=lambda given: classes(given["source"].recipe, "encoder"),
)
def adapt(
    source: Source,
    version: DataVersion,
    adapter: AdapterConfig,
    training: Training,
    model_name: str,
) -> TrainedModel:
    """Return the run that adapted an encoder to the normal images of a data version.

    It is given normal images of both cameras, and labels of neither. What calibrates a detector is
    held out in both. The encoder of the source stays as it is.

    Args:
        source: The detector whose encoder is adapted, and the data that this encoder knows.
        version: Data of the other camera, whose normal training images are used.
        adapter: How to adapt.
        training: How images of the other camera are read, and the device.
        model_name: The experiment that the run belongs to.

    Raises:
        DataError: If the data of either camera cannot be read, or are too little.
        InvalidInputError: If there is nothing to adapt, or too few images.
        RegistryError: If the source is lost, was changed, or does not fit the present code.
        TrainingError: If training fails.
    """
    params = mlflow_store.flatten({"adapter": adapter, "training": training})
    tags = {
        **lineage_record.data_tags(version),
        "backbone": "adapted",
        "source_run_id": source.run_id,
    }
    with mlflow_store.run("adapt", model_name, tags=tags, params=params) as active:
        run_id = active.info.run_id
        mlflow_dataset.log_input(version, "training")
        mlflow_dataset.log_input(source.data, "source")
        fabric = devices.fabric(training.device)
        fabric.seed_everything(training.seed, verbose=False)
        known, _ = inputs.normal_batches(snapshots.open_version(source.data), source.training)
        new, _ = inputs.normal_batches(snapshots.open_version(version), training)
        adapted = adapter.build(encoder_of(source))
        with devices.measured() as usage:
            adapted.fit(usage.count(known), usage.count(new), fabric=fabric, progress=progress.bar)
        mlflow.set_tag(DEVICE, devices.name_of(fabric.device))
        mlflow.log_metrics(
            {**usage.metrics, "num_images": new.num_images, "num_source_images": known.num_images}
        )
        mlflow_store.client().log_batch(run_id, metrics=curves(adapted.history_))
        encoder_store.log(adapted.encoder, version, "adapted")
    return TrainedModel(
        run_id=run_id,
        model_uri=f"runs:/{run_id}/{encoder_store.FOLDER}",
        data_digest=version.digest,
    )


def encoder_of(source: Source) -> Encoder:
    """The encoder of a registered detector, in the classes of the present code.

    Raises:
        RegistryError: If it is lost, was changed, or does not fit this code.
    """
    detector, _ = model_versions.rebuild(source.model_uri)
    found: Encoder = detector.encoder  # type: ignore[attr-defined]
    return found


def curves(history: Mapping[str, Sequence[float]]) -> list[Metric]:
    """Figures of each step as metrics, thinned out to what one can look at."""
    moment, found = int(time.time() * 1000), []
    for name, values in history.items():
        width = max(-(-len(values) // MOST_POINTS), 1)
        for start in range(0, len(values), width):
            part = values[start : start + width]
            found.append(Metric(name, fmean(part), moment, start + len(part)))
    return found
