"""From judged pictures to a better detector: how long it takes, and whether it helps.

Claims: from the click on 50 judged pictures to a registered challenger in under 20 s on two cores,
where 400 were learned from before, equal to a full fit to 1e-8; judging the 20 most useful pictures
of each of ten days halves the false alarms at equal detections.

    python -m benchmarks.feedback --data DIR [--seeds 3] [--only speed|days]

DIR holds ``magnetic_tile`` and ``mvtec_pill`` in MVTec's layout. Images are brought to 128 x 128.
Speed: PaDiM with held-out calibration, whose moments are updated, by the product's own flow with a
Prefect server of its own. ``click_to_challenger_s``: judging, absorbing, and ``retrain
--keep-encoder`` until the challenger is registered, evaluation on 110 test images included;
``click_to_decision_s``: and compared; ``processor_s``: what that took of the processor, whoever
else used the machine (``load_1min``).

Days: PaDiM, thresholds cross-conformal at .05, on features that the trunk computes once. A seed
deals the images: 40 normal ones to begin with; a third of the other normal ones
and half of the defects are held aside to measure by; the rest comes in ten days. Judged are the 20
pictures of a day that are nearest to the threshold (``useful``), 20 at random, or none (``never``);
normal ones are learned from, but for every fifth, which the product would test by.
``false_alarms``: share of the normal images held aside that reach the threshold; ``detections``:
of the defects; ``at_equal``: share of false alarms at the threshold that detects as many defects
as the first detector did.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, write_png
from torchvision.transforms.functional import resize

from benchmarks._result import over_seeds, report
from models.contracts import Encoder
from models.encoders.pretrained import PretrainedTrunk
from models.metrics.detection import auc
from models.one_class.padim import PaDiM

SETS = ("magnetic_tile", "mvtec_pill")
DAYS, BEGIN, A_DAY, TEST_SHARE = 10, 40, 20, 5
SIDE = 128
BATCH = 32
POLICIES = ("useful", "random", "never")


class Remembered(Encoder):
    """An encoder that has computed all its features already: an image is its number."""

    def __init__(self, features: Tensor, trunk: PretrainedTrunk) -> None:
        super().__init__()
        self.features, self.embedding_dim = features, features.shape[1]
        self.receptive_field = trunk.receptive_field

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, D, h, w) of the images whose numbers these are."""
        return self.features[images[:, 0, 0, 0].long()].float()


def square(path: Path, side: int) -> Tensor:
    """An image file as uint8 (3, side, side)."""
    image: Tensor = resize(decode_image(str(path), ImageReadMode.RGB), [side] * 2, antialias=True)
    return image


def read(folder: Path) -> tuple[Tensor, NDArray[np.bool_]]:
    """Features of all images of a set, and which of these are defects."""
    paths = sorted((folder / "train" / "good").iterdir())
    kinds = sorted((folder / "test").iterdir())
    paths += [path for kind in kinds for path in sorted(kind.iterdir())]
    trunk = PretrainedTrunk.Config().build().load_pretrained().eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            images = torch.stack([square(path, SIDE) for path in paths[start : start + BATCH]])
            found.append(trunk(images.float() / 255).half())
    return torch.cat(found), np.array([path.parent.name != "good" for path in paths])


def numbered(numbers: NDArray[np.int64]) -> Iterator[Tensor]:
    """Images of ``Remembered``."""
    for start in range(0, len(numbers), BATCH):
        chosen = torch.from_numpy(numbers[start : start + BATCH]).float()
        yield chosen[:, None, None, None].expand(-1, 1, SIDE, SIDE)


