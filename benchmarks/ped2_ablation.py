"""UCSD Ped2, step by step: what each part of the recipe ``ped2`` earns.

Claims: settings are chosen on normal clips alone, by what they make of anomalies that were put into
them; what is chosen so does well on the labelled clips too.

    python -m benchmarks.ped2_ablation --data DIR [--seeds 3] [--quick]

DIR holds ``ped2``. Every row is judged twice. ``synthetic_*`` are AUCs on the last four training
clips, beside copies of them in which people hurry, a figure glides, or a foreign thing passes
(``benchmarks._synthetic``): of frames, and by the pixel-level criterion (``synthetic_pixel_*``,
which is never averaged over frames). A setting is taken if the mean of all rises. ``frame_auc``,
``frame_eer`` and ``pixel_eer`` are those of the test clips, every third frame, and choose nothing.
The trunk and the Gaussian learn from the first twelve training clips alone; scores are those of the
first Gaussian, which ranks.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from benchmarks._result import report
from benchmarks._rows import Rows
from benchmarks._synthetic import KINDS
from models.contracts import WINDOW, Encoder
from models.encoders.slim import SlimTrunk
from models.functional.gaussian import Moments
from models.functional.movement import NUM_MOVEMENTS, movement
from models.functional.receptive_field import roll_back
from models.functional.smoothing import running_mean
from models.functional.speeds import NUM_SPEEDS, speeds
from models.functional.windows import window_mean
from models.metrics.detection import auc, equal_error_rate, pixel_level_scores
from models.one_class._features import describe_normal, widened
from models.one_class._gaussian import Gaussian
from models.pretext.context_encoder import ContextEncoder

NUM_LEARNED = 12
"""Training clips that are learned from; the others are for choosing."""
EVERY = 3
"""Of the frames that are judged, every third counts."""
BATCH = 16
DRAWS = 2
"""Copies of each held-out clip for each kind of anomaly."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the table."""

    trunk: str = "pretext"
    """``pretext``, ``random``, or ``none``: movement alone."""
    flow: str = "blocks"
    movement: float = 10.0
    shrinkage: float = 0.6
    side: int = 5
    num_votes: int = 9
    smoothing: int = 9


CHOSEN = Step()
PLAIN = Step(movement=1.0, shrinkage=0.3, side=3, num_votes=4, smoothing=1)
STEPS = {
    "trunk_random": replace(PLAIN, trunk="random", movement=0),
    "trunk": replace(PLAIN, movement=0),
    "gradients": replace(PLAIN, flow="gradients", movement=3.0, shrinkage=0.1),
    "blocks": PLAIN,
    "votes": replace(PLAIN, num_votes=9),
    "heavier": replace(CHOSEN, shrinkage=0.3, side=3, smoothing=1),
    "wider": replace(CHOSEN, smoothing=1),
    "chosen": CHOSEN,
    "random": replace(CHOSEN, trunk="random"),
    "movement_alone": replace(CHOSEN, trunk="none"),
    "narrower": replace(CHOSEN, side=3),
    "widest": replace(CHOSEN, side=7),
    "less_shrunk": replace(CHOSEN, shrinkage=0.3),
    "lighter": replace(CHOSEN, movement=3.0),
    "fewer_votes": replace(CHOSEN, num_votes=4),
    "more_votes": replace(CHOSEN, num_votes=16),
}
"""Rows by name: first the parts as they are added, then what was chosen with one thing changed."""


class Features(NamedTuple):
    """Feature maps of the judged frames of a clip, by where they come from; (T, D, h, w)."""

    trunk: dict[str, Tensor]
    moved: dict[str, Tensor]


def read(folder: Path) -> list[NDArray[np.uint8]]:
    """Clips, each (T, H, W)."""
    clips = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        np.stack(
            [decode_image(str(file), mode=ImageReadMode.GRAY)[0] for file in sorted(clip.iterdir())]
        )
        for clip in clips
    ]


def windows(clip: NDArray[np.uint8], step: int) -> Iterator[Tensor]:
    """Batches of windows in [0, 1]; the first ends with the sixth frame."""
    values = torch.from_numpy(clip).float().div_(255)
    yield from torch.split(values.unfold(0, WINDOW, 1).movedim(-1, 1)[::step], BATCH)


class Shuffled:
    """Windows of clips in another order in each epoch."""

    def __init__(self, clips: list[NDArray[np.uint8]], step: int, seed: int) -> None:
        self._all = torch.cat([part for clip in clips for part in windows(clip, step)])
        self._draw = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._all) / BATCH)

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self._all), generator=self._draw)
        return (self._all[part] for part in torch.split(order, BATCH))


def trunks(clips: list[NDArray[np.uint8]], seed: int, *, quick: bool) -> dict[str, Encoder]:
    """One with random weights and one that filled holes in normal clips."""
    found: dict[str, Encoder] = {}
    for name in ("random", "pretext"):
        torch.manual_seed(seed)
        found[name] = SlimTrunk.Config().build()
    task = ContextEncoder.Config(epochs=1 if quick else 3, width=32, seed=seed)
    task.build(found["pretext"]).fit(Shuffled(clips, 40 if quick else 4, seed))
    return {
        name: trunk.eval().to(memory_format=torch.channels_last) for name, trunk in found.items()
    }


