"""Deep clustering of handwritten digits without labels, as published: cluster and score one set.

Claims: DCEC reaches an accuracy of .85 on MNIST-test and .79 on USPS, its variant with augmentation
.965 and .95, none of them falls below the clusters it starts from, and training is faster than the
straightforward way.

    python -m benchmarks.dcec --data DIR [--seeds 5] [--full] [--only METHOD/SET ...] [--quick]

DIR holds mnist (idx files) and usps (usps.npz), as far as you have them. MNIST-test are the 10,000
images of MNIST's test file, USPS all 9,298, MNIST-full all 70,000. There is no split, as in the
papers: labels are read once a model is trained, to score it. Epochs default to the published ones
on a GPU and to fewer on a CPU, where the first stage then has a cycle of the rate instead of a
constant one, as the variant with augmentation always has; and the names of the figures end in
``_cpu``. A killed run goes on where it stopped.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import _plain, _sets
from benchmarks._result import over_seeds, report
from benchmarks._rows import Rows
from models.clustering.dcec import DCEC, ClusteredAutoencoder, DeepClustering, DeepClusteringConfig
from models.clustering.spectral_dec import SpectralDEC
from models.contracts import silent
from models.encoders.pixels import Pixels
from models.functional.shuffled import Shuffled
from models.metrics import clustering

Labelled = tuple[Tensor, NDArray[np.int64]]
NAMES = {
    "acc_dcec_mnist_test": "mnist_test_acc",
    "nmi_dcec_mnist_test": "mnist_test_nmi",
    "start_acc_dcec_mnist_test": "kmeans_start_mnist_test_acc",
    "acc_dcec_usps": "usps_acc",
    "nmi_dcec_usps": "usps_nmi",
    "start_acc_dcec_usps": "kmeans_start_usps_acc",
    "acc_strong_mnist_test": "strong_mnist_acc",
    "nmi_strong_mnist_test": "strong_mnist_nmi",
    "start_acc_strong_mnist_test": "start_strong_mnist_acc",
    "acc_strong_usps": "strong_usps_acc",
    "nmi_strong_usps": "strong_usps_nmi",
    "start_acc_strong_usps": "start_strong_usps_acc",
    "acc_dcec_mnist_full": "mnist_full_acc",
    "nmi_dcec_mnist_full": "mnist_full_nmi",
    "acc_strong_mnist_full": "strong_mnist_full_acc",
    "nmi_strong_mnist_full": "strong_mnist_full_nmi",
}
"""What is reported of the figures that are kept, and as what."""
PUBLISHED_EPOCHS = 200
"""Of DCEC's first stage."""
TIMED = 20
"""Batches of an epoch that is timed, of 256 images of 28 x 28 pixels."""
ROUNDS = 5
"""Such epochs of each way, by turns; the medians are compared."""


def available(folder: Path, *, full: bool, num: int) -> dict[str, Callable[[], Labelled]]:
    """Readers of the sets that a folder has, by name; at most ``num`` images of each."""
    found: dict[str, Callable[[], Labelled]] = {}
    if (folder / "usps").is_dir():
        found["usps"] = partial(_usps, folder / "usps", num)
    if (folder / "mnist").is_dir():
        found["mnist_test"] = partial(_mnist, folder / "mnist", num, test_only=True)
        if full:
            found["mnist_full"] = partial(_mnist, folder / "mnist", num, test_only=False)
    return found


def _mnist(folder: Path, num: int, *, test_only: bool) -> Labelled:
    found = _sets.read_idx(folder, 60_000)
    if test_only:
        return found.test[:num], found.test_labels[:num]
    assert found.train_labels is not None
    labels = np.concatenate([found.train_labels, found.test_labels])
    return torch.cat([found.train, found.test])[:num], labels[:num]


def _usps(folder: Path, num: int) -> Labelled:
    with np.load(next(iter(sorted(folder.glob("*.npz"))))) as arrays:
        images = np.concatenate([arrays["train_images"], arrays["test_images"]])[:num, None]
        labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]])[:num]
    return torch.from_numpy(images), labels.astype(np.int64)


def measure(
    labelled: Labelled, config: DCEC.Config | SpectralDEC.Config, seed: int, fabric: Fabric
) -> dict[str, float]:
    """Cluster a set; only then look at its labels."""
    images, classes = labelled
    side = images.shape[-1]
    config = replace(config, side=side, seed=seed)
    batches = [part.float() / 255 for part in torch.split(images, 1024)]
    began = time.perf_counter()
    model = config.build(Pixels.Config().build()).fit(batches, batches[:1], fabric=fabric)
    seconds = time.perf_counter() - began
    start, end = model.start_labels_.numpy(), model.labels_.numpy()
    return {
        "acc": clustering.accuracy(classes, end, config.num_clusters),
        "nmi": clustering.normalized_mutual_information(classes, end),
        "ari": clustering.adjusted_rand_index(classes, end),
        "start_acc": clustering.accuracy(classes, start, config.num_clusters),
        "start_nmi": clustering.normalized_mutual_information(classes, start),
        "iterations": model.history_[-1].iteration,
        "changed": model.history_[-1].changed,
        "seconds": seconds,
    }


