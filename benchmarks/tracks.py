"""Video triplets on mined tracks of ``walkway``: does the network know a tracked patch again?

Claims: on tracks of clips that it was not trained on, the first and last patch of a track are
nearer to each other than to a patch of another track in more than 97% of the triplets.

    python -m benchmarks.tracks [--seeds 3]

The recipe ``walkway_triplets`` as a user runs it: tracks are mined, followed by KCF, and trained
on. ``pixel_triplet_accuracy`` is that of the patches' pixels. The figure of the detector on the
trunk comes with it.
"""

import argparse

from benchmarks._product import Product, product
from benchmarks._result import over_seeds, report

OWN = "pretext."


def figures(clone: Product) -> dict[str, float]:
    """Own figures of the newest pretext run, and the frame AUC of its detector."""
    from mlflow import MlflowClient

    client = MlflowClient(clone.store, clone.store)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"])
    own = next(run.data.metrics for run in runs if f"{OWN}triplet_accuracy" in run.data.metrics)
    kept = {key.removeprefix(OWN): value for key, value in own.items() if key.startswith(OWN)}
    return {**kept, "frame_auc": clone.metrics("walkway")["frame_auc"]}


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--data", help="not needed: the data are embedded")
    seeds = list(range(parser.parse_args().seeds))
    found = []
    with product() as clone:
        for seed in seeds:
            clone.unseen("retrain", "--recipe", "walkway_triplets", "--seed", str(seed))
            found.append(figures(clone))
            told = "  ".join(f"{key} {value:.4f}" for key, value in found[-1].items())
            print(f"seed {seed}  {told}", flush=True)
    metrics: dict[str, float] = {}
    for name in found[0]:
        values = [each[name] for each in found]
        metrics |= over_seeds(name, values)
    report("tracks", metrics, seeds=seeds)


if __name__ == "__main__":
    main()
