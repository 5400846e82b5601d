"""Detectors of stills on four sets, one set of defaults for all, beside anomalib's on one trunk.

Claims: image AUROC of at least .96 on ``magnetic_tile``, .93 on ``mvtec_pill``, .945 on
``elpv_mono`` and .99 on ``cookies`` with defaults chosen without a label; the false-alarm rate that
was set is kept.

    python -m benchmarks.stills --data DIR [--anomalib-python PYTHON] [--sets NAME ...] [--seeds 3]

DIR holds the sets in MVTec's layout. Images are brought to 320 x 320 pixels. The trunk is
EfficientNet-Lite0 with the weights of its package, layers ``blocks.2`` and ``blocks.4``, for
anomalib too. A seed decides the order of the training images (that of their names for 0), on which
groups, coresets and thresholds depend, anomalib's random choices, and the put-in defects of
``auto``. A killed run goes on where it stopped; rows are measured one by one.

``<set>_<method>_image_auroc``, ``_pixel_auroc``, ``_aupro``; ``_false_alarm_rate``: share of normal
test images at or above the threshold that the training images alone have set for .05;
``_rate_kept``: 1 if .05 lies within the 95% binomial interval of that share; ``_fit_s``,
``_images_per_s``: of the first seed. The trunk computes each image once; what that took counts for
each method that needs it. ``<set>_auto_regret``: AUROC of the best candidate less that of the
chosen.

``auto`` sees as many training images as in the product. With ``--trained``,
SimpleNet too, which trains for minutes, with the first seed alone.

Time and memory, where nothing else runs: ``benchmarks.stills_speed``.

How defaults were chosen, and what had been seen before: docs/choices.md.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_image

from benchmarks._remembered import BATCH, FOLDER, Remembered
from benchmarks._result import over_seeds, report
from benchmarks._rows import Rows
from benchmarks._sets import Batches
from models.encoders.pretrained import PretrainedTrunk, packaged_file
from models.metrics.detection import PixelRoc, auc, false_alarm_rate
from models.metrics.intervals import clopper_pearson
from models.metrics.regions import aupro
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from models.one_class.simplenet import SimpleNet
from models.selection import MOST, choose

SETS = ("magnetic_tile", "elpv_mono", "mvtec_pill", "cookies")
METHODS: Mapping[str, Any] = {
    "padim": PaDiM.Config(),
    "patchcore": PatchCore.Config(),
    "gaussian_features": GaussianFeatures.Config(),
}
OTHERS = ("padim", "patchcore")
SIZE = 320
CHECKED = 4
"""Images of which anomalib's extractor must give what our trunk gives."""
RATE = 0.05


class Stills(NamedTuple):
    """A set: uint8 (N, C, H, W); anomalous test images, those with a known mask, and the masks."""

    train: Tensor
    test: Tensor
    anomalous: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    masks: NDArray[np.bool_]


def read(folder: Path, num: int | None, side: int = SIZE) -> Stills:
    """The set, or at most ``num`` images of each kind, as squares of so many pixels a side."""
    train = sorted((folder / "train" / "good").iterdir())[:num]
    kinds = sorted((folder / "test").iterdir())
    test = [path for kind in kinds for path in sorted(kind.iterdir())[:num]]
    masks = [_mask(folder, path, side) for path in test]
    anomalous = np.array([path.parent.name != "good" for path in test])
    return Stills(
        torch.stack([_image(path, side) for path in train]),
        torch.stack([_image(path, side) for path in test]),
        anomalous,
        np.array([mask is not None for mask in masks]) | ~anomalous,
        np.stack([np.zeros((side, side), bool) if mask is None else mask for mask in masks]),
    )


def _image(path: Path, side: int) -> Tensor:
    image = decode_image(str(path), mode=ImageReadMode.RGB).float()[None]
    resized = functional.interpolate(
        image, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].round().clamp(0, 255).byte()


def _mask(folder: Path, path: Path, side: int) -> NDArray[np.bool_] | None:
    file = folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
    if not file.is_file():
        return None
    mask = decode_image(str(file), mode=ImageReadMode.GRAY).float()[None]
    resized = functional.interpolate(mask, size=(side, side), mode="nearest")
    found: NDArray[np.bool_] = (resized[0, 0] > 127).numpy()
    return found


def figures(
    scores: NDArray[Any], maps: NDArray[np.float32] | None, stills: Stills
) -> dict[str, float]:
    """How well images, and pixels of those with a mask, are told apart."""
    found = {"image_auroc": auc(stills.anomalous, scores.astype(np.float64))}
    if maps is not None and stills.masks.any():
        pixels = PixelRoc()
        pixels.update(maps[stills.masked], stills.masks[stills.masked])
        found["pixel_auroc"] = pixels.auroc()
        found["aupro"] = aupro(maps[stills.masked], stills.masks[stills.masked])
    return found


