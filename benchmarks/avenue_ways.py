"""Ways to judge Ped2 and Avenue beside the one that ``benchmarks.avenue`` chooses; all measured.

Claims: none. Each way alone, and some together, by what they make of put-in anomalies (which may
choose) and of test frames (which choose nothing), every third frame.

    python -m benchmarks.avenue_ways --data DIR

DIR holds ``ped2`` and ``avenue_part``. ``put_in_<way>``, ``ped2_<way>`` and ``avenue_<way>`` are
AUCs; ``_9`` and ``_25``: averaged over as many frames; ``largest_``: the largest of the normed
scores of several ways in place of their sum; ``where``: by how rarely normal clips move there,
which put-in anomalies cannot judge, as they go where most is going on; ``stills``: PaDiM on single
frames, added after it was seen that two thirds of Avenue's labels lie at one edge of the picture;
``patches``: the peak of PatchCore's map of frames at twice their size, added after some twenty
scores of PatchCore's features had been compared on Avenue's labels by a script.
A killed run goes on where it stopped.
"""

import argparse
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks._cameras import KEPT, Channel, Windows, moving
from benchmarks._clips import EVERY, read, read_test, windows
from benchmarks._result import report
from benchmarks._settings import PED2
from benchmarks._sources import digest
from benchmarks._synthetic import Frames
from benchmarks.avenue import CAMERAS, FIRST, START, Judge, put_in, split
from models.encoders.pretrained import PretrainedTrunk
from models.functional.running_mean import running_mean
from models.functional.windows import window_mean
from models.metrics.detection import auc
from models.one_class.motion_gaussian import MotionGaussian
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore

Key = MotionGaussian.Config | str
KEYS: Mapping[str, Key] = {
    "motion": START.config,
    "perspective": PED2,
    "appearance": "appearance",
    "directions": "directions",
    "where": "where",
    "stills": "stills",
    "patches": "patches",
}
CORESET = 0.002
"""Share of the patches that PatchCore remembers: frames that follow each other are nearly alike."""
AROUND = 3
"""Side in blocks of the square over which places that move are counted."""
TOGETHER = (
    ("motion", "where"),
    ("motion", "appearance", "where"),
    ("motion", "stills"),
    ("motion", "appearance", "stills"),
    ("motion", "appearance", "where", "stills"),
    ("motion", "appearance"),
    ("motion", "directions"),
    ("motion", "patches"),
    ("motion", "appearance", "patches"),
    ("perspective", "appearance"),
    ("perspective", "directions"),
    ("perspective", "appearance", "directions"),
)
WAYS = (*((name,) for name in KEYS), *TOGETHER)
NUM_FRAMES = (1, 9, 25)


class Where:
    """How rarely something moves in normal clips where something moves now, in nats."""

    def fit(
        self,
        learned: Sequence[Frames],
        held_out: Sequence[Frames],  # noqa: ARG002
        step: int,
    ) -> "Where":
        """Take the share of frames in which each place moves."""
        seen = torch.cat([moving(part) for part in Windows(learned, step)])
        share = window_mean(seen.mean(dim=0)[None, None], AROUND)[0, 0]
        self._surprise = -torch.log(share + 1 / len(seen))
        return self

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Largest mean around a place of what its moving places are worth."""
        parts = [
            window_mean((moving(part) * self._surprise)[:, None], AROUND)
            for part in windows(clip, step)
        ]
        return torch.cat(parts).amax(dim=(1, 2, 3))


class Stills:
    """PaDiM on the newest frame: what each place looks like, against what it usually does."""

    def fit(self, learned: Sequence[Frames], held_out: Sequence[Frames], step: int) -> "Stills":
        """Fit a Gaussian to every place."""
        self._detector = PaDiM.Config().build(PretrainedTrunk.Config().build().load_pretrained())
        self._detector.fit(*(Newest(clips, 2 * step) for clips in (learned, held_out)))
        return self

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Image scores."""
        return torch.cat([self._detector(part).image_score for part in Newest([clip], step)])


class Patches:
    """PatchCore on the newest frame at twice its size: the farthest place from all normal ones."""

    def fit(self, learned: Sequence[Frames], held_out: Sequence[Frames], step: int) -> "Patches":
        """Remember normal places."""
        self._detector = PatchCore.Config(coreset=CORESET).build(
            PretrainedTrunk.Config().build().load_pretrained()
        )
        self._detector.fit(*(map(twice, Newest(clips, step)) for clips in (learned, held_out)))
        return self

    def scores(self, clip: Frames, step: int) -> Tensor:
        """Peaks of the maps: distances, not compared with what is usual at a place."""
        found = []
        for part in Newest([clip], step):
            anomaly_map = self._detector(twice(part)).anomaly_map
            assert anomaly_map is not None
            found.append(anomaly_map.amax(dim=(1, 2)))
        return torch.cat(found)


