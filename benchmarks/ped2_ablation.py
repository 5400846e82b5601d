"""UCSD Ped2, step by step: what each part of the recipe ``ped2`` earns.

Claims: settings are chosen on normal clips alone, by what they make of anomalies that were put into
them; what is chosen so does well on the labelled clips too.

    python -m benchmarks.ped2_ablation --data DIR [--seeds 3] [--quick]

DIR holds ``ped2``. Every row is judged twice. ``synthetic_*`` are AUCs on the last four training
clips, beside copies of them in which people hurry, a figure glides, or a foreign thing passes
(``benchmarks._synthetic``): of frames, and by the pixel-level criterion (``synthetic_pixel_*``,
which is never averaged over frames). A setting is taken if the mean of all rises. Perspective is
not chosen so, as things put in keep their size and speed wherever they are: it is taken if most
normal clips are likelier with the line of the others (``clips_perspective``). ``frame_auc``,
``frame_eer`` and ``pixel_eer`` are those of the test clips, every third frame, and choose nothing.
The trunk and the Gaussian learn from the first twelve training clips alone; scores are those of
one Gaussian, as in ``models.one_class.motion_gaussian``.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._clips import EVERY, read
from benchmarks._ped2 import (
    NUM_LEARNED,
    Features,
    Sets,
    line,
    perspective_gains,
    sets,
    trunks,
)
from benchmarks._result import report
from benchmarks._rows import Rows
from models.contracts import Encoder
from models.functional.gaussian import Moments
from models.functional.movement import NUM_MOVEMENTS
from models.functional.perspective import row_scales
from models.functional.receptive_field import roll_back
from models.functional.running_mean import running_mean
from models.functional.speeds import NUM_SPEEDS
from models.functional.windows import window_mean
from models.gaussians import Gaussian
from models.metrics.detection import auc, equal_error_rate, pixel_level_scores
from models.places import fit_gaussian, widened


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the table."""

    trunk: str = "pretext"
    """``pretext``, ``random``, or ``none``: movement alone."""
    flow: str = "blocks"
    movement: float = 10.0
    shrinkage: float = 0.6
    side: int = 7
    perspective: bool = True
    num_votes: int = 9
    smoothing: int = 9

    @property
    def change(self) -> float:
        """Spread of the statistics of change: that of movement."""
        return self.movement


CHOSEN = Step()
PLAIN = Step(movement=1.0, shrinkage=0.3, side=3, perspective=False, num_votes=4, smoothing=1)
STEPS = {
    "trunk_random": replace(PLAIN, trunk="random", movement=0),
    "trunk": replace(PLAIN, movement=0),
    "gradients": replace(PLAIN, flow="gradients", movement=3.0, shrinkage=0.1),
    "blocks": PLAIN,
    "votes": replace(PLAIN, num_votes=9),
    "heavier": replace(PLAIN, movement=10.0, num_votes=9),
    "wider": replace(CHOSEN, perspective=False, smoothing=1),
    "smoother": replace(CHOSEN, perspective=False),
    "chosen": CHOSEN,
    "random": replace(CHOSEN, trunk="random"),
    "movement_alone": replace(CHOSEN, trunk="none"),
    "narrower": replace(CHOSEN, side=5),
    "widest": replace(CHOSEN, side=9),
    "less_shrunk": replace(CHOSEN, shrinkage=0.3),
    "lighter": replace(CHOSEN, movement=3.0),
    "fewer_votes": replace(CHOSEN, num_votes=4),
    "more_votes": replace(CHOSEN, num_votes=16),
}
"""Rows by name: first the parts as they are added, then what was chosen with one thing changed."""
PERSPECTIVE = "perspective"
"""Row of the share of normal clips that are likelier with perspective, and by how much."""


def _weights(step: Step) -> str:
    return "random" if step.trunk == "random" else "pretext"


