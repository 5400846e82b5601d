"""The normal images of a data version, as pretraining and fitting take them."""

from typing import Any

from models.contracts import PretextConfig
from models.pretext.video_triplet import VideoTriplet
from tasks import progress, tracks
from tasks.batches import Batches, split_calibration
from tasks.datasets import Snapshot
from tasks.pairs import TrackedPairs
from tasks.records import Training

PAIRS_PER_TRACK = 4
"""Pairs that a track gives in an epoch."""
MOST_HELD_OUT = 256
"""Held-out tracks that are compared with each other."""


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


def pretext_batches(
    snapshot: Snapshot, training: Training, pretext: PretextConfig
) -> tuple[Batches | TrackedPairs, Batches | TrackedPairs]:
    """What a pretext task is trained on and judged by: normal images, or pairs for video triplets.

    Both come from the same clips as in ``normal_batches``.

    Raises:
        DataError: If there is too little for two parts, or video triplets find nothing that moves.
        InvalidInputError: If the frames are smaller than the patches of video triplets.
    """
    if not isinstance(pretext, VideoTriplet.Config):
        return normal_batches(snapshot, training)
    parts = split_calibration(
        snapshot.clips("train"), training.calibration_share, training.seed, training.window
    )
    train, held_out = (
        tracks.mine(
            snapshot,
            clips,
            training,
            side=pretext.patch,
            length=pretext.length,
            progress=progress.bar,
        )
        for clips in parts
    )
    return (
        TrackedPairs(
            train,
            batch_size=training.batch_size,
            shuffle=True,
            repeats=PAIRS_PER_TRACK,
            seed=training.seed,
        ),
        TrackedPairs(held_out, batch_size=MOST_HELD_OUT),
    )