def scores(detector: Any, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Image scores."""
    found = [detector(images).image_score for images in numbered(numbers)]
    return torch.cat(found).double().numpy()


def simulate(
    encoder: Remembered, defect: NDArray[np.bool_], seed: int, policy: str
) -> dict[str, list[float]]:
    """Figures at the beginning and after each day."""
    random = np.random.default_rng(seed)
    normal, defects = (random.permutation(np.flatnonzero(defect == kind)) for kind in (False, True))
    learned, others = list(normal[:BEGIN]), normal[BEGIN:]
    aside, rest = np.split(others, [len(others) // 3])
    found, streamed = np.split(defects, [len(defects) // 2])
    days = np.array_split(random.permutation(np.concatenate([rest, streamed])), DAYS)
    figures: dict[str, list[float]] = {}
    equal, judged = np.nan, 0
    detector: Any = None
    for day in [None, *days]:
        if day is not None and policy != "never":
            seen = scores(detector, day)
            order = np.argsort(np.abs(seen - detector.threshold))
            chosen = day[order if policy == "useful" else random.permutation(len(day))][:A_DAY]
            for number in chosen[~defect[chosen]]:
                judged += 1
                learned += [number] if judged % TEST_SHARE else []
        if day is None or policy != "never":
            batches = numbered(np.array(learned))
            detector = PaDiM.Config().build(encoder).fit(batches)
            usual, strange = scores(detector, aside), scores(detector, found)
        reached = float((strange >= detector.threshold).mean())
        equal = reached if day is None else equal
        same = np.quantile(strange, 1 - equal, method="lower")
        labels = np.arange(len(usual) + len(strange)) >= len(usual)
        for name, value in (
            ("false_alarms", (usual >= detector.threshold).mean()),
            ("detections", reached),
            ("at_equal", (usual >= same).mean()),
            ("auroc", auc(labels, np.concatenate([usual, strange]))),
            ("learned", len(learned)),
        ):
            figures.setdefault(name, []).append(float(value))
    return figures


def days(data: Path, seeds: Sequence[int]) -> tuple[dict[str, float], dict[str, str]]:
    """Figures at the beginning and the end, and notes of all days."""
    metrics: dict[str, float] = {}
    notes: dict[str, str] = {}
    for name in SETS:
        features, defect = read(data / name)
        encoder = Remembered(features, PretrainedTrunk.Config().build())
        for policy in POLICIES:
            runs = [simulate(encoder, defect, seed, policy) for seed in seeds]
            for figure in runs[0]:
                table = np.array([run[figure] for run in runs])
                notes[f"{name}.{policy}.{figure}"] = json.dumps(table.mean(0).round(4).tolist())
                for moment, column in (("begin", 0), ("end", -1)):
                    key = f"{name}.{policy}.{figure}.{moment}"
                    metrics |= over_seeds(key, table[:, column].tolist())
            shown = {key: round(metrics[f"{name}.{policy}.{key}.end"], 4) for key in runs[0]}
            print(name, policy, shown, flush=True)
    return metrics, notes


def speed(data: Path) -> dict[str, float]:
    """Seconds from the click to the challenger, and its distance from a full fit."""
    from tasks.platform import workspace

    with tempfile.TemporaryDirectory() as place, chdir(place):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", "init", "-q"], check=True)
        subprocess.run(["git", *identity, "commit", "-qm", "Begin", "--allow-empty"], check=True)
        for variable in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
            os.environ.pop(variable, None)
        workspace.configure()
        from tasks.platform import prefect_server

        prefect_server.wait_until_healthy(prefect_server.connect())
        try:
            return _speed(data / "magnetic_tile", Path(place) / "incoming")
        finally:
            prefect_server.stop()


def _speed(source: Path, incoming: Path) -> dict[str, float]:
    from flows.retrain import retrain
    from tasks.feedback import inbox
    from tasks.feedback.absorb import absorb
    from tasks.registry import mlflow_store, model_versions

    good = sorted((source / "test" / "good").iterdir())
    strange = sorted(p for p in (source / "test").glob("*/*") if p.parent.name != "good")
    learned = sorted((source / "train" / "good").iterdir())[:400]
    splits = {"train/good": learned, "test/good": good[50:], "test/defect": strange[::8]}
    for split, paths in splits.items():
        (incoming / split).mkdir(parents=True)
        for number, path in enumerate(paths):
            write_png(square(path, SIDE), str(incoming / split / f"{number:03}.png"))
    options: dict[str, Any] = {"name": "tiles", "detector": "padim", "image_size": (SIDE, SIDE)}
    options["settings"] = ("training.calibration=held-out",)
    retrain(None, incoming, **options)
    requests = _served([path.read_bytes() for path in good[:50]])
    options |= {"dataset": "tiles", "keep_encoder": True}
    began, processor = time.time(), time.process_time()
    for request in requests:
        inbox.judge("tiles", request, "normal", who="Ada")
    absorbed = absorb("tiles")
    between = time.time()
    decision = retrain(**options)
    decided = time.time()
    version = model_versions.resolve(mlflow_store.client(), "tiles", decision.version)
    return {
        "click_to_challenger_s": version.creation_timestamp / 1000 - began,
        "click_to_decision_s": decided - began,
        "absorb_s": between - began,
        "processor_s": time.process_time() - processor,
        "absorbed": len(absorbed.pictures),
        "load_1min": os.getloadavg()[0],
        "difference_from_full_fit": _difference(version),
    }


def _served(contents: Sequence[bytes]) -> list[str]:
    """Log and keep pictures as ``unseen serve --keep all`` does; their predictions."""
    from tests.tasks.feedback.scoring import scored

    scored("tiles", *([(content, 0.01)] for content in contents))
    return [f"r{number}" for number in range(len(contents))]


def _difference(version: Any) -> float:
    """Largest difference of mean or scatter from those of all images, relative to the largest."""
    from tasks.data import snapshots
    from tasks.records import DataVersion, Training
    from tasks.registry import model_versions
    from tasks.training.inputs import normal_images

    packaged = model_versions.load(version)
    recipe = dict(packaged.lineage["recipe"]["training"])
    recipe.pop("class", None)
    recipe |= {"image_size": tuple(recipe["image_size"]), "batch_size": 1}  # as moments are taken
    training = Training(**recipe)
    snapshot = snapshots.open_version(DataVersion(**packaged.lineage["data"]))
    cross = training.calibration == "cross"
    batches = normal_images(snapshot, training, (), cross=cross).batches
    detector: Any = packaged.detector
    whole, ours = detector.moments(batches), detector.learned_moments()
    assert whole.count == ours.count, (whole.count, ours.count)
    pairs = ((whole.mean, ours.mean), (whole.scatter, ours.scatter))
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in pairs)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("speed", "days"))
    chosen = parser.parse_args()
    seeds, data = list(range(chosen.seeds)), chosen.data.resolve()
    metrics: dict[str, float] = {}
    notes: dict[str, str] = {}
    if chosen.only != "days":
        metrics |= speed(data)
        print(metrics, flush=True)
    if chosen.only != "speed":
        found, notes = days(data, seeds)
        metrics |= found
    if chosen.only is None:
        report("feedback", metrics, seeds=seeds, notes=notes)


if __name__ == "__main__":
    main()