class Judge:
    """The first Gaussian of a step, fitted to clips."""

    def __init__(self, step: Step, trunk: Encoder, learned: list[Features]) -> None:
        self._step, self._dim = step, trunk.embedding_dim
        self._field = widened(trunk.receptive_field, step.side)
        num = NUM_SPEEDS if step.flow == "blocks" else NUM_MOVEMENTS
        self._line = torch.zeros(2)
        if step.perspective:
            self._line = line([clip.moved[step.flow][:, 0] for clip in learned])
        dim = self._dim + (num if step.movement else 0)
        moments = Moments(dim)
        for clip in learned:
            moments.update(self._vectors(clip).flatten(end_dim=2))
        self._gaussian = Gaussian(dim)
        fit_gaussian(self._gaussian, moments, self._dim, step)
        if step.trunk == "none":
            self._gaussian.whitener_[: self._dim] = 0

    def _vectors(self, clip: Features) -> Tensor:
        step = self._step
        trunk = window_mean(clip.trunk[_weights(step)], step.side)
        moved = clip.moved[step.flow]
        moved = moved / row_scales(self._line, moved.shape[2]).to(moved)[:, None]
        parts = [trunk, moved] if step.movement else [trunk]
        return torch.cat(parts, dim=1).movedim(1, -1)

    def maps(self, clip: Features, size: tuple[int, int]) -> Tensor:
        """Anomaly maps (T, H, W)."""
        distances = self._gaussian(self._vectors(clip))
        return roll_back(distances, self._field, *size, num_votes=self._step.num_votes)

    def smoothed(self, maps: Tensor) -> NDArray[np.float64]:
        """Scores of frames, averaged over as many as the step says of those not left out."""
        scores = maps.amax(dim=(1, 2)).double()
        return running_mean(scores.numpy(), max(round(self._step.smoothing / EVERY), 1))


@torch.no_grad()
def measure(step: Step, known: dict[str, Encoder], found: Sets) -> dict[str, float]:
    """All figures of a row."""
    judge = Judge(step, known[_weights(step)], found.learned)
    size = found.test[0][2].shape[1:]
    plain = [judge.maps(clip, size) for clip in found.normal]
    normal = np.concatenate([judge.smoothed(each) for each in plain])
    peaks = np.concatenate([pixel_level_scores(each.numpy(), None) for each in plain])
    figures = {}
    for kind, clips in found.synthetic.items():
        seen = [(judge.maps(clip, size), labels, mask) for clip, labels, mask in clips]
        frames = [judge.smoothed(each)[labels] for each, labels, _ in seen]
        pixels = [
            pixel_level_scores(each.numpy()[labels], mask[labels]) for each, labels, mask in seen
        ]
        for name, known_normal, marked in (
            (f"synthetic_{kind}", normal, np.concatenate(frames)),
            (f"synthetic_pixel_{kind}", peaks, np.concatenate(pixels)),
        ):
            truth = np.repeat([False, True], [len(known_normal), len(marked)])
            figures[name] = auc(truth, np.concatenate([known_normal, marked]))
    figures["synthetic_mean"] = float(np.mean(list(figures.values())))
    truth = np.concatenate([labels for _, labels, _ in found.test])
    maps = [judge.maps(clip, size) for clip, _, _ in found.test]
    scores = np.concatenate([judge.smoothed(each) for each in maps])
    found_pixels = [
        pixel_level_scores(each.numpy(), mask)
        for each, (_, _, mask) in zip(maps, found.test, strict=True)
    ]
    return figures | {
        "frame_auc": auc(truth, scores),
        "frame_eer": equal_error_rate(truth, scores),
        "pixel_eer": equal_error_rate(truth, np.concatenate(found_pixels)),
    }


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with ped2")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--quick", action="store_true", help="hardly any pretext training")
    given = parser.parse_args()
    folder, seeds = given.data / "ped2", list(range(given.seeds))
    rows = Rows(
        {"steps": STEPS, "quick": given.quick},
        Path(tempfile.gettempdir()) / "unseen-benchmark-ped2-ablation",
    )
    train = read(folder / "train")
    for seed in seeds:
        if all((name, "ped2", seed) in rows for name in STEPS):
            continue
        known = trunks(train[:NUM_LEARNED], seed, quick=given.quick)
        found = sets(folder, known, train)
        if (PERSPECTIVE, "ped2", seed) not in rows:
            clips = [clip.moved["blocks"][:, 0] for clip in found.learned + found.normal]
            gains = np.array(perspective_gains(clips))
            figures = {"clips": float((gains > 0).mean()), "nats": float(gains.mean())}
            rows.add(PERSPECTIVE, "ped2", seed, figures)
        for name, step in STEPS.items():
            if (name, "ped2", seed) not in rows:
                rows.add(name, "ped2", seed, measure(step, known, found))
            shown = "  ".join(f"{k} {v:.3f}" for k, v in rows[name, "ped2", seed].items())
            print(f"seed {seed}  {name:16s} {shown}", flush=True)
    report(
        "ped2_ablation",
        {key.removesuffix("_ped2").replace("_ped2_", "_"): v for key, v in rows.metrics().items()},
        seeds=seeds,
        durations=rows.seconds(),
        notes={
            "frames": f"every {EVERY}rd; scores averaged over {CHOSEN.smoothing // EVERY} of them"
        },
    )


if __name__ == "__main__":
    main()
