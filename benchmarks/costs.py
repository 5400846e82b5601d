"""What detectors cost: processor seconds to fit 300 images of 256 x 256, and to score them.

    python -m benchmarks.costs [NAME ...]

Writes what ``unseen detectors`` shows, ``flows/recipes/costs.json``. Each detector runs in a
process of its own with one thread, with its default settings, on the encoder it takes by default.
Images are drawn: what they show changes no time. Processor time is counted, the trunk's included,
since it hardly depends on what else runs. A detector is stopped after some minutes of it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks._result import hardware, report
from flows.recipes import catalog
from models.capabilities import CrossConformal, Pretrained
from models.errors import InvalidInputError, NotFittedError

NUM, CALIBRATION, SIDE, BATCH = 300, 60, 256, 16
LIMIT_S = 120
"""Processor seconds after which a detector is stopped."""
CHANNELS = (3, 6, 1)
"""Of the images: in colour, else windows of frames, else gray; the first that is taken."""


def images(num: int, channels: int, seed: int) -> Tensor:
    """Smooth patterns with some noise, in [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, 16, 16, generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    noise = torch.randn(num, channels, SIDE, SIDE, generator=draw)
    return (smooth + 0.05 * noise).clamp(0, 1)


def measure(name: str) -> dict[str, float]:
    """Processor seconds of one detector, in this process."""
    torch.set_num_threads(1)
    config = catalog.detectors()[name]()
    if hasattr(config, "image_size"):  # of those that learn one size
        config = replace(config, image_size=(SIDE, SIDE))
    for channels in CHANNELS:
        trunk: Any = catalog.default_encoder(config).build()
        if isinstance(trunk, Pretrained):
            trunk.load_pretrained()
        detector: Any = config.build(trunk)
        normal = images(NUM, channels, 0)
        try:
            trunk(normal[:1])
            with suppress(NotFittedError):
                detector(normal[:1])
        except (InvalidInputError, RuntimeError):
            continue  # it takes other channels
        return _measured(detector, normal)
    raise InvalidInputError(f"{name} takes images of none of {CHANNELS} channels.")


def _measured(detector: Any, normal: Tensor) -> dict[str, float]:
    others = None
    if not isinstance(detector, CrossConformal):
        others = images(CALIBRATION, normal.shape[1], 1).split(BATCH)
    began = time.process_time()
    detector.fit(normal.split(BATCH), others)
    fitted = time.process_time()
    with torch.no_grad():
        for batch in normal.split(BATCH):
            detector(batch)
    return {"fit_s": fitted - began, "score_s": time.process_time() - fitted}


def bounded(name: str) -> dict[str, float]:
    """The same in a process of its own; ``over_s`` alone if it was stopped."""
    command = [sys.executable, "-m", "benchmarks.costs", "--here", name]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S)),
    )
    if done.returncode < 0:
        return {"over_s": LIMIT_S}
    if done.returncode:
        print(name, done.stderr[-500:], flush=True)
        return {}
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write what the command reads and the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="detectors; all if none is named")
    parser.add_argument("--here", action="store_true", help="one detector, in this process")
    given = parser.parse_args(arguments)
    if given.here:
        print(json.dumps(measure(given.names[0])))
        return
    found = dict(catalog.costs().get("detectors", {}))
    for name in given.names or catalog.detectors():
        found[name] = {key: round(value, 1) for key, value in bounded(name).items()}
        print(name, found[name], flush=True)
    what = (
        f"of processor time for {NUM} images of {SIDE} x {SIDE} pixels, one core of "
        f"{hardware()['processor']}; '>' where it was stopped"
    )
    known = {name: found[name] for name in catalog.detectors() if found.get(name)}
    catalog.COSTS.write_text(json.dumps({"what": what, "detectors": known}, indent=1) + "\n")
    figures = {
        f"{name}_{key}": value for name, each in known.items() for key, value in each.items()
    }
    report("costs", figures, seeds=[0])


if __name__ == "__main__":
    main()
