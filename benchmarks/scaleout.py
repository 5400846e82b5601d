"""What dividing work between processes costs and gains: moments and evaluation in shards.

Claims: two Dask workers find the moments and scores that one process finds, to 1e-10 relative, and
are faster. All processes have one thread. Workers are started and have imported everything before
the clock runs; how long that takes stands beside it. With fewer than two free cores the speed-up
says little.

    python -m benchmarks.scaleout [--workers 2] [--repeats 3] [--quick]
"""

import argparse
import dataclasses
import os
import statistics
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from benchmarks._product import QUIET
from benchmarks._result import report
from flows import recipes
from models.contracts import Additive, silent
from models.encoders.alexnet import AlexNetTrunk
from models.functional.gaussian import Moments
from tasks.data import snapshots
from tasks.data.ingest import ingest
from tasks.data.validate import validate
from tasks.evaluation import measure_sharded
from tasks.lineage.sandbox import isolated
from tasks.packaging import package
from tasks.platform import prefect_server, workspace
from tasks.records import DataVersion, TrainedModel
from tasks.registry import model_versions
from tasks.training import devices, inputs, sharding
from tasks.training.batches import identity
from tasks.training.fit import fit
from tasks.training.moments_sharded import ShardedSource
from tasks.training.pretrain import pretrain

NAME = "scaleout"


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured: a data version, and a detector fitted on it."""

    version: DataVersion
    encoder: TrainedModel
    detector: TrainedModel
    recipe: recipes.Recipe


@dataclasses.dataclass(frozen=True)
class Found:
    """Results of one pass, and what they took."""

    total: Moments
    scores: pd.DataFrame
    seconds: dict[str, float]
    frames: dict[str, int]


def prepare(quick: bool) -> Subject:  # noqa: FBT001 - as the option
    """The pooled Gaussian on ``walkway``, on a trunk that nobody trained; or on still digits."""
    recipe = dataclasses.replace(
        recipes.load("walkway_pooled"), name=NAME, encoder=AlexNetTrunk.Config(), pretext=None
    )
    if quick:
        training = recipes.load("digits").training
        recipe = dataclasses.replace(recipe, dataset="digits", training=training)
    training = dataclasses.replace(recipe.training, device="cpu")
    version = ingest.fn(recipe.dataset)
    validation = validate.fn(version, recipe.expectations, NAME)
    encoder = pretrain.fn(version, recipe.encoder, None, training, NAME)
    described = recipes.describe(recipe)
    detector = fit.fn(version, validation, encoder, recipe.detector, training, described, NAME)
    return Subject(version, encoder, detector, dataclasses.replace(recipe, training=training))


@flow(name="scaleout")
def work(subject: Any, num: int, repeats: int) -> list[Found]:
    """Moments of the training clips and scores of the test split, by ``num`` processes."""
    with sharding.divided(num):
        one_pass(subject)  # imports, the first reading of the frames, the first connections
        return [one_pass(subject) for _ in range(repeats)]


def one_pass(subject: Subject) -> Found:
    """Both pieces of work, once."""
    training, detector = subject.recipe.training, subject.recipe.detector
    snapshot = snapshots.open_version(subject.version)
    clips = {identity(clip): clip for clip in inputs.normal_clips(snapshot, training)[0]}
    packaged = package.load(model_versions.folder(subject.detector.model_uri))
    model = detector.build(subject.recipe.encoder.build())
    model.encoder.load_state_dict(packaged.detector.encoder.state_dict())  # type: ignore[attr-defined]
    assert isinstance(model, Additive)
    usage = devices.Usage()
    fabric = devices.fabric("cpu")
    source = ShardedSource(model, training, fabric, usage, subject.encoder, detector)
    started = time.perf_counter()
    moments = source.each(snapshot, clips)
    between = time.perf_counter()
    measured = measure_sharded.measured(subject.version, subject.detector, packaged, silent)
    ended = time.perf_counter()
    return Found(
        total=Moments.combined(moments.values(), len(next(iter(moments.values())).mean)),
        scores=measured.scores,
        seconds={"moments": between - started, "evaluation": ended - between},
        frames={"moments": usage.num_images, "evaluation": len(measured.scores)},
    )


def difference(one: Found, other: Found) -> float:
    """Largest difference of count, mean, scatter and scores, relative to the largest of each."""
    pairs = [
        (one.total.mean, other.total.mean),
        (one.total.scatter, other.total.scatter),
        *(
            (torch.tensor(np.array(one.scores[name])), torch.tensor(np.array(other.scores[name])))
            for name in ("image_score", "p_value")
        ),
    ]
    if one.total.count != other.total.count or len(one.scores) != len(other.scores):
        return float("inf")
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def figures(alone: list[Found], divided: list[Found]) -> dict[str, float]:
    """Speed-ups of medians, frames per second, and the largest difference of any pass."""
    found = {"relative_error": max(difference(alone[0], each) for each in (*alone, *divided))}
    medians = {
        (kind, what): statistics.median(each.seconds[what] for each in passes)
        for kind, passes in (("one", alone), ("workers", divided))
        for what in ("moments", "evaluation")
    }
    total = {k: sum(v for (kind, _), v in medians.items() if kind == k) for k in ("one", "workers")}
    found["speedup"] = total["one"] / total["workers"]
    for what in ("moments", "evaluation"):
        found[f"speedup_{what}"] = medians["one", what] / medians["workers", what]
        for kind in ("one", "workers"):
            seconds = medians[kind, what]
            found[f"{what}_fps_{kind}"] = alone[0].frames[what] / seconds
    return found


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="digits instead of walkway")
    parser.add_argument("--data", help="not needed: the data are embedded")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.update({**QUIET, "OMP_NUM_THREADS": "1"})
    with TemporaryDirectory() as name, isolated(Path(name)), chdir(name):
        workspace.configure()
        url = prefect_server.connect()
        prefect_server.wait_until_healthy(url)
        try:
            subject = prepare(options.quick)
            with temporary_settings({PREFECT_API_URL: url}):
                before = psutil.cpu_percent(interval=3.0)
                alone = work(subject, 1, options.repeats)
                started = time.perf_counter()
                divided = work(subject, options.workers, options.repeats)
                passes = sum(sum(each.seconds.values()) for each in divided)
                overhead = time.perf_counter() - started - passes
        finally:
            prefect_server.stop()
    found = figures(alone, divided)
    found |= {"workers": float(options.workers), "start_and_first_pass_s": overhead}
    notes = {
        "data": f"{subject.version.name} {subject.version.digest}",
        "beside": f"{before:.0f}% of the cores were busy with other work before the measurement",
    }
    if options.quick:
        print({**found, **notes})
    else:
        report(NAME, found, seeds=[0], notes=notes)


if __name__ == "__main__":
    main()
