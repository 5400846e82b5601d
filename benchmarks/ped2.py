"""UCSD Ped2 through the whole product: how good its detector is, and what the run costs.

Claims: frame AUC of at least 0.85 with a trunk that our own pretext task trained on the normal
clips, no ImageNet, no label used for any choice; peak memory of retraining below 4 GB.

    python -m benchmarks.ped2 --data DIR [--seed 0]

DIR holds the set as published or as ``unseen datasets`` describes it. Every test frame counts but
the first five of a clip, which have no full window before them.
"""

import argparse
import json
from pathlib import Path

from benchmarks._product import product
from benchmarks._result import report

KEPT = ("frame_auc", "frame_eer", "pixel_eer", "false_alarm_rate", "detection_rate")


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with UCSD Ped2")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with product() as clone:
        clone.unseen("ingest", "ped2", "--from", str(given.data.resolve()), "--commit")
        run = clone.unseen("retrain", "--recipe", "ped2", "--seed", str(given.seed))
        metrics = clone.metrics("ped2")
        trace = json.loads(clone.unseen("trace", "ped2", "--json").output)
    report(
        "ped2",
        {
            **{name: metrics[name] for name in KEPT if name in metrics},
            "retrain_s": run.seconds,
            "peak_memory_gb": run.peak_memory_gb,
        },
        seeds=[given.seed],
        notes={"data": trace["data"]["version"]["digest"]},
    )


if __name__ == "__main__":
    main()
