"""The normal images of a data version, as pretraining and fitting take them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from models.contracts import PretextConfig
from models.errors import DataError
from models.pretext.video_triplet import VideoTriplet
from tasks.data import copies
from tasks.data.snapshots import Clip, Snapshot
from tasks.platform import progress
from tasks.records import Training
from tasks.training.batches import Batches, split_calibration
from tasks.training.pretext import mine_tracks
from tasks.training.pretext.track_pairs import TrackedPairs

PAIRS_PER_TRACK = 4
"""Pairs that a track gives in an epoch."""
MOST_HELD_OUT = 256
"""Held-out tracks that are compared with each other."""


def normal_clips(
    snapshot: Snapshot, training: Training, seen: Collection[str] = ()
) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Normal clips to train on, and those held out for thresholds and p-values.

    Pretext task and detector hold out the same clips, so that nothing of a detector has ever been
    trained on the images that calibrate it.

    Args:
        snapshot: A data version.
        training: How much to hold out, and the seed.
        seen: Identities of the clips that the encoder was trained on, if that was on another data
            version: they are not held out as long as there are others.

    Raises:
        DataError: If there is too little for two parts.
    """
    share, seed, window = training.calibration_share, training.seed, training.window
    clips = snapshot.clips("train")
    return split_calibration(clips, share, seed, window, seen, copies.groups(snapshot))


def normal_batches(
    snapshot: Snapshot, training: Training, seen: Collection[str] = ()
) -> tuple[Batches, Batches]:
    """The images of ``normal_clips``: shuffled ones to train on, and those held out in order.

    Raises:
        DataError: If there is too little for two parts.
    """
    train, held_out = normal_clips(snapshot, training, seen)
    common = reading(training)
    return (
        Batches(snapshot, train, shuffle=True, seed=training.seed, **common),
        Batches(snapshot, held_out, **common),
    )


@dataclass(frozen=True, kw_only=True)
class Normal:
    """The normal images that a detector is fitted on, and those that set its thresholds."""

    batches: Batches
    """What is learned from."""
    clips: tuple[Clip, ...]
    """That they are from."""
    calibration: Batches | None
    """Held-out images; None if each image of ``batches`` calibrates too, in its turn."""
    calibration_clips: tuple[Clip, ...]
    """That calibrate, in the order of their scores."""

    @property
    def probe(self) -> Batches:
        """Images by which a detector and its package are compared."""
        return self.calibration or self.batches


def normal_images(
    snapshot: Snapshot, training: Training, seen: Collection[str], *, cross: bool
) -> Normal:
    """The images to fit a detector on.

    Args:
        snapshot: A data version.
        training: How they are read, and how much is held out.
        seen: As in ``normal_clips``.
        cross: All images are learned from, in order, and all calibrate; of still images that show
            the same only the first, as none may calibrate what its own copy has taught.

    Raises:
        DataError: If there is too little for two parts.
    """
    if not cross:
        clips, held_out = normal_clips(snapshot, training, seen)
        batches, calibration = normal_batches(snapshot, training, seen)
        return Normal(
            batches=batches, clips=clips, calibration=calibration, calibration_clips=held_out
        )
    clips = distinct(snapshot)
    batches = Batches(snapshot, clips, **reading(training))
    return Normal(batches=batches, clips=clips, calibration=None, calibration_clips=clips)


def distinct(snapshot: Snapshot) -> tuple[Clip, ...]:
    """Training clips without still images that show what an earlier one shows."""
    clips, first = snapshot.clips("train"), copies.groups(snapshot)
    kept = tuple(clip for clip in clips if len(clip.frames) > 1 or first[clip.name] == clip.name)
    if len(kept) == 1 < len(clips):
        raise DataError(
            f"Training and calibration need images that differ, and all {len(clips)} images of "
            "train/good show the same. Add others."
        )
    return kept


def reading(training: Training) -> dict[str, Any]:
    """Options of ``Batches`` that say what an input is."""
    return {
        "batch_size": training.batch_size,
        "window": training.window,
        "channels": training.channels,
        "image_size": training.image_size,
    }


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
    parts = normal_clips(snapshot, training)
    train, held_out = (
        mine_tracks.mine(
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
