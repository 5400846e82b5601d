"""Measure a test split in shards: every part as it would be scored here, so the same results."""

import time

from prefect import task

from models.contracts import Progress, silent
from tasks.data import snapshots
from tasks.evaluation import put_in, scoring
from tasks.evaluation.measure import Measured, joined, measure
from tasks.packaging import package
from tasks.packaging.detector import Packaged
from tasks.packaging.program import STEADY
from tasks.records import DataVersion, TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.training import sharding


@task(name="measure-shard", **sharding.ONCE)
def measure_shard(part: range, version: DataVersion, detector: TrainedModel) -> Measured:
    """Score some parts of the test split of a data version.

    Args:
        part: Places of the parts.
        version: Data; what is not in DVC's cache here is fetched from its remote.
        detector: A packaged detector in MLflow.

    Raises:
        DataError: If the data cannot be read.
        RegistryError: If the packaged detector does not load.
    """
    mlflow_store.client()  # a worker may not have been told of the store by anybody
    packaged = package.load(model_versions.folder(detector.model_uri), device="auto", engine=STEADY)
    return measure(version, packaged, silent, part)


def measured(
    version: DataVersion, detector: TrainedModel, packaged: Packaged, progress: Progress
) -> Measured:
    """Score the test split of a data version, in shards if there are to be some.

    Args:
        version: Data.
        detector: A packaged detector in MLflow.
        packaged: The same, loaded.
        progress: Shows the parts, if they are scored here.
    """
    snapshot = snapshots.open_version(version)
    if sharding.num() == 1 or put_in.wanted(snapshot):
        return measure(version, packaged, progress)
    started = time.perf_counter()
    weights = scoring.weights(snapshot, snapshot.clips("test"), packaged.preprocessing.window)
    ranges = sharding.cut(weights, sharding.num())
    found = sharding.each(measure_shard, ranges, version=version, detector=detector)
    return joined(found, time.perf_counter() - started)
