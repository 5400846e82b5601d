"""Does the measured false-alarm rate stay where the user set it? On made and on real normal clips.

Claims: with exchangeable clips, frames with a p-value of at most a are a share of at most a, also
where the frames of a clip are nearly equal; on normal clips of UCSD Ped2 that were neither trained
nor calibrated on, the measured rate lies within the 95% interval around the nominal one.

    python -m benchmarks.conformal --data DIR [--seeds 3] [--quick]

``exchangeable_*``: made scores, thousands of repetitions of 19 calibration clips and one new clip
of 50 frames that share most of their score; ``pooled`` ignores clips, as counting frames does.
``ped2_*``: normal training clips alone, no test frame. A third is left for measuring; a detector
with one Gaussian on an untrained trunk and movement is fitted on a third and calibrated on a third;
parts are dealt anew for each seed and each of its rounds. With five calibration clips the least
p-value is 1/6, so rates below are shown by pooled p-values alone.
"""

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import _sets
from benchmarks._result import over_seeds, report
from models.encoders.alexnet import AlexNetTrunk
from models.functional.conformal import clip_p_value, p_values, smallest_p_value
from models.functional.gaussian import Moments
from models.metrics.intervals import clopper_pearson, clustered_interval
from models.one_class.pooled_gaussian import PooledGaussian

RATES = (0.05, 0.1, 0.2)
NUM_CALIBRATION = 19
ROUNDS = 5


def exchangeable(seed: int, repetitions: int) -> dict[str, float]:
    """Measured rates in new clips, drawn like the calibration clips."""
    draw = torch.Generator().manual_seed(seed)
    clips = np.repeat(np.arange(NUM_CALIBRATION), 50)
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(repetitions):
        level = torch.randn(NUM_CALIBRATION + 1, 1, generator=draw)
        scores = level + 0.3 * torch.randn(NUM_CALIBRATION + 1, 50, generator=draw)
        known, new = scores[1:].flatten().numpy(), scores[0].numpy()
        by_clip, pooled = p_values(new, known, clips), p_values(new, known)
        whole = clip_p_value(new, known, clips)
        for rate in RATES:
            name = f"{100 * rate:02.0f}"
            rates[f"frames_{name}"].append(float((by_clip <= rate).mean()))
            rates[f"pooled_{name}"].append(float((pooled <= rate).mean()))
            rates[f"clips_{name}"].append(float(whole <= rate))
    found = {}
    for name, values in rates.items():
        found[f"exchangeable_{name}"] = statistics.fmean(values)
        if name.startswith("clips"):
            low, high = clopper_pearson(int(sum(values)), repetitions)
            found[f"exchangeable_{name}_low"], found[f"exchangeable_{name}_high"] = low, high
    return found


def read_clips(folder: Path) -> list[Tensor]:
    """Windows of each normal clip, at a third of the frames' size."""
    return [_sets._windows(path) for path in _sets._clips(folder / "train")]  # noqa: SLF001


def measured(clips: list[Tensor], seed: int) -> dict[str, float]:
    """Measured rates on normal clips that nothing was fitted or calibrated on."""
    torch.manual_seed(seed)
    detector = PooledGaussian.Config(num_votes=1).build(AlexNetTrunk.Config().build())
    moments = [detector.moments([clip.float() / 255]) for clip in clips]
    draw = np.random.default_rng(seed)
    hits: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
    owners = []
    for _ in range(ROUNDS):
        order = draw.permutation(len(clips))
        train, known, new = np.array_split(order, 3)
        total = Moments.combined((moments[k] for k in train), len(moments[0].mean))
        detector.fit_moments(total, [clips[k].float() / 255 for k in known])
        scores = {k: detector(clips[k].float() / 255).image_score.numpy() for k in (*known, *new)}
        calibration = np.concatenate([scores[k] for k in known])
        groups = np.concatenate([np.full(len(scores[k]), k) for k in known])
        fresh = np.concatenate([scores[k] for k in new])
        owners += [k for k in new for _ in range(len(scores[k]))]
        for rate in RATES:
            name = f"{100 * rate:02.0f}"
            by_clip = p_values(fresh, calibration, groups)
            hits[f"frames_{name}"].append(by_clip <= rate)
            hits[f"pooled_{name}"].append(p_values(fresh, calibration) <= rate)
    found = {"ped2_smallest_p_value": smallest_p_value(len(known))}
    for name, parts in hits.items():
        alarms = np.concatenate(parts)
        low, high = clustered_interval(alarms, np.array(owners))
        found[f"ped2_{name}"] = float(alarms.mean())
        found[f"ped2_{name}_low"], found[f"ped2_{name}_high"] = low, high
    return found


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder with ped2; without it only made scores")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    given = parser.parse_args()
    clips = read_clips(given.data / "ped2") if given.data else []
    rows = []
    for seed in range(given.seeds):
        row = exchangeable(seed, 200 if given.quick else 3000)
        rows.append(row | (measured(clips, seed) if clips else {}))
    metrics: dict[str, float] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        metrics |= over_seeds(name, values)
    report("conformal", metrics, seeds=list(range(given.seeds)))


if __name__ == "__main__":
    main()
