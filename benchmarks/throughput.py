"""Speed of detectors from decoded images to scores and maps: as programs here, eagerly on a GPU.

All figures of one run are by turns on the same machine, and goals are ratios of them, because
machines differ by half. With E the frames a second of AlexNet's conv1 and conv2 in eager torch at
240 x 360: Ped2's recipe reaches 7 E in batches, and a frame alone takes half of 1/E; Deep-Anomaly
as published, on the trunk of ``benchmarks.deep_anomaly``, reaches 2.5 E; PaDiM and PatchCore (10%
memory) at 256 x 256 reach 5 times anomalib's own torch inference of the same trunk, and twice its
OpenVINO program. Then all of it again beside processes that burn every core (``_burdened``): no
less than 25%.

    python -m benchmarks.throughput [--data DIR] [--anomalib PYTHON] [--quick]

DIR holds ``ped2``; without it the frames are noise that drifts, which is as fast. PYTHON is an
interpreter that has anomalib. Networks of frames have random weights, which change no time. On a
GPU the same detector runs eagerly, beside anomalib's PaDiM if it can be imported.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_image

from benchmarks import _engines
from benchmarks._frame_auc import frame_aucs
from benchmarks._result import report
from benchmarks._settings import PED2
from models.contracts import WINDOW, Encoder
from models.encoders.alexnet import AlexNetTrunk
from models.encoders.slim import SlimTrunk
from models.one_class.motion_gaussian import MotionGaussian

SIZE = 240, 360
BATCH, PADIM_BATCH = 16, 8
"""Frames at once: more no longer fit the cache."""
ROUNDS = 7
"""Times that each way is timed, by turns with the others; medians are reported."""


def read(folder: Path | None, split: str, num: int) -> Tensor:
    """Frames of Ped2, clip after clip, or noise; uint8 (T, H, W)."""
    if folder is None:
        draw = torch.Generator().manual_seed(0)
        scene = torch.randint(0, 256, (SIZE[0], SIZE[1] + num), generator=draw, dtype=torch.uint8)
        return torch.stack([scene[:, t : t + SIZE[1]] for t in range(num)])
    clips = sorted(path for path in (folder / "ped2" / split).iterdir() if path.is_dir())
    files = [file for clip in clips for file in sorted(clip.iterdir())][:num]
    return torch.stack([decode_image(str(file), mode=ImageReadMode.GRAY)[0] for file in files])


def windows(frames: Tensor, device: torch.device) -> Tensor:
    """Windows (T - 5, 6, H, W) in [0, 1] that share their frames, as serving makes them."""
    values = frames.to(device).float().div_(255)
    return values.unfold(0, WINDOW, 1).movedim(-1, 1)


class Batches:
    """Windows of frames, a batch at a time, as often as one iterates over it."""

    def __init__(self, frames: Tensor, device: torch.device) -> None:
        self._frames, self._device = frames, device

    def __iter__(self) -> Iterator[Tensor]:
        """Go through all windows."""
        for start in range(0, len(self._frames) - WINDOW + 1, BATCH):
            part = self._frames[start : start + BATCH + WINDOW - 1]
            yield windows(part, self._device)


def fitted(trunk: Encoder, frames: Tensor, device: torch.device) -> MotionGaussian:
    """A detector whose trunk has random weights, which changes no time."""
    detector = PED2.build(trunk.to(memory_format=torch.channels_last)).to(device)
    part = len(frames) * 3 // 4
    return detector.fit(Batches(frames[:part], device), Batches(frames[part:], device))


def score_all(detector: nn.Module, frames: Tensor, device: torch.device, batch: int) -> None:
    """Score every frame that has a full window, with its map."""
    for start in range(0, len(frames) - WINDOW + 1, batch):
        found = detector(windows(frames[start : start + batch + WINDOW - 1], device))
        found.image_score.cpu(), found.anomaly_map.cpu()


def new_padim() -> Any | None:
    """``anomalib``'s PaDiM with its usual ResNet-18, not fitted; None if it is not here."""
    try:
        from anomalib.models.image.padim.torch_model import PadimModel
    except ImportError:
        return None
    return PadimModel(backbone="resnet18", pre_trained=False)


def padim(device: torch.device) -> Callable[[Tensor], None] | None:
    """PaDiM, ready to score; None if it is not here."""
    model = new_padim()
    if model is None:
        return None
    model.to(device).train()
    colour = torch.rand(16, 3, *SIZE, device=device)
    for _ in range(8):
        model(colour)
    model.fit()
    model.eval()

    def score(frames: Tensor) -> None:
        for part in torch.split(frames, PADIM_BATCH):
            images = part.to(device).float().div_(255)[:, None].expand(-1, 3, -1, -1)
            model(images)

    return score


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of a piece of work, the GPU's included."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def by_turns(
    ways: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one that does not count."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, work in ways.items():
            seconds = timed(work, device)
            if number:
                spent[name].append(seconds)
    return spent


