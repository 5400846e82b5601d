"""The normal images of a data version, as pretraining and fitting take them."""

from typing import Any

from tasks.batches import Batches, split_calibration
from tasks.datasets import Snapshot
from tasks.records import Training


def normal_batches(snapshot: Snapshot, training: Training) -> tuple[Batches, Batches]:
    """Normal images to train on, and those held out for thresholds and p-values.

    Pretext task and detector hold out the same clips, so that nothing of a detector has ever been
    trained on the images that calibrate it.

    Raises:
        DataError: If there is too little for two parts.
    """
    clips = snapshot.clips("train")
    train, held_out = split_calibration(
        clips, training.calibration_share, training.seed, training.window
    )
    common: dict[str, Any] = {
        "batch_size": training.batch_size,
        "window": training.window,
        "channels": training.channels,
        "image_size": training.image_size,
    }
    return (
        Batches(snapshot, train, shuffle=True, seed=training.seed, **common),
        Batches(snapshot, held_out, **common),
    )
