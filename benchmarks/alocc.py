"""ALOCC and OGNet on MNIST, one digit as normal, beside the baselines that a user would try first.

Claims: D(R(X)) tells other digits better than D(X); F1 of the normal digit >= 0.97 at 10% outliers
and >= 0.88 at 50%.

    python -m benchmarks.alocc --data DIR [--seeds 3] [--digits 0 1 ...] [--quick] [--choose]

DIR holds mnist. Each digit's training images train its detectors; as many as 1,000 further ones, of
which nothing is learned, set their thresholds; test images are scored. ``auc_mean*`` is the mean
over digits of the AUC against all other digits, ``auc_raw_d`` that of D(X) with the same D.
``*_ognet`` is OGNet, at the width of the run; ``*_alocc`` is ALOCC as published, always at full
width.

``f1_10`` to ``f1_50`` follow the paper: outliers, drawn from the other digits, make up that share
of what is scored, and normal is the positive class. The paper does not publish its threshold. Three
are given here:

- ``f1_*``: the detector's own, by default: 5% of normal calibration images reach it, whatever the
  share of outliers. A rate r that test images keep to bounds F1 by (1 - r) / (1 - r / 2): 0.974.
- ``f1_share_*``: told the share of outliers, that many of the highest scores are called anomalous
  (as scikit-learn's ``contamination``). It sees all that is scored at once, but no label.
- ``f1_oracle_*``: the best threshold by test labels, an upper bound and no result.

Hyper-parameters come from the papers, or were chosen at the CPU's sizes, a few digits at a time, on
the last 10,000 training images and their labels; no detector of such a run learns from these, and
no setting was chosen on the test images. ``--choose`` measures so. A killed run goes on where it
stopped.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score
from torch import Tensor

from benchmarks._result import over_seeds, report
from benchmarks._rows import Rows
from benchmarks._sets import ImageSet, read_idx
from models.contracts import Detector
from models.encoders.pixels import Pixels
from models.one_class.alocc import ALOCC
from models.one_class.deep_svdd import DeepSVDD
from models.one_class.isolation_forest import IsolationForest
from models.one_class.knn import NearestNeighbours
from models.one_class.ognet import OGNet
from models.one_class.one_class_svm import OneClassSVM
from models.one_class.pca_reconstruction import PCAReconstruction

SHARES = (10, 20, 30, 40, 50)
"""Outliers among what is scored, in percent."""
SIDE = 28
BASELINES: dict[str, Callable[[int], Detector]] = {
    "knn": lambda seed: NearestNeighbours.Config(grid=SIDE, seed=seed).build(_pixels()),
    "pca": lambda _: PCAReconstruction.Config(grid=SIDE).build(_pixels()),
    "ocsvm": lambda seed: OneClassSVM.Config(grid=SIDE, seed=seed).build(_pixels()),
    "iforest": lambda seed: IsolationForest.Config(grid=SIDE, seed=seed).build(_pixels()),
    "deep_svdd": lambda seed: DeepSVDD.Config(seed=seed).build(_pixels()),
}
NUM_CALIBRATION = 1000
"""Images of a digit that set thresholds: with 100 of them, 8.7% of test images reached the one of
5%."""
CHOOSING = 10_000
"""Last training images, on which settings are chosen."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a run costs: images of a digit to train on, images to test on, and the training."""

    num_train: int
    num_test: int
    width: int
    num_steps: int


def _pixels() -> Pixels:
    return Pixels.Config().build()