def fitting(folder: Path | None, device: torch.device, total: int) -> dict[str, float]:
    """Seconds and memory of fitting to a third, two thirds and all of some frames."""
    seconds, memory = [], []
    for share in (1, 2, 3):
        frames = read(folder, "train", total * share // 3)
        trunk = SlimTrunk.Config().build()
        seconds.append(timed(lambda: fitted(trunk, frames, device), device))  # noqa: B023
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
        frames_mb = frames.numel() / 2**20
        del frames
    growth = [after - before for before, after in pairwise(memory)]
    return {
        "fit_frames": total,
        "fit_s": seconds[2],
        "fit_s_one_third": seconds[0],
        "fit_memory_growth_mb": max(growth) - frames_mb / 3,
    }


@torch.no_grad()
def compared(
    train: Tensor, test: Tensor, device: torch.device, rounds: int, kind: str
) -> dict[str, float]:
    """Frames in a second of each way to score the same frames."""
    slim = fitted(SlimTrunk.Config().build(), train, device)
    alexnet = fitted(AlexNetTrunk.Config().build(), train, device)
    few = test[: max(len(test) // 8, 8) + WINDOW - 1]
    ways: dict[str, Callable[[], object]] = {
        "slim": lambda: score_all(slim, test, device, BATCH),
        "alexnet": lambda: score_all(alexnet, few, device, BATCH),
        "single": lambda: score_all(slim, few, device, 1),
    }
    if known := padim(device):
        ways["padim"] = lambda: known(few)
    spent = by_turns(ways, device, rounds)
    middle = {name: statistics.median(values) for name, values in spent.items()}
    num, few_num = len(test) - WINDOW + 1, len(few) - WINDOW + 1
    found = {
        f"{kind}_fps_batch": num / middle["slim"],
        f"{kind}_fps_batch_min": num / max(spent["slim"]),
        f"{kind}_fps_batch_max": num / min(spent["slim"]),
        f"{kind}_ms_single": 1000 * middle["single"] / few_num,
        f"{kind}_fps_alexnet": few_num / middle["alexnet"],
    }
    if known:
        found["padim_fps"] = len(few) / middle["padim"]
        found["padim_ratio"] = found[f"{kind}_fps_batch"] / found["padim_fps"]
    return found


def main() -> None:
    """Measure, write the result, print it last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder with ped2; noise without it")
    parser.add_argument("--anomalib", type=Path, help="python of an environment that has anomalib")
    parser.add_argument("--frames", type=int, default=64, help="test frames of a round")
    parser.add_argument("--fit-frames", type=int, default=2550, help="to fit to; 2550 are all")
    parser.add_argument("--quick", action="store_true", help="few frames and rounds")
    given = parser.parse_args()
    rounds, num = (2, 32) if given.quick else (ROUNDS, given.frames)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    train, test = read(given.data, "train", 120), read(given.data, "test", num + WINDOW - 1)
    if device.type == "cuda":
        notes: dict[str, Any] = {}
        name, metrics = "throughput_gpu", compared(train, test, device, rounds, "gpu")
    else:
        name, (metrics, notes) = "throughput", by_engines(given.anomalib, train, test, rounds)
    metrics |= fitting(given.data, device, 120 if given.quick else given.fit_frames)
    if given.data:  # last, as PaDiM takes more memory than all before
        detector = PED2.build(SlimTrunk.Config().build())
        metrics |= frame_aucs(given.data / "ped2", detector, new_padim())
    report(
        name,
        metrics,
        seeds=[0],
        notes={
            "frames": f"{SIZE[0]} x {SIZE[1]}, " + ("Ped2" if given.data else "noise that drifts"),
            "threads": str(torch.get_num_threads()),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            **notes,
        },
    )


def by_engines(
    anomalib: Path | None, train: Tensor, test: Tensor, rounds: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Figures of every way, quiet and burdened, and the engines that were chosen."""
    own = _engines.ways(train.numpy(), test.numpy())
    with _engines.anomalibs(anomalib) as theirs:
        ways = {**own, **theirs}
        found = _figures(ways, rounds)
        with _engines.burned():
            beside = _figures(ways, min(rounds, 3))
    found |= {f"{name}_burdened": value for name, value in beside.items()}
    chosen = {name: way.choice for name, way in own.items() if way.choice}
    notes = {name: f"{choice.engine}: {choice.milliseconds}" for name, choice in chosen.items()}
    return {**found, **_engines.bounds()}, notes


def _figures(ways: Mapping[str, _engines.Way], rounds: int) -> dict[str, float]:
    spent = by_turns({name: way.work for name, way in ways.items()}, torch.device("cpu"), rounds)
    found = {}
    for name, way in ways.items():
        seconds = statistics.median(spent[name]) / way.num
        found[name] = 1000 * seconds if "_ms_" in name else 1 / seconds
    return found


if __name__ == "__main__":
    main()