def order_of(num: int, seed: int) -> Tensor:
    """Order of the training images: that of their names for seed 0, then random ones."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randperm(num, generator=draw) if seed else torch.arange(num)


def ours(config: Any, trunk: Remembered, stills: Stills, seed: int) -> dict[str, float]:
    """Fit and judge one of our detectors."""
    order = order_of(len(stills.train), seed)
    began, saved = time.perf_counter(), trunk.saved_s
    detector = config.build(trunk).fit(Batches(stills.train[order], BATCH))
    fit_s = time.perf_counter() - began + trunk.saved_s - saved
    began, saved = time.perf_counter(), trunk.saved_s
    parts = [detector(images) for images in Batches(stills.test, BATCH)]
    score_s = time.perf_counter() - began + trunk.saved_s - saved
    scores = torch.cat([each.image_score for each in parts]).numpy()
    maps = None
    if parts[0].anomaly_map is not None:
        maps = torch.cat([each.anomaly_map for each in parts]).numpy()
    rate = false_alarm_rate(stills.anomalous, scores, detector.threshold)
    normal = int((~stills.anomalous).sum())
    low, high = clopper_pearson(round(rate * normal), normal)
    return {
        **figures(scores, maps, stills),
        "false_alarm_rate": rate,
        "rate_kept": float(low <= RATE <= high),
        "fit_s": fit_s,
        "images_per_s": len(stills.test) / score_s,
    }


def anomalib(
    python: str, trunk: Remembered, stills: Stills, seeds: int, *options: str
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Fit and judge anomalib's, in its own environment: row, seed and figures."""
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"images": stills.train[:CHECKED].numpy()}
        for part, images in (("train", stills.train), ("test", stills.test)):
            maps, given[f"{part}_s"] = trunk.all(images)
            given |= {f"{part}_{layer}": values for layer, values in maps.items()}
        np.savez(Path(folder) / "features.npz", **given)
        del given, maps
        command = [python, "-m", "benchmarks._anomalib", f"{folder}/features.npz", folder]
        command += ["--seeds", str(seeds), "--weights", str(packaged_file()), *options]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
        for method in OTHERS:
            for seed in range(seeds):
                file = Path(folder) / f"{method}_{seed}.npz"
                if not file.is_file():
                    continue  # of methods that were not asked for
                with np.load(file) as found:
                    times = {name: float(found[name]) for name in found if name.endswith("_s")}
                    measured = figures(found["scores"], found["maps"], stills)
                yield f"anomalib_{method}", seed, {**measured, **times}


def automatic(trunk: Remembered, stills: Stills, seed: int) -> dict[str, float]:
    """AUROC of each method on put-in defects, and which of them that would choose."""
    images = stills.train[:: -(-len(stills.train) // MOST)]
    choice = choose(METHODS, trunk, images.float() / 255, seed=seed)
    found = {f"{name}_put_in_auroc": judged.auroc for name, judged in choice.table.items()}
    chosen = list(METHODS).index(choice.name)
    return {**found, "chosen": chosen, "margin": choice.margin.mean}


def named(rows: Rows) -> dict[str, float]:
    """Means over the seeds, by the names that are reported; times are those of the first."""
    found: dict[str, float] = {}
    collected: dict[str, list[float]] = {}
    regrets = []
    for (row, image_set, seed), measured in sorted(rows.figures().items()):
        for name, value in measured.items():
            if not name.endswith("_s") or seed == 0:
                collected.setdefault(f"{image_set}_{row}_{name}", []).append(value)
        if row == "auto":
            true = [rows[method, image_set, seed]["image_auroc"] for method in METHODS]
            regrets.append(max(true) - true[int(measured["chosen"])])
            collected.setdefault(f"{image_set}_auto_regret", []).append(regrets[-1])
    for name, values in collected.items():
        spread = over_seeds(name, values)
        found |= spread if name.endswith(("auroc", "aupro")) else {name: spread[name]}
    if regrets:
        found["auto_regret_mean"] = float(np.mean(regrets))
    return found


def measure(rows: Rows, image_set: str, stills: Stills, seeds: int) -> None:
    """Our rows of a set that are not there yet."""
    trunk = Remembered(PretrainedTrunk.Config())
    trunk.load_pretrained()
    for seed in range(seeds):
        for name, config in METHODS.items():
            if (name, image_set, seed) not in rows:
                _add(rows, name, image_set, seed, ours(config, trunk, stills, seed))
        if ("auto", image_set, seed) not in rows:
            _add(rows, "auto", image_set, seed, automatic(trunk, stills, seed))


def measure_trained(rows: Rows, image_set: str, stills: Stills) -> None:
    """SimpleNet with the first seed, if it is not there yet."""
    if ("simplenet", image_set, 0) not in rows:
        trunk = Remembered(PretrainedTrunk.Config())
        trunk.load_pretrained()
        _add(rows, "simplenet", image_set, 0, ours(SimpleNet.Config(), trunk, stills, 0))


def measure_others(rows: Rows, image_set: str, stills: Stills, seeds: int, python: str) -> None:
    """Rows of anomalib that are not there yet."""
    wanted = [(f"anomalib_{name}", image_set, seed) for name in OTHERS for seed in range(seeds)]
    if not all(place in rows for place in wanted):
        trunk = Remembered(PretrainedTrunk.Config())
        trunk.load_pretrained()
        for row, seed, measured in anomalib(python, trunk, stills, seeds):
            _add(rows, row, image_set, seed, measured)


def _add(rows: Rows, row: str, image_set: str, seed: int, measured: dict[str, float]) -> None:
    rows.add(row, image_set, seed, measured)
    print(image_set, row, seed, measured, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--anomalib-python", help="of `make comparators`")
    parser.add_argument("--trained", action="store_true", help="SimpleNet too")
    parser.add_argument("--quick", action="store_true", help="few images")
    given = parser.parse_args(arguments)
    rows = Rows(
        {"benchmark": "stills", "quick": given.quick},
        FOLDER,
    )
    num, python = 24 if given.quick else None, given.anomalib_python
    for image_set in given.sets:
        measure(rows, image_set, read(given.data / image_set, num), given.seeds)
    for image_set in given.sets if python else ():
        stills = read(given.data / image_set, num)
        measure_others(rows, image_set, stills, given.seeds, python)
    for image_set in given.sets if given.trained else ():
        measure_trained(rows, image_set, read(given.data / image_set, num))
    report("stills", named(rows), seeds=list(range(given.seeds)))


if __name__ == "__main__":
    main()
