"""Moments of clips, computed in shards: each clip as it would be here, so the same."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prefect import task
from torch import Tensor

from models.contracts import Additive, DetectorConfig
from models.functional.gaussian import Moments
from tasks.data import snapshots
from tasks.data.snapshots import Clip, Snapshot
from tasks.records import DataVersion, TrainedModel, Training
from tasks.registry import mlflow_store
from tasks.training import devices, encoder_store, inputs, sharding
from tasks.training.batches import identity
from tasks.training.moments import Source

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@task(name="moments-of-shard", **sharding.ONCE)
def moments_of_shard(
    part: tuple[str, ...],
    version: DataVersion,
    encoder: TrainedModel,
    detector: DetectorConfig,
    training: Training,
    *,
    together: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """Moments of some clips of a data version, as tensors, by the identity of each clip.

    Args:
        part: Identities of the clips.
        version: Data; what is not in DVC's cache here is fetched from its remote.
        encoder: Of the pretext run.
        detector: Hyper-parameters of an additive detector.
        training: How images are read, and the device.
        together: Of all these clips, by the identity of the first.

    Raises:
        DataError: If the data cannot be read.
        NotFoundError: If the encoder's run is gone.
    """
    mlflow_store.client()  # a worker may not have been told of the store by anybody
    snapshot = snapshots.open_version(version)
    trained, _ = encoder_store.load(encoder)
    model = detector.build(trained)
    assert isinstance(model, Additive)
    source = Source(model, training, devices.fabric(training.device), devices.Usage())
    known = {identity(clip): clip for clip in candidates(snapshot, encoder, training)}
    if together:
        return {part[0]: source.together(snapshot, {key: known[key] for key in part}).tensors()}
    return {key: source.moments(snapshot, known[key]).tensors() for key in part}


def candidates(snapshot: Snapshot, encoder: TrainedModel, training: Training) -> tuple[Clip, ...]:
    """Every clip of which a fit may want moments: whole ones, and what is left of a single one."""
    train, _ = inputs.normal_clips(snapshot, training, encoder_store.trained_on(encoder))
    return (*snapshot.clips("train"), *train)


class ShardedSource(Source):
    """Moments of clips, by one model, of which many are computed in shards.

    Args:
        model: What makes moments of images.
        training: How images are read.
        fabric: Device.
        usage: Counts the images.
        encoder: From which a worker can make the same model.
        detector: Hyper-parameters of the model.
    """

    def __init__(
        self,
        model: Additive,
        training: Training,
        fabric: "Fabric",
        usage: devices.Usage,
        encoder: TrainedModel,
        detector: DetectorConfig,
    ) -> None:
        super().__init__(model, training, fabric, usage)
        self.encoder, self.detector = encoder, detector

    def each(self, snapshot: Snapshot, clips: Mapping[str, Clip]) -> dict[str, Moments]:
        """Moments of each clip."""
        return self._sharded(snapshot, clips, together=False) or super().each(snapshot, clips)

    def together(self, snapshot: Snapshot, clips: Mapping[str, Clip]) -> Moments:
        """Moments of all clips: of each shard's, put together."""
        found = self._sharded(snapshot, clips, together=True)
        if not found:
            return super().together(snapshot, clips)
        return Moments.combined(found.values(), len(next(iter(found.values())).mean))

    def _sharded(
        self, snapshot: Snapshot, clips: Mapping[str, Clip], *, together: bool
    ) -> dict[str, Moments]:
        """As the shards computed them; nothing if one process is to do it."""
        keys = list(clips)
        weights = [self.images_of(clips[key]) for key in keys]
        ranges = sharding.cut(weights, sharding.num())
        if len(ranges) < 2:
            return {}
        found = sharding.each(
            moments_of_shard,
            [tuple(keys[place] for place in places) for places in ranges],
            version=snapshot.version,
            encoder=self.encoder,
            detector=self.detector,
            training=self.training,
            together=together,
        )
        self.usage.num_images += sum(weights)
        return {
            key: Moments.from_tensors(tensors) for shard in found for key, tensors in shard.items()
        }