class Benchmark:
    """Measures a detector on a digit.

    Args:
        data: Folder with ``mnist``.
        sizes: Of the run.
        choosing: Test on training images that are kept back.
    """

    def __init__(self, data: Path, sizes: Sizes, *, choosing: bool = False) -> None:
        self._sizes = sizes
        self._read = cache(lambda: _images(data, choosing=choosing))
        self._fabric = Fabric(accelerator="auto", devices=1)

    def measure(self, name: str, digit: int, seed: int) -> dict[str, float]:
        """Figures of one detector, with the given digit as normal."""
        images = self._read()
        normal, held_out = self._normal(images, digit)
        pictures = images.test[: self._sizes.num_test]
        outlier = images.test_labels[: self._sizes.num_test] != digit
        if name in BASELINES:
            detector = BASELINES[name](seed)
            self._fit(detector, normal, held_out)
            return {"auc": float(roc_auc_score(outlier, _scores(detector, pictures)))}
        config = self._config(name, seed)
        refined = config.build(_pixels())
        self._fit(refined, normal, held_out)
        raw = dataclasses.replace(config, refined=False).build(_pixels())
        raw.load_state_dict(refined.state_dict())
        scores, unrefined = (
            _scores(detector.to(self._fabric.device), pictures) for detector in (refined, raw)
        )
        return {
            "auc": float(roc_auc_score(outlier, scores)),
            "auc_raw_d": float(roc_auc_score(outlier, unrefined)),
            "false_alarm_rate": float((scores[~outlier] >= refined.threshold).mean()),
            "stopped_at": _stopped_at(refined),
            **f1_by_share(scores, outlier, refined.threshold, seed),
        }

    def _config(self, name: str, seed: int) -> ALOCC.Config | OGNet.Config:
        steps = self._sizes.num_steps
        if name == "alocc":
            return ALOCC.Config(num_steps=steps, seed=seed)
        return OGNet.Config(width=self._sizes.width, num_steps=steps, seed=seed)

    def _normal(self, images: ImageSet, digit: int) -> tuple[Tensor, Tensor]:
        """Training images of a digit: those to learn from, and others for thresholds."""
        assert images.train_labels is not None
        found = images.train[torch.from_numpy(images.train_labels == digit)]
        kept = min(self._sizes.num_train, round(0.9 * len(found)))
        return found[:kept], found[kept : kept + NUM_CALIBRATION]

    def _fit(self, detector: Detector, normal: Tensor, held_out: Tensor) -> None:
        parts = ([part.float() / 255 for part in torch.split(t, 500)] for t in (normal, held_out))
        detector.fit(*parts, fabric=self._fabric)


def _stopped_at(detector: ALOCC | OGNet) -> float:
    """Steps of the adversarial training."""
    if isinstance(detector, OGNet):
        return float(detector.steps_.max()) - detector.config.contrast_steps
    return float(detector.step_)


def _images(data: Path, *, choosing: bool) -> ImageSet:
    images = read_idx(data / "mnist", 60_000)
    if not choosing:
        return images
    labels = images.train_labels
    assert labels is not None
    return ImageSet(
        train=images.train[:-CHOOSING],
        test=images.train[-CHOOSING:],
        train_labels=labels[:-CHOOSING],
        test_labels=labels[-CHOOSING:],
    )


def _scores(detector: Detector, images: Tensor) -> NDArray[np.float64]:
    parts = [
        detector(part.float() / 255).image_score.double().cpu() for part in torch.split(images, 500)
    ]
    return torch.cat(parts).numpy()


def f1_by_share(
    scores: NDArray[np.float64], outlier: NDArray[np.bool_], threshold: float, seed: int
) -> dict[str, float]:
    """F1 of the normal class with so many outliers mixed in.

    Args:
        scores: Of test images; higher is more anomalous.
        outlier: Which of them are none of the normal digit.
        threshold: Label-free, of ``f1_*``. ``f1_share_*`` calls as many anomalous as outliers were
            mixed in; ``f1_oracle_*`` takes the best threshold by labels.
        seed: Of the outliers drawn.
    """
    normal, others = scores[~outlier], scores[outlier]
    draw, found = np.random.default_rng(seed), {}
    for share in SHARES:
        number = min(round(len(normal) * share / (100 - share)), len(others))
        mixed = np.concatenate([normal, draw.choice(others, number, replace=False)])
        truth = np.arange(len(mixed)) < len(normal)
        found[f"f1_{share}"] = float(f1_score(truth, mixed < threshold))
        first_called = np.partition(mixed, len(normal))[len(normal)]
        found[f"f1_share_{share}"] = float(f1_score(truth, mixed < first_called))
        precision, recall, _ = precision_recall_curve(truth, -mixed)
        both = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        found[f"f1_oracle_{share}"] = float(both.max())
    return found


