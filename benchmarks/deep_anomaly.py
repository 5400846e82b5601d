"""Deep-Anomaly as published on UCSD Ped2: its figures as they come.

Claims: none; the row stands beside ``benchmarks.ped2``, whose detector is another one.

    python -m benchmarks.deep_anomaly --data DIR [--seeds 3] [--quick]

DIR holds ``ped2``. The trunk is EfficientNet-Lite0 up to stride 8 with ImageNet's weights, which
come with a package; the paper's is AlexNet up to conv2, whose weights must be downloaded. It sees
mean frames in place of colours, no statistics of movement, and no average over frames. The first
twelve training clips are learned from, the last four set the thresholds; test frames, every third,
are only scored. ``pixel_auroc`` is that of all pixels of all test frames, every fourth of a side.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks._clips import EVERY, read, read_test, windows
from benchmarks._result import report
from benchmarks._rows import Rows
from models.contracts import WINDOW
from models.encoders.pretrained import PretrainedTrunk
from models.functional.mean_frames import mean_frames
from models.metrics.detection import auc, equal_error_rate, pixel_level_scores
from models.one_class.deep_anomaly import DeepAnomaly

NUM_LEARNED = 12
"""Training clips that are learned from; the others set the thresholds."""
APART = 4
"""Pixels between two that count in the AUROC of pixels."""
LAYERS = ("blocks.2",)
"""The layer of stride 8."""


class MeanFrames:
    """Mean frames of clips, batch by batch, as often as one iterates over them."""

    def __init__(self, clips: list[NDArray[np.uint8]], step: int) -> None:
        self._clips, self._step = clips, step

    def __iter__(self) -> Iterator[Tensor]:
        """Go through all clips."""
        for clip in self._clips:
            yield from (mean_frames(part) for part in windows(clip, self._step))


@torch.no_grad()
def measure(folder: Path, seed: int, *, quick: bool) -> dict[str, float]:
    """Figures of one fit on the test clips."""
    train, step = read(folder / "train"), 10 * EVERY if quick else EVERY
    trunk = PretrainedTrunk.Config(layers=LAYERS).build().load_pretrained()
    detector = DeepAnomaly.Config(seed=seed).build(trunk)
    detector.fit(MeanFrames(train[:NUM_LEARNED], 2 * step), MeanFrames(train[NUM_LEARNED:], step))
    scores: list[Tensor] = []
    peaks: list[NDArray[np.float64]] = []
    of_pixels, inside = list[NDArray[np.float32]](), list[NDArray[np.bool_]]()
    truth: list[NDArray[np.bool_]] = []
    kept = slice(WINDOW - 1, None, step)
    for clip, labels, masks in read_test(folder):
        found = [detector(part) for part in MeanFrames([clip], step)]
        scores.extend(each.image_score for each in found)
        maps = torch.cat([each.anomaly_map for each in found if each.anomaly_map is not None])
        peaks.append(pixel_level_scores(maps.numpy(), masks[kept]))
        of_pixels.append(maps.numpy()[..., ::APART, ::APART].ravel())
        inside.append(masks[kept][..., ::APART, ::APART].ravel())
        truth.append(labels[kept])
    anomalous, of_frames = np.concatenate(truth), torch.cat(scores).double().numpy()
    alarms = of_frames >= detector.threshold
    return {
        "frame_auc": auc(anomalous, of_frames),
        "frame_eer": equal_error_rate(anomalous, of_frames),
        "pixel_eer": equal_error_rate(anomalous, np.concatenate(peaks)),
        "pixel_auroc": auc(np.concatenate(inside), np.concatenate(of_pixels)),
        "false_alarm_rate": float(alarms[~anomalous].mean()),
        "detection_rate": float(alarms[anomalous].mean()),
    }


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with ped2")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--quick", action="store_true", help="few frames")
    given = parser.parse_args()
    rows = Rows(
        {"quick": given.quick}, Path(tempfile.gettempdir()) / "unseen-benchmark-deep-anomaly"
    )
    for seed in range(given.seeds):
        if ("published", "ped2", seed) not in rows:
            figures = measure(given.data / "ped2", seed, quick=given.quick)
            rows.add("published", "ped2", seed, figures)
        found = rows["published", "ped2", seed]
        print(f"seed {seed}", *(f"{key} {value:.4f}" for key, value in found.items()), flush=True)
    report(
        "deep_anomaly-quick" if given.quick else "deep_anomaly",
        {
            key.removesuffix("_published_ped2").replace("_published_ped2_", "_"): value
            for key, value in rows.metrics().items()
        },
        seeds=list(range(given.seeds)),
        durations=rows.seconds(),
        notes={"trunk": f"EfficientNet-Lite0, {', '.join(LAYERS)}", "frames": f"every {EVERY}rd"},
    )


if __name__ == "__main__":
    main()
