"""What the features of every pretext task are worth, beside features that cost nothing to learn.

Claims: each task's features beat those of a random trunk for a linear classifier or for neighbours
on two sets at least; the best of them gain 0.05 AUC over it under the same detector.

    python -m benchmarks.pretext --data DIR [--seeds 3] [--steps 300] [--rows NAME ...] [--quick]

With ``--own``, each task is held to its own trivial answer instead, on images held out from its
training: the mean image for holes, each pixel's histogram for bits, raw pixels for triplets and for
views of one image, chance for permutations and transformations; result ``pretext_own``. A task
beats it on a set if its margin, mean less spread over the seeds, is above 0.

DIR holds mnist, fashion-mnist, cifar10, magnetic_tile, ped2 and weights, as far as you have them;
what is missing is left out and noted. A killed run goes on where it stopped. No choice here looks
at a label of a test image.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from benchmarks import _comparators, _modern, _probes, _sets
from benchmarks._comparators import Features
from benchmarks._result import report
from benchmarks._rows import Rows
from benchmarks._sets import ImageSet
from benchmarks._training import Solved, solve, tasks
from models.errors import UnseenError

CLIPS = "ped2"
"""Where tasks that need movement are trained; elsewhere they show what transfers."""
SHARE = 0.4
"""Of the batches of small images, so many are taken of tiles and frames, which are much larger."""
SHOWN = ("probe", "knn", "detector_auc")
FREE = ("random", "pca", "squeezenet")
OWN_SETS = (CLIPS, "cifar10")
"""Where tasks are held to their own trivial answers: frames of a camera, and pictures of things."""
TRIVIAL = {
    "hole_mse": "mean_image_mse",
    "bits_per_dim": "histogram_bits_per_dim",
    "triplet_accuracy": "pixel_triplet_accuracy",
    "accuracy": "pixel_accuracy",
    "permutation_accuracy": "chance_permutation_accuracy",
}
"""Figures of the tasks and what they are held to; ``chance`` where there is no such figure."""
LESS_IS_BETTER = ("hole_mse", "bits_per_dim")
SETS = ("mnist", "fashion", "cifar10", "magnetic_tile", "ped2")


class Benchmark:
    """Measures features of one row on one set for one seed.

    Args:
        data: Folder of the sets and the weights.
        num_images: Training images of a labelled set, at most.
        steps: Batches that a pretext task is trained on; fewer of tiles and frames, as ``SHARE``
            says.
    """

    def __init__(self, data: Path, num_images: int, steps: int) -> None:
        self._readers = _sets.available(data, num_images)
        self._weights = data / "weights" / _comparators.SQUEEZENET
        self._steps = steps
        self._tasks = tasks()
        self.sets = cache(lambda name: self._readers[name]())
        self.solved = cache(self._solve)

    def set_names(self) -> list[str]:
        """Sets that can be read, in the order to take them."""
        return [name for name in SETS if name in self._readers]

    def absent(self) -> dict[str, str]:
        """What cannot be measured here, and why."""
        lacking = {name: "not in the data folder" for name in SETS if name not in self._readers}
        if not self._weights.is_file():
            lacking["squeezenet"] = f"weights/{_comparators.SQUEEZENET} is not in the data folder"
        return lacking

    def row_names(self) -> list[str]:
        """Rows that can be measured: what is for free first."""
        return [n for n in (*FREE, "simclr", *self._tasks) if n not in self.absent()]

    def measure(self, row: str, image_set: str, seed: int) -> tuple[dict[str, float], str]:
        """Figures of a row on a set, and what a reader must know of them."""
        images = self.sets(image_set)
        if row in self._tasks:
            solved, note = self._solved_somewhere(row, image_set, seed)
            figures = {
                "images_per_second": solved.images_per_second,
                "preparation_share": solved.preparation_share,
                **{f"own_{name}": value for name, value in solved.figures.items()},
            }
            return {
                **_worth(_comparators.of_trunk(solved.trunk), images),
                **({} if note else figures),
            }, note
        return _worth(self._free(row, images, seed), images), ""

    def _solve(self, row: str, image_set: str, seed: int) -> Solved:
        images = self.sets(image_set)
        return solve(self._tasks[row], images, seed=seed, steps=self._num_steps(images))

    def _num_steps(self, images: ImageSet) -> int:
        return round(self._steps * (SHARE if images.train_labels is None else 1))

    def _solved_somewhere(self, row: str, image_set: str, seed: int) -> tuple[Solved, str]:
        try:
            return self.solved(row, image_set, seed), ""
        except UnseenError as error:
            if image_set == CLIPS or CLIPS not in self._readers:
                raise
            note = f"trained on {CLIPS}, because here: {error}"
            return self.solved(row, CLIPS, seed), note

    def _free(self, row: str, images: ImageSet, seed: int) -> Features:
        makers: Mapping[str, Callable[[], Features]] = {
            "random": lambda: _comparators.of_trunk(_comparators.random_trunk(images.train, seed)),
            "pca": lambda: _comparators.pca(images.train),
            "squeezenet": lambda: _comparators.squeezenet(self._weights),
            "simclr": lambda: _comparators.of_trunk(
                _modern.simclr(images.split()[0], seed=seed, steps=self._num_steps(images) // 4)
            ),
        }
        return makers[row]()


def _worth(features: Features, images: ImageSet) -> dict[str, float]:
    if images.train_labels is None:
        return _probes.detect(features.places, images)
    return _probes.classify(features.whole, images)


def verdicts(metrics: Mapping[str, float], rows: list[str], sets: list[str]) -> dict[str, float]:
    """What the claims say: sets on which a row beats the random trunk, and its gain in AUC.

    A row wins a set if, for the linear probe or for neighbours, its mean less its spread lies above
    the random trunk's mean plus its spread.
    """
    found: dict[str, float] = {}
    for row in (r for r in rows if r != "random"):
        wins = 0
        for name in sets:
            margins = [
                metrics[f"{figure}_{row}_{name}"]
                - metrics[f"{figure}_{row}_{name}_std"]
                - metrics[f"{figure}_random_{name}"]
                - metrics[f"{figure}_random_{name}_std"]
                for figure in ("probe", "knn")
                if f"{figure}_{row}_{name}" in metrics and f"{figure}_random_{name}" in metrics
            ]
            wins += any(margin > 0 for margin in margins)
            ours, random = (metrics.get(f"detector_auc_{r}_{name}") for r in (row, "random"))
            if ours is not None and random is not None:
                found[f"detector_gain_{row}_{name}"] = ours - random
        found[f"wins_{row}"] = wins
    return found


def margins(figures: Mapping[str, float]) -> dict[str, float]:
    """A task's own figures beside the trivial answer: figure, answer, and by how much it is better.

    Errors and bits count against the trivial ones, as a share of them; accuracies as they are.
    """
    found: dict[str, float] = {}
    for name, trivial in TRIVIAL.items():
        if name in figures:
            own, other = figures[name], figures.get(trivial, figures.get("chance", math.nan))
            better = (other - own) / other if name in LESS_IS_BETTER else own - other
            found |= {name: own, trivial if trivial in figures else "chance": other}
            found["margin"] = better
    return found


class Own(Benchmark):
    """Holds each task to its own trivial answer."""

    def set_names(self) -> list[str]:
        """Sets that can be read, in the order to take them."""
        return [name for name in OWN_SETS if name in self._readers]

    def row_names(self) -> list[str]:
        """The tasks."""
        return list(self._tasks)

    def measure(self, row: str, image_set: str, seed: int) -> tuple[dict[str, float], str]:
        """Figures of a task on a set."""
        return margins(self.solved(row, image_set, seed).figures), ""


def beaten(metrics: Mapping[str, float], rows: list[str], sets: list[str]) -> dict[str, float]:
    """1 where a task's margin, mean less spread, is above 0; else 0."""
    return {
        f"beats_{row}_{name}": float(margin - metrics[f"margin_{row}_{name}_std"] > 0)
        for row in rows
        for name in sets
        if (margin := metrics.get(f"margin_{row}_{name}")) is not None
    }