@torch.no_grad()
def features(clip: NDArray[np.uint8], known: dict[str, Encoder], step: int) -> Features:
    """Feature maps of every ``step``-th frame of a clip."""
    parts = list(windows(clip, step))
    trunk = {name: torch.cat([each(part) for part in parts]) for name, each in known.items()}
    rows, columns = trunk["random"].shape[-2:]
    field = known["random"].receptive_field
    ways = {"blocks": speeds, "gradients": movement}
    moved = {
        name: torch.cat([way(part, field, rows, columns) for part in parts])
        for name, way in ways.items()
    }
    return Features(trunk, moved)


def _weights(step: Step) -> str:
    return "random" if step.trunk == "random" else "pretext"


class Judge:
    """The first Gaussian of a step, fitted to clips."""

    def __init__(self, step: Step, trunk: Encoder, learned: list[Features]) -> None:
        self._step, self._dim = step, trunk.embedding_dim
        self._field = widened(trunk.receptive_field, step.side)
        num = NUM_SPEEDS if step.flow == "blocks" else NUM_MOVEMENTS
        dim = self._dim + (num if step.movement else 0)
        moments = Moments(dim)
        for clip in learned:
            moments.update(self._vectors(clip).flatten(end_dim=2))
        self._gaussian = Gaussian(dim)
        describe_normal(
            self._gaussian,
            moments,
            self._dim,
            shrinkage=step.shrinkage,
            movement=step.movement,
            change=step.movement,
            flow=step.flow,
        )
        if step.trunk == "none":
            self._gaussian.whitener_[: self._dim] = 0

    def _vectors(self, clip: Features) -> Tensor:
        step = self._step
        trunk = window_mean(clip.trunk[_weights(step)], step.side)
        parts = [trunk, clip.moved[step.flow]] if step.movement else [trunk]
        return torch.cat(parts, dim=1).movedim(1, -1)

    def maps(self, clip: Features, size: tuple[int, int]) -> Tensor:
        """Anomaly maps (T, H, W)."""
        distances = self._gaussian(self._vectors(clip))
        return roll_back(distances, self._field, *size, num_votes=self._step.num_votes)

    def smoothed(self, maps: Tensor) -> NDArray[np.float64]:
        """Scores of frames, averaged over as many as the step says of those not left out."""
        scores = maps.amax(dim=(1, 2)).double()
        return running_mean(scores, max(round(self._step.smoothing / EVERY), 1)).numpy()


Truth = tuple[Features, NDArray[np.bool_], NDArray[np.bool_]]
"""Features of a clip, which of its frames are anomalous, and which pixels."""


class Sets(NamedTuple):
    """What is judged: features and truth of clips."""

    learned: list[Features]
    normal: list[Features]
    synthetic: dict[str, list[Truth]]
    test: list[Truth]


def sets(folder: Path, known: dict[str, Encoder], train: list[NDArray[np.uint8]]) -> Sets:
    """Features of everything, once for all steps."""
    kept = slice(WINDOW - 1, None, EVERY)
    learned, held_out = train[:NUM_LEARNED], train[NUM_LEARNED:]
    synthetic: dict[str, list[Truth]] = {}
    for number, (kind, put) in enumerate(KINDS.items()):
        changed = [
            put(clip, learned, np.random.default_rng([number, place, draw]))
            for place, clip in enumerate(held_out)
            for draw in range(DRAWS)
        ]
        synthetic[kind] = [
            (features(each.frames, known, EVERY), each.labels[kept], each.mask[kept])
            for each in changed
        ]
    with (
        np.load(folder / "test_frame_labels.npz") as labels,
        np.load(folder / "test_pixel_masks.npz") as masks,
    ):
        test = [
            (features(clip, known, EVERY), labels[name][kept].astype(bool), masks[name][kept])
            for name, clip in zip(sorted(labels), read(folder / "test"), strict=True)
        ]
    return Sets(
        [features(clip, known, 2 * EVERY) for clip in learned],
        [features(clip, known, EVERY) for clip in held_out],
        synthetic,
        test,
    )


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
        {"benchmark": "ped2_ablation", "quick": given.quick},
        Path(tempfile.gettempdir()) / "unseen-benchmark-ped2-ablation",
    )
    train = read(folder / "train")
    for seed in seeds:
        if all((name, "ped2", seed) in rows for name in STEPS):
            continue
        known = trunks(train[:NUM_LEARNED], seed, quick=given.quick)
        found = sets(folder, known, train)
        for name, step in STEPS.items():
            if (name, "ped2", seed) not in rows:
                rows.add(name, "ped2", seed, measure(step, known, found))
            told = "  ".join(f"{k} {v:.3f}" for k, v in rows[name, "ped2", seed].items())
            print(f"seed {seed}  {name:16s} {told}", flush=True)
    report(
        "ped2_ablation",
        {key.removesuffix("_ped2").replace("_ped2_", "_"): v for key, v in rows.metrics().items()},
        seeds=seeds,
        notes={
            "frames": f"every {EVERY}rd; scores averaged over {CHOSEN.smoothing // EVERY} of them"
        },
    )


if __name__ == "__main__":
    main()
