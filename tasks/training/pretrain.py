"""Pretrain: train an encoder on normal images by a pretext task, as one MLflow run."""

import time

import mlflow
from mlflow.entities import Metric

from models.capabilities import Pretrained
from models.contracts import Encoder, EncoderConfig, PretextConfig
from models.encoders.alexnet import AlexNetTrunk
from tasks.data import mlflow_dataset, snapshots
from tasks.records import DataVersion, TrainedModel, Training
from tasks.registry import lineage_record, mlflow_store
from tasks.registry.caching import remembered
from tasks.registry.tags import BACKBONE, DEVICE
from tasks.training import devices, encoder_store, inputs
from tasks.training.batches import identity
from tasks.training.pretext import contact_sheet, examples
from tasks.training.pretext.solve import Solution, solve
from tasks.training.pretext.torchrun import solve_together
from tasks.training.pretext.track_pairs import TrackedPairs


@remembered("pretrain {pretext} on {version}", apart_from=("training.smoothing",))
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
    is trained, and the encoder has torchvision's AlexNet weights; without a task it stays as built,
    with its own weights if it is a pretrained one.

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
    params = mlflow_store.flatten({"encoder": encoder, "pretext": pretext, "training": training})
    backbone = training.backbone if training.backbone == "imagenet" or pretext else "untrained"
    tags = lineage_record.data_tags(version)
    with mlflow_store.run("pretrain", model_name, tags=tags, params=params) as active:
        run_id = active.info.run_id
        mlflow_dataset.log_input(version, "training")
        fabric = devices.fabric(training.device)
        fabric.seed_everything(training.seed, verbose=False)
        if training.backbone == "imagenet":
            trunk: Encoder = AlexNetTrunk.Config(temporal=False).build().load_imagenet()
        else:
            trunk = encoder.build()
            if isinstance(trunk, Pretrained):
                trunk.load_pretrained()
                backbone = backbone if pretext else "imagenet"
        seen: list[str] = []
        if backbone == "pretext":
            assert pretext is not None
            snapshot = snapshots.open_version(version)
            seen = [identity(clip) for clip in inputs.normal_clips(snapshot, training)[0]]
            images, held_out = inputs.pretext_batches(snapshot, training, pretext)
            if training.devices > 1:
                solution = solve_together(version, trunk, pretext, training)
            else:
                alone = solve(pretext.build(trunk), images, held_out, fabric)
                assert alone is not None  # one process is the first
                solution = alone
            trunk.load_state_dict(solution.encoder)
            _log(solution, run_id)
            for pairs in (images, held_out):
                if isinstance(pairs, TrackedPairs):
                    contact_sheet.log(pairs.tracks)
        mlflow.set_tag(BACKBONE, backbone)
        encoder_store.log(trunk, version, backbone, seen)
    return TrainedModel(
        run_id=run_id,
        model_uri=f"runs:/{run_id}/{encoder_store.FOLDER}",
        data_digest=version.digest,
    )


def _log(solution: Solution, run_id: str) -> None:
    """The task's own figures and a picture, both of images that it was not trained on."""
    mlflow.set_tag(DEVICE, solution.device)
    mlflow.log_metrics(dict(solution.usage))
    moment = int(time.time() * 1000)
    losses = [Metric("loss", loss, moment, epoch) for epoch, loss in enumerate(solution.losses, 1)]
    mlflow_store.client().log_batch(run_id, metrics=losses)
    mlflow.log_metrics({f"pretext.{name}": value for name, value in solution.figures.items()})
    mlflow.log_image(examples.sheet(solution.examples), artifact_file="pretext/examples.png")