def summary(rows: Rows, suffix: str) -> dict[str, float]:
    """Mean over digits of each figure, then mean and spread over seeds."""
    by_seed: dict[str, dict[int, list[float]]] = {}
    for (row, _, seed), figures in rows.figures().items():
        for figure, value in figures.items():
            name = f"{figure}_{row}"
            by_seed.setdefault(name, {}).setdefault(seed, []).append(value)
    found: dict[str, float] = {}
    for name, seeds in by_seed.items():
        label = name if "raw_d" in name else name.replace("auc", "auc_mean")
        means = [statistics.fmean(values) for values in seeds.values()]
        found |= over_seeds(label + suffix, means)
    for (row, digit, seed), figures in rows.figures().items():
        if row == "ognet" and seed == 0:
            found[f"auc_ognet_{digit}{suffix}"] = figures["auc"]
    return found


def run(
    benchmark: Benchmark, rows: Rows, digits: list[int], seeds: list[int], names: list[str]
) -> None:
    """Measure all that is not yet there."""
    for name in names:
        for seed in seeds:
            for digit in digits:
                if (name, f"digit{digit}", seed) in rows:
                    continue
                began = time.perf_counter()
                figures = benchmark.measure(name, digit, seed)
                rows.add(name, f"digit{digit}", seed, figures)
                shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
                seconds = time.perf_counter() - began
                print(f"seed {seed}  {name:10} {digit}  {seconds:5.1f} s  {shown}", flush=True)


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--digits", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--images", type=int, help="of a digit, to train on")
    parser.add_argument("--steps", type=int, help="of the adversarial training")
    names = ["ognet", "alocc", *BASELINES]
    parser.add_argument("--rows", nargs="+", default=names, choices=names)
    parser.add_argument("--choose", action="store_true", help="on training images kept back")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one seed, few steps")
    given = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    sizes = (
        Sizes(num_train=6000, num_test=10_000, width=64, num_steps=1000)
        if on_gpu
        else Sizes(num_train=5000, num_test=2000, width=16, num_steps=150)
    )
    if given.quick:
        given.seeds, sizes = 1, Sizes(num_train=100, num_test=300, width=4, num_steps=10)
    asked = {"num_train": given.images, "num_steps": given.steps}
    sizes = dataclasses.replace(sizes, **{key: n for key, n in asked.items() if n})
    seeds, suffix = list(range(given.seeds)), "" if on_gpu else "_cpu"
    settings = {**dataclasses.asdict(sizes), "data": given.data.resolve(), "by": given.choose}
    rows = Rows(settings, Path(tempfile.gettempdir()) / "unseen-benchmark-alocc")
    print(f"Rows are kept in {rows.path}", flush=True)
    benchmark = Benchmark(given.data, sizes, choosing=given.choose)
    run(benchmark, rows, given.digits, seeds, given.rows)
    report(
        "alocc" + "-quick" * given.quick + "-choose" * given.choose,
        summary(rows, suffix),
        seeds=seeds,
        durations=rows.seconds(),
        notes={
            "sizes": ", ".join(
                f"{key} {value}" for key, value in dataclasses.asdict(sizes).items()
            ),
            "digits": ", ".join(str(digit) for digit in given.digits),
            "threshold": "f1_*: reached by 5% of normal calibration images; f1_share_*: by the "
            "known share of outliers; f1_oracle_*: best by test labels, a bound",
            "alocc": "as published, 64 channels and 4 layers of stride 2 at every size of the run",
        },
    )


if __name__ == "__main__":
    main()
