"""Time and memory of detectors of stills, beside anomalib's on one trunk in one run.

Claims: fitting PatchCore at a coreset of 10% on 400 images of 256 x 256 is at least 20 times faster
than anomalib's; PaDiM scores at least as many images a second; memory stays below 3 GB.

    python -m benchmarks.stills_speed --data DIR --anomalib-python PYTHON

DIR holds ``magnetic_tile``. Run it where nothing else runs. Our fit includes thresholds, for which
each training image is scored without its group. anomalib's own selection is timed for some seconds
and its rate extrapolated: all of it would take hours. Figures of both are of every fourth test
image. ``peak_memory_gb`` is of our process, with all images and features in memory.
"""

import argparse
import resource
from collections.abc import Sequence
from pathlib import Path

from benchmarks._remembered import Remembered
from benchmarks._result import report
from benchmarks.stills import OTHERS, Stills, anomalib, ours, read
from models.encoders.pretrained import PretrainedTrunk
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore

SIDE, SHARE, EVERY = 256, 0.1, 4
"""Of the images; of the patches that are remembered; test images that count."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--anomalib-python", required=True, help="an interpreter with anomalib")
    given = parser.parse_args(arguments)
    whole = read(given.data / "magnetic_tile", None, SIDE)
    known = (each[::EVERY] for each in (whole.anomalous, whole.masked, whole.masks))
    stills = Stills(whole.train, whole.test[::EVERY], *known)
    trunk = Remembered(PretrainedTrunk.Config())
    trunk.load_pretrained()
    configs = {"padim": PaDiM.Config(), "patchcore": PatchCore.Config(coreset=SHARE)}
    found = {name: ours(config, trunk, stills, 0) for name, config in configs.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    others = anomalib(given.anomalib_python, trunk, stills, 1, "--coreset", str(SHARE))
    found |= {row: measured for row, _, measured in others}
    metrics = {
        f"{row}_{name}": value for row, each in found.items() for name, value in each.items()
    }
    for method in OTHERS:
        one, other = found[method], found[f"anomalib_{method}"]
        metrics[f"{method}_fit_ratio"] = other["fit_s"] / one["fit_s"]
        metrics[f"{method}_images_ratio"] = one["images_per_s"] / other["images_per_s"]
    report("stills_speed", {**metrics, "peak_memory_gb": peak}, seeds=[0])


if __name__ == "__main__":
    main()
