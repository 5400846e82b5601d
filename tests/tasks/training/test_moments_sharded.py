"""Moments in shards; that workers agree with this process is tested in tests/flows/test_divided."""

from models.encoders.pixels import Pixels
from models.one_class.pooled_gaussian import PooledGaussian
from tasks.data import snapshots, versions
from tasks.records import TrainedModel, Training
from tasks.training import devices, inputs, moments_store
from tasks.training.batches import identity
from tasks.training.moments import Source
from tasks.training.moments_sharded import ShardedSource
from tests.tasks.pictures import write_clips

TRAINING = Training(window=6, batch_size=4, device="cpu")
NOWHERE = TrainedModel(run_id="", model_uri="", data_digest="")


def test_what_is_not_divided_is_computed_here(repository):
    write_clips(repository / "data" / "clips", clips=4)
    snapshot = snapshots.open_version(versions.add("clips"))
    config = PooledGaussian.Config(num_votes=1, neighbourhood=1)
    model = config.build(Pixels.Config(channels=6).build())
    clips = {identity(clip): clip for clip in inputs.normal_clips(snapshot, TRAINING)[0]}
    given = (model, TRAINING, devices.fabric("cpu"), devices.Usage())
    expected = Source(*given).each(snapshot, clips)
    found = ShardedSource(*given, NOWHERE, config).each(snapshot, clips)
    assert {key: moments_store.digest(each) for key, each in found.items()} == {
        key: moments_store.digest(each) for key, each in expected.items()
    }