def twice(frames: Tensor) -> Tensor:
    """Frames (B, 1, H, W) as (B, 1, 2 H, 2 W)."""
    return functional.interpolate(frames, scale_factor=2, mode="bilinear", antialias=True)


class Newest(Windows):
    """The newest frame of each window."""

    def __iter__(self) -> Iterator[Tensor]:
        """Batches of one clip each."""
        return (part[:, -1:] for part in super().__iter__())


OWN: Mapping[Key, Callable[[], Channel]] = {"where": Where, "stills": Stills, "patches": Patches}


class Ways(Judge):
    """Normed scores of single ways, kept on disk."""

    def __init__(self, train: Sequence[Frames]) -> None:
        super().__init__(train, seed=0)
        self._source = f"{digest('benchmarks.avenue_ways')} {_name(train)}"

    def _fitted(self, key: Key) -> tuple[float, float]:
        if key in OWN and key not in self._channels:
            self._channels[key] = OWN[key]().fit(self._learned, self._held_out, EVERY)
            normal = torch.cat([self._of(key, clip, EVERY) for clip in self._held_out])
            self._normal[key] = float(normal.mean()), float(normal.std())
        return super()._fitted(key)

    def normed(self, name: str, clip: Frames) -> Tensor:
        """Scores of every third frame by one way, of mean 0 and deviation 1 on normal clips."""
        text = f"{self._source} {name} {_name([clip])}"
        file = KEPT / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.normed.pt"
        if not file.is_file():
            mean, deviation = self._fitted(KEYS[name])
            KEPT.mkdir(parents=True, exist_ok=True)
            torch.save((self._of(KEYS[name], clip, EVERY) - mean) / deviation, file)
        found: Tensor = torch.load(file, weights_only=True)
        return found


def _name(clips: Sequence[Frames]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for clip in clips:
        found.update(f"{clip.shape}".encode() + clip.tobytes())
    return found.hexdigest()


def together(parts: Sequence[Tensor], num: int, *, largest: bool) -> NDArray[np.float64]:
    """Scores of frames by several ways, averaged over ``num`` frames."""
    stacked = torch.stack(list(parts))
    joined = stacked.amax(dim=0) if largest else stacked.sum(dim=0)
    return running_mean(joined.numpy(), max(round(num / EVERY), 1))


def rows() -> Mapping[str, Callable[[Callable[[str], Tensor]], NDArray[np.float64]]]:
    """Every combination by name, as a function of the normed scores of a clip by one way."""
    found = {}
    for way in WAYS:
        for num in NUM_FRAMES:
            for largest in (False, True) if len(way) > 1 else (False,):
                name = "_".join(["largest"] * largest + list(way) + [str(num)] * (num > 1))
                found[name] = lambda of, way=way, num=num, largest=largest: together(
                    [of(each) for each in way], num, largest=largest
                )
    return found


def on_test(folder: Path) -> dict[str, float]:
    """AUC of every combination on the test frames of a camera."""
    ways, clips = Ways(read(folder / "train")), read_test(folder)
    truth = np.concatenate([clip.labels[FIRST::EVERY] for clip in clips])
    return {
        name: auc(
            truth,
            np.concatenate([join(partial(ways.normed, clip=clip.frames)) for clip in clips]),
        )
        for name, join in rows().items()
    }


def on_put_in(folder: Path) -> dict[str, float]:
    """Mean AUC over the kinds of anomalies put into held-out normal clips of Ped2."""
    train = read(folder / "train")
    ways, (learned, held_out) = Ways(train), split(train)
    changed = put_in(learned, held_out)
    found = {}
    for name, join in rows().items():
        usual = [join(partial(ways.normed, clip=clip)) for clip in held_out]
        figures = []
        for clips in changed.values():
            marked = [join(partial(ways.normed, clip=clip))[there] for clip, there in clips]
            truth = np.repeat([False, True], [sum(map(len, usual)), sum(map(len, marked))])
            figures.append(auc(truth, np.concatenate([*usual, *marked])))
        found[name] = float(np.mean(figures))
    return found


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with both cameras")
    given = parser.parse_args()
    figures = {}
    for camera, part in reversed(CAMERAS.items()):
        figures[camera] = on_test(given.data / part)
        print(camera, {way: round(value, 3) for way, value in figures[camera].items()}, flush=True)
    figures["put_in"] = on_put_in(given.data / "ped2")
    metrics = {
        f"{of}_{name}": value for of, each in figures.items() for name, value in each.items()
    }
    report("avenue_ways", metrics, seeds=[0])


if __name__ == "__main__":
    main()
