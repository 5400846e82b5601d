"""Recalibrate: carry a registered detector over to another camera, as one MLflow run."""

from typing import Any

import mlflow

from models.contracts import Recalibrated
from models.errors import RegistryError
from tasks.data import mlflow_dataset, snapshots
from tasks.platform import progress
from tasks.records import DataVersion, Source, TrainedModel, Training, Validation
from tasks.registry import lineage_record, mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.registry.key_parts import classes
from tasks.registry.tags import DEVICE
from tasks.training import devices, encoder_store, inputs
from tasks.training.inputs import Normal
from tasks.training.log_detector import calibrate, log_fitted


@remembered(
    "recalibrate {source} on {version}",
    apart_from=("recipe",),
    code=lambda given: classes(given["source"].recipe, "encoder", "detector"),
)
def recalibrate(
    source: Source,
    version: DataVersion,
    validation: Validation,
    encoder: TrainedModel,
    training: Training,
    recipe: dict[str, Any],
    model_name: str,
) -> TrainedModel:
    """Return the run that gave a detector another encoder and thresholds of another camera.

    What the detector knows of normal stays that of the source, because adapted features are made
    to look like those of the source. Fitting it anew would need as many images as the source had,
    and would do without the adaptation: statistics that are taken from features fit any features.

    Args:
        source: The detector to carry over.
        version: Data of the other camera, whose held-out normal images set the thresholds.
        validation: Of that data.
        encoder: Of the adaptation run.
        training: How images of the other camera are read, and the device.
        recipe: The whole experiment, for the lineage.
        model_name: The experiment that the run belongs to.

    Raises:
        DataError: If the data cannot be read.
        NotFoundError: If the encoder's run is gone.
        RegistryError: If the source or the encoder does not fit the present code, or the packaged
            model does not score as the recalibrated one.
    """
    tags = {
        **lineage_record.data_tags(version),
        "pretext_run_id": encoder.run_id,
        "source_run_id": source.run_id,
    }
    params = mlflow_store.flatten({"training": training})
    with mlflow_store.run("recalibrate", model_name, tags=tags, params=params) as active:
        mlflow_dataset.log_input(version, "training")
        snapshot = snapshots.open_version(version)
        adapted, pretext = encoder_store.load(encoder)
        model = _carried_over(source, adapted.state_dict())
        fabric = devices.fabric(training.device)
        _, held_out = inputs.normal_batches(snapshot, training)
        _, clips = inputs.normal_clips(snapshot, training)
        normal = Normal(batches=held_out, clips=(), calibration=held_out, calibration_clips=clips)
        with devices.measured() as usage:
            model.recalibrate(usage.count(held_out), fabric=fabric, progress=progress.bar)
        mlflow.set_tag(DEVICE, devices.name_of(fabric.device))
        mlflow.log_metrics(
            {**usage.metrics, "num_images": held_out.num_images, "threshold": model.threshold}
        )
        described = lineage_record.describe(
            version=version,
            validation=validation,
            pretext=pretext,
            recipe=recipe,
            seed=training.seed,
            run_id=active.info.run_id,
            device=devices.name_of(fabric.device),
            source=source,
        )
        raw = calibrate(model, normal, training.window)
        model_uri = log_fitted(model, normal, snapshot, training, described, raw)
    return TrainedModel(run_id=active.info.run_id, model_uri=model_uri, data_digest=version.digest)


def _carried_over(source: Source, weights: dict[str, Any]) -> Recalibrated:
    """The source's detector on top of an encoder with these weights."""
    detector, _ = model_versions.rebuild(source.model_uri)
    assert isinstance(detector, Recalibrated)  # recall has refused any other
    try:
        detector.encoder.load_state_dict(weights)  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise RegistryError(
            f"The adapted encoder must fit the detector of {source.name} version {source.version}, "
            f"and does not: {error}. Adapt it again."
        ) from error
    return detector
