"""Pretrain: train an encoder on normal images by a pretext task, as one MLflow run."""

import time

import mlflow
from lightning_fabric import Fabric
from mlflow.entities import Metric
from prefect import task

from models.contracts import Encoder, EncoderConfig, PretextConfig, PretextTask
from models.encoders.alexnet import AlexNetTrunk
from tasks import (
    contact_sheet,
    datasets,
    devices,
    encoders,
    examples,
    inputs,
    lineage,
    progress,
    tracking,
)
from tasks.batches import Batches, identity
from tasks.caching import REMEMBERED
from tasks.pairs import TrackedPairs
from tasks.records import DataVersion, TrainedModel, Training

NUM_EXAMPLES = 6
"""Images in the picture of the task and its solution."""


@task(**REMEMBERED)
def pretrain(
    version: DataVersion,
    encoder: EncoderConfig,
    pretext: PretextConfig | None,
    training: Training,
    model_name: str,
) -> TrainedModel:
    """Return the run that trained an encoder on the normal images of a data version.

    The images that will calibrate the detector are held out: the encoder is not trained on them,
    and the task's own figures and examples are about them. With the backbone ``imagenet`` nothing
    is trained, and the encoder has torchvision's AlexNet weights; without a task it stays as built.

    Args:
        version: Data, whose normal training images are used.
        encoder: What to train.
        pretext: The self-supervised task; None trains nothing.
        training: How images are read, the backbone, and the device.
        model_name: The experiment that the run belongs to.

    Raises:
        DataError: If the data cannot be read, or is too little.
        NotFoundError: If the ImageNet weights cannot be had.
        TrainingError: If training fails.
    """
    params = tracking.flatten({"encoder": encoder, "pretext": pretext, "training": training})
    backbone = training.backbone if training.backbone == "imagenet" or pretext else "untrained"
    tags = {**lineage.data_tags(version), "backbone": backbone}
    with tracking.run("pretrain", model_name, tags=tags, params=params) as active:
        run_id = active.info.run_id
        lineage.log_input(version, "training")
        fabric = devices.fabric(training.device)
        fabric.seed_everything(training.seed, verbose=False)
        if training.backbone == "imagenet":
            trunk: Encoder = AlexNetTrunk.Config(temporal=False).build().load_imagenet()
        else:
            trunk = encoder.build()
        seen: list[str] = []
        if backbone == "pretext":
            assert pretext is not None
            snapshot = datasets.open_version(version)
            seen = [identity(clip) for clip in inputs.normal_clips(snapshot, training)[0]]
            images, held_out = inputs.pretext_batches(snapshot, training, pretext)
            solved = _solve(pretext.build(trunk), images, fabric, run_id)
            _log_solution(solved, held_out)
            for pairs in (images, held_out):
                if isinstance(pairs, TrackedPairs):
                    contact_sheet.log(pairs.tracks)
        encoders.log(trunk, version, backbone, seen)
    return TrainedModel(
        run_id=run_id,
        model_uri=f"runs:/{run_id}/{encoders.FOLDER}",
        data_digest=version.digest,
    )


def _solve(
    pretext: PretextTask, images: Batches | TrackedPairs, fabric: Fabric, run_id: str
) -> PretextTask:
    with devices.measured() as usage:
        pretext.fit(usage.count(images), fabric=fabric, progress=progress.bar)
    mlflow.set_tag(f"{tracking.TAG}device", devices.name_of(fabric.device))
    mlflow.log_metrics({**usage.metrics, "num_images": images.num_images})
    moment = int(time.time() * 1000)
    losses = [Metric("loss", loss, moment, epoch) for epoch, loss in enumerate(pretext.history_, 1)]
    tracking.client().log_batch(run_id, metrics=losses)
    return pretext


def _log_solution(pretext: PretextTask, held_out: Batches | TrackedPairs) -> None:
    """The task's own figures and a picture, both of images that it was not trained on."""
    figures = pretext.evaluate(held_out)
    mlflow.log_metrics({f"pretext.{name}": value for name, value in figures.items()})
    first = next(iter(held_out))
    shown = pretext.examples(first[:: max(len(first) // NUM_EXAMPLES, 1)][:NUM_EXAMPLES])
    mlflow.log_image(examples.sheet(shown), artifact_file="pretext/examples.png")
