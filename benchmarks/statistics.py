"""Exact statistics: how exactly moments merge, forget, and follow a change; and what that costs.

Claims: shards merge to one pass within a relative error of 1e-10, at any offset; a refit from the
difference equals a full refit within 1e-8; changing 1% of the clips costs at most 3% of a full fit
of the statistics.

    python -m benchmarks.statistics [--seeds 3] [--quick]

The samples have the size of the product's feature vectors (207: a trunk of 192 and 15 statistics of
movement), correlated, with means far from 0 against their spread. Making them is not timed; neither
is the encoder, whose share of a full fit is larger than that of the moments, and which a refit
spares as well. Errors are those of an entry of the scatter against the spreads of its two features;
the reference is one pass over all samples around their mean, in extended precision where the
machine has it (80 bits on x86).
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._result import over_seeds, report
from models.functional.gaussian import Moments
from models.gaussians import Gaussian

DIM = 207
NUM_CLIPS = 100
SHARDS = (2, 7, 50)
OFFSETS = (0.0, 1e3, 1e6)


class Clips:
    """Feature vectors of clips, made when they are asked for.

    Args:
        num: Vectors of a clip.
        seed: Of all clips.
    """

    def __init__(self, num: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self._num, self._seed = num, seed
        self._mixing = torch.randn(DIM, DIM, generator=draw) / DIM**0.5
        self._spread = torch.logspace(-2, 1, DIM)
        self._mean = 10 * torch.randn(DIM, generator=draw)

    def __call__(self, clip: int) -> Tensor:
        """Float32 vectors of one clip, which has a mean of its own."""
        draw = torch.Generator().manual_seed(1000 * self._seed + clip + 1)
        vectors: Tensor = torch.randn(self._num, DIM, generator=draw) @ self._mixing
        shift = self._mean + self._spread * torch.randn(DIM, generator=draw)
        return vectors * self._spread + shift


def moments_of(samples: Tensor) -> Moments:
    """Moments of one clip, as a detector takes them: batch by batch."""
    moments = Moments(DIM)
    for batch in torch.split(samples, 4096):
        moments.update(batch)
    return moments


def difference(found: Moments, scatter: NDArray[np.longdouble] | Tensor) -> float:
    """Largest error of an entry of a scatter, relative to the spreads of its features."""
    expected = np.asarray(scatter, dtype=np.longdouble)
    deviation = np.sqrt(np.diagonal(expected))
    gap = np.abs(found.scatter.numpy().astype(np.longdouble) - expected)
    return float((gap / np.outer(deviation, deviation)).max())


def one_pass(samples: Tensor) -> NDArray[np.longdouble]:
    """Scatter of samples around their mean, in extended precision."""
    values = samples.numpy().astype(np.longdouble)
    centred = values - values.mean(axis=0)
    return np.asarray(np.einsum("ni,nj->ij", centred, centred), dtype=np.longdouble)


def exactness(seed: int, num: int) -> dict[str, float]:
    """Errors of merging and of forgetting against one pass, over offsets and numbers of shards."""
    draw = torch.Generator().manual_seed(seed)
    merge, forget = [], []
    for offset in OFFSETS:
        mixing = torch.randn(24, 24, generator=draw, dtype=torch.float64)
        samples = torch.randn(num, 24, generator=draw, dtype=torch.float64) @ mixing + offset
        expected, rest = one_pass(samples), one_pass(samples[num // 10 :])
        for shards in SHARDS:
            parts = []
            for shard in samples.chunk(shards):
                parts.append(Moments(24))
                parts[-1].update(shard)
            merge.append(difference(Moments.combined(parts, 24), expected))
        whole, gone = Moments(24), Moments(24)
        whole.update(samples)
        gone.update(samples[: num // 10])
        whole.subtract(gone)
        forget.append(difference(whole, rest))
    return {"merge_error": max(merge), "subtract_error": max(forget)}


def refit(seed: int, num: int) -> dict[str, float]:
    """Time and error of a change of one clip in a hundred, against a full fit."""
    clips = Clips(num, seed)
    seconds, parts, total = 0.0, {}, Moments(DIM)
    for clip in range(NUM_CLIPS):
        samples = clips(clip)
        started = time.perf_counter()
        parts[clip] = moments_of(samples)
        total.merge(parts[clip])
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    Gaussian(DIM).set(total, 0.1)
    seconds += time.perf_counter() - started
    updated, gone, new = Gaussian(DIM), parts[0].tensors(), clips(NUM_CLIPS)
    started = time.perf_counter()
    total.merge(moments_of(new))
    total.subtract(Moments.from_tensors(gone))
    updated.set(total, 0.1)
    spent = time.perf_counter() - started
    anew = Moments.combined([*list(parts.values())[1:], moments_of(new)], DIM)
    expected = Gaussian(DIM)
    expected.set(anew, 0.1)
    probe = clips(NUM_CLIPS + 1)[:500].double()
    distance = expected(probe)
    return {
        "full_fit_s": seconds,
        "refit_s": spent,
        "cost_share_1pct": spent / seconds,
        "relative_error": difference(total, anew.scatter),
        "distance_error": float(((updated(probe) - distance).abs() / distance).max()),
    }


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the samples")
    parser.add_argument("--data", help="not needed: the samples are made")
    given = parser.parse_args()
    num = 1000 if given.quick else 20_000
    rows = [exactness(seed, num // 10) | refit(seed, num) for seed in range(given.seeds)]
    metrics: dict[str, float] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name.endswith("_error"):
            metrics[name] = max(values)
            continue
        metrics |= over_seeds(name, values)
    report("incremental", metrics, seeds=list(range(given.seeds)))


if __name__ == "__main__":
    main()