def run(benchmark: Benchmark, rows: Rows, names: list[str], seeds: list[int]) -> dict[str, str]:
    """Measure all that is not yet there, first seed first; return what failed."""
    failed: dict[str, str] = {}
    for seed in seeds:
        for row in names:
            if seed != seeds[0] and row in ("pca", "squeezenet"):
                continue  # they know no chance
            for image_set in sorted(benchmark.set_names(), key=lambda name: name != CLIPS):
                if (row, image_set, seed) in rows:
                    continue
                began = time.perf_counter()
                try:
                    figures, note = benchmark.measure(row, image_set, seed)
                except Exception as error:
                    failed[f"failed_{row}_{image_set}"] = f"{type(error).__name__}: {error}"
                    print(f"seed {seed}  {row:20} {image_set:14} failed: {error}", flush=True)
                    continue
                rows.add(row, image_set, seed, figures, note)
                told = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
                seconds = time.perf_counter() - began
                print(f"seed {seed}  {row:20} {image_set:14} {seconds:5.1f} s  {told}", flush=True)
            benchmark.solved.cache_clear()
    return failed


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--steps", type=int, default=300, help="batches that a task is trained on")
    parser.add_argument("--images", type=int, default=1500, help="of a labelled set, to train on")
    parser.add_argument("--rows", nargs="+", default=[], help="only these; all if left out")
    parser.add_argument("--own", action="store_true", help="beside the tasks' trivial answers")
    parser.add_argument("--quick", action="store_true", help="a smoke test: one seed, one epoch")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.steps, given.images = 1, 8, 300
    benchmark = (Own if given.own else Benchmark)(given.data, given.images, given.steps)
    names = [name for name in benchmark.row_names() if name in given.rows or not given.rows]
    seeds = list(range(given.seeds))
    settings = {"steps": given.steps, "images": given.images, "data": given.data.resolve()}
    settings |= {"own": True} if given.own else {}
    rows = Rows(settings)
    print(f"Rows are kept in {rows.path}", flush=True)
    failed = run(benchmark, rows, names, seeds)
    metrics = rows.metrics()
    print(rows.table(("margin",) if given.own else SHOWN))
    judged = (beaten if given.own else verdicts) if len(seeds) > 1 else lambda *_: {}
    report(
        "pretext" + "_own" * given.own + "-quick" * given.quick,
        {**metrics, **judged(metrics, names, benchmark.set_names())},
        seeds=seeds,
        durations=rows.seconds(),
        notes={
            **{f"absent_{name}": why for name, why in benchmark.absent().items()},
            **{f"transfer_{place}": note for place, note in rows.notes.items()},
            **failed,
            "training": f"{given.steps} batches of 32 ({SHARE:.0%} of that on tiles and frames), "
            f"{given.images} images of a labelled set",
        },
    )


if __name__ == "__main__":
    main()
