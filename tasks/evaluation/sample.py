"""Sample: let a density model draw, and show its pictures beside the images it learnt from.

Shapes: N = images, C = channels, H W = image.
"""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.contracts import DensityModel
from models.metrics import generation
from tasks.data import snapshots
from tasks.data.snapshots import Clip, Snapshot
from tasks.packaging import package
from tasks.packaging.detector import Packaged
from tasks.records import DataVersion, Samples, TrainedModel
from tasks.registry import mlflow_store, model_versions
from tasks.registry.caching import remembered
from tasks.training.batches import Batches
from tasks.training.pretext import examples

NUM, SHOWN = 64, 12
"""Pictures drawn, and of these the first ones shown."""
COMPARED = 5000
"""Training images that pictures are compared with, at most: the first ones."""
PICTURE = "samples/samples.png"


@remembered("sample {detector}")
def sample(version: DataVersion, detector: TrainedModel) -> Samples:
    """Log pictures that a packaged model draws to its run; nothing if it draws none.

    Each stands above the training image most like it. ``sample_distance`` is the median distance
    to that image over all pictures, ``test_distance`` the same for normal test images: pictures
    that lie much nearer are memorised rather than drawn.

    Args:
        version: Data that the model was trained on.
        detector: A packaged detector in MLflow.

    Raises:
        DataError: If the data cannot be read.
        RegistryError: If the packaged detector does not load.
    """
    packaged = package.load(model_versions.folder(detector.model_uri), device="auto")
    if not callable(getattr(packaged.detector, "sample", None)):
        return Samples(run_id=detector.run_id, num=0)
    model: DensityModel = packaged.detector  # type: ignore[assignment]
    drawn = model.sample(NUM, seed=0).cpu()
    snapshot = snapshots.open_version(version)
    training = _images(snapshot, snapshot.clips("train"), packaged)
    normal = [clip for clip in snapshot.clips("test") if clip.kind == "good"]
    nearest = generation.nearest(_flat(drawn), _flat(training))
    metrics = {"sample_distance": float(np.median(nearest.distance))}
    if normal:
        others = generation.nearest(_flat(_images(snapshot, normal, packaged)), _flat(training))
        metrics["test_distance"] = float(np.median(others.distance))
    shown = {
        "drawn": drawn[:SHOWN],
        "training image most like it": training[torch.from_numpy(nearest.place[:SHOWN])],
    }
    client = mlflow_store.client()
    client.log_image(detector.run_id, examples.sheet(shown), artifact_file=PICTURE)
    for name, value in metrics.items():
        client.log_metric(detector.run_id, name, value)
    return Samples(run_id=detector.run_id, num=NUM, metrics=metrics)


def _images(snapshot: Snapshot, clips: Iterable[Clip], packaged: Packaged) -> Tensor:
    how = packaged.preprocessing
    batches = Batches(
        snapshot,
        list(clips)[:COMPARED],
        batch_size=64,
        window=how.window,
        channels=how.channels,
        image_size=how.image_size,
    )
    return torch.cat(list(batches))[:COMPARED]


def _flat(images: Tensor) -> NDArray[np.float64]:
    return images.flatten(start_dim=1).double().numpy()
