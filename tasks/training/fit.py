"""Fit: train a detector on normal images as one MLflow run, and log its package."""

from typing import Any

import mlflow
import numpy as np
import torch
from torch import Tensor

from models.capabilities import CrossConformal, Restricted
from models.contracts import Additive, DetectorConfig
from tasks.data import mlflow_dataset, snapshots
from tasks.data.snapshots import Snapshot
from tasks.packaging import preprocessing
from tasks.platform import progress
from tasks.records import DataVersion, TrainedModel, Training, Validation
from tasks.registry import lineage_record, mlflow_store
from tasks.registry.caching import remembered
from tasks.registry.key_parts import classes
from tasks.registry.tags import DEVICE
from tasks.training import devices, encoder_store, feature_cache, inputs, moments
from tasks.training.log_detector import calibrate, log_fitted
from tasks.training.moments_sharded import ShardedSource


@remembered(
    "fit {detector} on {version}",
    apart_from=("recipe", "training.backbone", "training.devices"),
    code=lambda given: classes(given["recipe"], "encoder"),
)
def fit(
    version: DataVersion,
    validation: Validation,
    encoder: TrainedModel,
    detector: DetectorConfig,
    training: Training,
    recipe: dict[str, Any],
    model_name: str,
) -> TrainedModel:
    """Return the run that fitted a detector, and its packaged model, which was read back.

    Args:
        version: Data, whose normal training images are used.
        validation: Of that data; becomes part of the model's lineage.
        encoder: Of the pretext run.
        detector: Hyper-parameters.
        training: How images are read, and the device.
        recipe: The whole experiment, for the lineage.
        model_name: The experiment that the run belongs to.

    Raises:
        DataError: If the data cannot be read.
        NotFoundError: If the encoder's run is gone.
        RegistryError: If the packaged model does not score as the fitted one.
        TrainingError: If training fails.
    """
    tags = {**lineage_record.data_tags(version), "pretext_run_id": encoder.run_id}
    params = mlflow_store.flatten({"detector": detector, "training": training})
    with mlflow_store.run("fit", model_name, tags=tags, params=params) as active:
        mlflow_dataset.log_input(version, "training")
        snapshot = snapshots.open_version(version)
        trained, pretext = encoder_store.load(encoder)
        fabric = devices.fabric(training.device)
        fabric.seed_everything(training.seed, verbose=False)
        seen = encoder_store.trained_on(encoder)
        model, statistics = detector.build(trained), None
        cross = training.calibration == "cross" and not seen and isinstance(model, CrossConformal)
        normal = inputs.normal_images(snapshot, training, seen, cross=cross)
        if isinstance(model, Restricted):
            model.restrict(_region_of_interest(snapshot, training))
        known = feature_cache.cached(trained, version.name, fabric.device)
        with devices.measured() as usage, known:
            if isinstance(model, Additive) and not cross:
                source = ShardedSource(model, training, fabric, usage, encoder, detector)
                fitted = moments.fit(model, snapshot, normal.clips, normal.probe, source)
                statistics = fitted.describe()
            else:
                calibration: Any = normal.calibration  # None for a detector that can do without
                images = usage.count(normal.batches)
                model.fit(images, calibration, fabric=fabric, progress=progress.bar)
            raw = calibrate(model, normal, training.window)
        mlflow.set_tag(DEVICE, devices.name_of(fabric.device))
        mlflow.log_metrics(
            {**usage.metrics, "num_images": normal.batches.num_images, "threshold": model.threshold}
        )
        described = lineage_record.describe(
            version=version,
            validation=validation,
            pretext=pretext,
            recipe=recipe,
            seed=training.seed,
            run_id=active.info.run_id,
            device=devices.name_of(fabric.device),
            statistics=statistics,
        )
        model_uri = log_fitted(model, normal, snapshot, training, described, raw)
    return TrainedModel(run_id=active.info.run_id, model_uri=model_uri, data_digest=version.digest)


def _region_of_interest(snapshot: Snapshot, training: Training) -> Tensor | None:
    """Where a detector is to look, in the size of its images; None for everywhere."""
    found = snapshot.roi()
    if found is None:
        return None
    size = training.image_size or found.shape
    resized = preprocessing.resize(found.astype(np.uint8)[None] * 255, tuple(size))
    return torch.from_numpy(resized[0] >= 128)
