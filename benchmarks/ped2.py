"""UCSD Ped2 through the whole product: how good its detector is, and what the run costs.

Claims: frame AUC of at least 0.97, frame EER of at most 0.11 and pixel-level EER of at most 0.15
by movement alone, without a trained network; peak memory of retraining below 4 GB.

    python -m benchmarks.ped2 --data DIR [--seeds 0 1 2]

DIR holds ``ped2``, as published or as ``unseen datasets`` describes it. Every test frame counts but
the first five of a clip, which have no full window before them. A killed run goes on where it
stopped.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks._product import product
from benchmarks._result import report
from benchmarks._rows import Rows

KEPT = ("frame_auc", "frame_eer", "pixel_eer", "false_alarm_rate", "detection_rate")


def retrained(folder: Path, seed: int) -> tuple[dict[str, float], str]:
    """Figures of one retraining in a clone of its own, and the version of its data."""
    with product() as clone:
        clone.unseen("ingest", "ped2", "--from", str(folder.resolve()), "--commit")
        run = clone.unseen("retrain", "--recipe", "ped2", "--seed", str(seed))
        metrics = clone.metrics("ped2")
        trace = json.loads(clone.unseen("trace", "ped2", "--json").output)
    found = {name: metrics[name] for name in KEPT if name in metrics}
    cost = {"retrain_s": run.seconds, "peak_memory_gb": run.peak_memory_gb}
    return found | cost, trace["data"]["version"]["digest"]


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with ped2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    rows = Rows({"benchmark": "ped2"}, Path(tempfile.gettempdir()) / "unseen-benchmark-ped2")
    for seed in given.seeds:
        if ("recipe", "ped2", seed) not in rows:
            figures, digest = retrained(given.data / "ped2", seed)
            rows.add("recipe", "ped2", seed, figures, note=digest)
        found = rows["recipe", "ped2", seed]
        print(f"seed {seed}", *(f"{key} {value:.4f}" for key, value in found.items()), flush=True)
    report(
        "ped2",
        {
            key.removesuffix("_recipe_ped2").replace("_recipe_ped2_", "_"): value
            for key, value in rows.metrics().items()
        },
        seeds=given.seeds,
        notes={"data": rows.notes["recipe_ped2"]},
    )


if __name__ == "__main__":
    main()