def speed_ratio(fabric: Fabric) -> dict[str, float]:
    """Seconds of an epoch of reconstruction, the plain way over ours; above 1 ours is faster.

    Both get the same random images and batches of one size; what they hold does not matter.
    """
    images = torch.rand(TIMED * 256, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    config = DeepClusteringConfig(epochs=1)
    ours, plain = ClusteredAutoencoder(1, config).to(fabric.device), _plain.autoencoder(28)
    ours.reset(0)
    source = Shuffled([images], seed=0)
    training = DeepClustering(ours, source, config, fabric=fabric, progress=silent)
    plain.to(fabric.device)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)
    batches = [part.to(fabric.device) for part in torch.split(images, 256)]
    spent: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        training.pretrain()
        middle = time.perf_counter()
        _plain.train_epoch(plain, optimizer, batches)
        spent["ours"].append(middle - began)
        spent["plain"].append(time.perf_counter() - middle)
    ratios = [p / o for p, o in zip(spent["plain"][1:], spent["ours"][1:], strict=True)]
    return {
        "speed_ratio": statistics.median(ratios),
        "speed_ratio_std": statistics.stdev(ratios),
        "speed_ratio_min": min(ratios),
        "speed_ratio_max": max(ratios),
        "seconds_per_20_batches": statistics.median(spent["ours"][1:]),
    }


def summarize(values: Mapping[str, list[float]], suffix: str) -> dict[str, float]:
    """Mean, spread, least and most over seeds of what is reported."""
    metrics: dict[str, float] = {}
    for kept, name in NAMES.items():
        if found := values.get(kept):
            metrics |= over_seeds(f"{name}{suffix}", found)
            if len(found) > 1:
                metrics[f"{name}{suffix}_min"] = min(found)
                metrics[f"{name}{suffix}_max"] = max(found)
    return metrics


def _arguments(*, gpu: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, ...")
    parser.add_argument(
        "--epochs", type=int, default=PUBLISHED_EPOCHS if gpu else 40, help="of DCEC"
    )
    parser.add_argument(
        "--strong-epochs", type=int, default=500 if gpu else 10, help="with augmentation"
    )
    parser.add_argument("--iterations", type=int, default=20_000 if gpu else 2500, help="at most")
    parser.add_argument(
        "--strong-iterations", type=int, default=20_000 if gpu else 900, help="with augmentation"
    )
    parser.add_argument("--full", action="store_true", help="MNIST-full as well")
    parser.add_argument("--only", nargs="+", default=[], help="such as dcec/usps; all if left out")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one seed, few images")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.epochs, given.strong_epochs = 1, 20, 20
        given.iterations = given.strong_iterations = 20
    return given


def main() -> None:
    """Measure, write the result, print it last."""
    gpu = torch.cuda.is_available()
    given = _arguments(gpu=gpu)
    configs = _configs(given)
    fabric = Fabric(
        accelerator="cuda" if gpu else "cpu", devices=1, precision="bf16-mixed" if gpu else None
    )
    readers = available(given.data, full=given.full, num=500 if given.quick else 70_000)
    settings = {**configs, "quick": given.quick, "gpu": gpu}
    rows = Rows(settings, Path(tempfile.gettempdir()) / "unseen-benchmark-dcec")
    print(f"Rows are kept in {rows.path}", flush=True)
    for seed in range(given.seeds):
        for image_set, read in readers.items():
            for method, config in configs.items():
                wanted = f"{method}/{image_set}" in given.only or not given.only
                if not wanted or (method, image_set, seed) in rows:
                    continue
                found = measure(read(), _for(config, image_set), seed, fabric)
                rows.add(method, image_set, seed, found)
                told = "  ".join(f"{key} {value:.4f}" for key, value in found.items())
                print(f"seed {seed}  {method:6} {image_set:10}  {told}", flush=True)
    counted = Counter(f"{method} on {image_set}" for method, image_set, _ in rows.figures())
    least = min(given.iterations, given.strong_iterations)
    reduced = given.epochs < PUBLISHED_EPOCHS or given.strong_epochs < 500 or least < 20_000
    report(
        "dcec-quick" if given.quick else "dcec",
        {**summarize(rows.values(), "_cpu" if reduced else ""), **speed_ratio(fabric)},
        seeds=list(range(given.seeds)),
        durations=rows.seconds(),
        notes={
            "training": f"{given.epochs} epochs (DCEC) and {given.strong_epochs} (strong) before "
            f"clustering, then at most {given.iterations} and {given.strong_iterations} steps",
            "strong": "ConvDEC-DA (shifts of 10%, rotations of 10 degrees) from a spectral start, "
            "settings chosen on images 10,000 to 39,999 of MNIST's training file at 28 x 28 and "
            "16 x 16 pixels; strong_mnist is MNIST-test, the 10,000 images of the test file",
            "seeds of each": ", ".join(f"{row}: {num}" for row, num in sorted(counted.items())),
            "speed_ratio": "against plain PyTorch code written here, not a third party's",
        },
    )


def _configs(given: argparse.Namespace) -> dict[str, DCEC.Config | SpectralDEC.Config]:
    """As published, and with augmentation, by their rows."""
    return {
        "dcec": DCEC.Config(
            epochs=given.epochs,
            max_iterations=given.iterations,
            peak_rate=SpectralDEC.Config().peak_rate if given.epochs < PUBLISHED_EPOCHS else 0.0,
        ),
        "strong": SpectralDEC.Config(
            epochs=given.strong_epochs, max_iterations=given.strong_iterations
        ),
    }


def _for(
    config: DCEC.Config | SpectralDEC.Config, image_set: str
) -> DCEC.Config | SpectralDEC.Config:
    """Large sets have a longer interval with augmentation, as published."""
    if isinstance(config, SpectralDEC.Config) and image_set == "mnist_full":
        return replace(config, update_interval=140)
    return config


if __name__ == "__main__":
    main()
