"""Detectors as programs, ready to be timed: from decoded images to scores and maps.

Images are uint8 in memory, as a decoder leaves them; results are arrays. Every program is made and
checked as it is at registration, and runs on the engine that is fastest here.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._settings import PED2
from benchmarks.deep_anomaly import LAYERS
from models.contracts import WINDOW
from models.encoders.alexnet import AlexNetTrunk
from models.encoders.pretrained import PretrainedTrunk
from models.encoders.slim import SlimTrunk
from models.functional.mean_frames import mean_frames
from models.one_class.deep_anomaly import DeepAnomaly, SparseLayerConfig
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from tasks.packaging import make_program
from tasks.packaging.preprocessing import windows
from tasks.packaging.program import Choice, Program, choose
from tasks.packaging.tensors import as_tensor

SIZE, SIDE = (240, 360), 256
"""Of frames of a clip, and of stills."""
BATCH = 16
NUM_STILLS, MEMORY = 60, 0.1
"""Normal stills that PatchCore and PaDiM learn from, and the share of patches that is kept."""
ANOMALIB = Path(__file__).with_name("_anomalib_speed.py")


@dataclass(frozen=True)
class Way:
    """One way to score some images."""

    num: int
    """Images, or frames, that it scores."""
    work: Callable[[], object]
    choice: Choice | None = None
    """The engine, if it was chosen."""


class Frames:
    """Windows of frames as batches of tensors, as often as one iterates."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self._windows = windows(frames, WINDOW)

    def __iter__(self) -> Iterator[Tensor]:
        """All windows, a batch at a time."""
        for start in range(0, len(self._windows), BATCH):
            yield torch.tensor(self._windows[start : start + BATCH]).float().div_(255)


def program_of(detector: Any, images: Tensor, folder: Path) -> tuple[Program | None, Choice]:
    """A fitted detector's program, on the fastest engine, as serving would run it."""
    record = make_program.write(folder, detector, (images * 255).round().byte())
    if not record["usable"]:
        raise RuntimeError(f"{type(detector).__name__}: {record['why']}")

    @torch.no_grad()
    def by_torch(batch: NDArray[np.uint8]) -> object:
        return detector(torch.from_numpy(batch).float() / 255)

    program, choice = choose(folder, "auto", torch.get_num_threads(), by_torch)
    print(f"{type(detector).__name__}: {choice}", file=sys.stderr, flush=True)
    return program, choice


def alexnet_eager(frames: NDArray[np.uint8]) -> Way:
    """AlexNet's conv1 and conv2 in eager torch: what all goals are told in."""
    trunk = AlexNetTrunk.Config().build().features.to(memory_format=torch.channels_last)
    few = frames[: BATCH + WINDOW - 1]
    planes = mean_frames(torch.tensor(windows(few, WINDOW)).float().div_(255))

    @torch.no_grad()
    def work() -> object:
        return trunk(planes)

    return Way(len(planes), work)


def of_frames(detector: Any, train: NDArray[np.uint8], frames: NDArray[np.uint8]) -> Any:
    """Ways of a detector of windows of frames: in batches, and one by one."""
    part = len(train) * 3 // 4
    detector.fit(Frames(train[:part]), Frames(train[part:]))
    program, choice = program_of(detector, next(iter(Frames(frames)))[:8], _folder())
    inputs = windows(frames, WINDOW)

    def work(places: Sequence[slice]) -> None:
        for place in places:
            if program and not (program.clips_by_torch and len(inputs[place]) > 1):
                program(inputs[place])
                continue
            began = time.perf_counter()
            with torch.no_grad():
                detector(as_tensor(inputs[place], torch.device("cpu")))
            if program and place.start:
                program.note_torch(len(inputs[place]), time.perf_counter() - began)

    batches = [slice(start, start + BATCH) for start in range(0, len(inputs), BATCH)]
    few = [slice(start, start + 1) for start in range(BATCH)]
    return Way(len(inputs), lambda: work(batches), choice), Way(BATCH, lambda: work(few), choice)


def planes(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean frames of every window, rounded, as the three channels of an image: (T - 5, 3, H, W)."""
    shared = torch.from_numpy(frames).float().unfold(0, WINDOW, 1).movedim(-1, 1)
    return mean_frames(shared).round().byte().numpy()


def of_mean_frames(detector: Any, train: NDArray[np.uint8], frames: NDArray[np.uint8]) -> Way:
    """A detector on a network that takes three channels, from frames to scores and maps."""
    normal = torch.from_numpy(planes(train)).float().div_(255)
    part = len(normal) * 3 // 4
    detector.fit(normal[:part].split(BATCH), normal[part:].split(BATCH))
    program, choice = program_of(detector, normal[:8], _folder())
    if program is None:
        raise RuntimeError(f"{type(detector).__name__} runs on torch: {choice.why}")

    def work() -> None:
        for start in range(0, len(frames) - WINDOW + 1, BATCH):
            program(planes(frames[start : start + BATCH + WINDOW - 1]))

    return Way(len(frames) - WINDOW + 1, work, choice)


def of_stills(detector: nn.Module) -> Way:
    """A detector of stills, fitted to pictures that are alike, and one batch of those."""
    draw = torch.Generator().manual_seed(0)
    scene = torch.nn.functional.interpolate(
        torch.rand(1, 3, 32, 32, generator=draw), size=(SIDE, SIDE), mode="bicubic"
    )

    def batch(num: int) -> Tensor:
        return (scene + 0.1 * torch.randn(num, 3, SIDE, SIDE, generator=draw)).clamp(0, 1)

    normal = [batch(NUM_STILLS // 4) for _ in range(4)]
    detector.fit(normal, [batch(20)])  # type: ignore[operator]
    program, choice = program_of(detector, batch(4), _folder())
    images = (batch(BATCH) * 255).byte().numpy()
    if program is None:
        raise RuntimeError(f"{type(detector).__name__} runs on torch: {choice.why}")
    return Way(BATCH, lambda: program(images), choice)


def ways(train: NDArray[np.uint8], frames: NDArray[np.uint8]) -> dict[str, Way]:
    """All that is timed of ours, by the name of its figure."""
    layer = SparseLayerConfig(num_samples=2000, epochs=1)  # how well it was trained takes no time
    ped2, single = of_frames(PED2.build(SlimTrunk.Config().build()), train, frames)
    fine = PretrainedTrunk.Config(layers=LAYERS).build().load_pretrained()
    cascade = of_mean_frames(DeepAnomaly.Config(layer=layer).build(fine), train, frames)
    trunk = PretrainedTrunk.Config().build().load_pretrained()
    return {
        "alexnet_eager_fps": alexnet_eager(frames),
        "ped2_fps_batch": ped2,
        "ped2_ms_single": single,
        "deep_anomaly_fps_batch": cascade,
        "padim_ips": of_stills(PaDiM.Config().build(trunk)),
        "patchcore_ips": of_stills(PatchCore.Config(coreset=MEMORY).build(trunk)),
    }


@contextmanager
def anomalibs(python: Path | None) -> Iterator[dict[str, Way]]:
    """The same by anomalib, in its own interpreter; nothing without one."""
    if python is None:
        yield {}
        return
    folder = _folder()
    patches = int(NUM_STILLS * (SIDE // 8) ** 2 * MEMORY)
    command = [str(python), "-P", str(ANOMALIB), str(folder), str(patches)]  # beside statistics.py
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{python} must have anomalib.")

        def ask(name: str) -> None:
            process.stdin.write(f"{name}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            process.stdout.readline()  # type: ignore[union-attr]

        try:
            yield {
                "anomalib_padim_torch_ips": Way(BATCH, lambda: ask("padim")),
                "anomalib_patchcore_torch_ips": Way(BATCH, lambda: ask("patchcore")),
                "anomalib_padim_openvino_ips": _by_openvino(folder / "padim.pt"),
            }
        finally:
            process.stdin.close()


def _by_openvino(file: Path) -> Way:
    import openvino

    model = openvino.convert_model(
        torch.jit.load(str(file)), example_input=torch.rand(1, 3, SIDE, SIDE)
    )
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 3, SIDE, SIDE), dtype=np.uint8)
    return Way(BATCH, lambda: compiled([images.astype(np.float32) / 255]))


def bounds() -> dict[str, float]:
    """What the machine could do at most: arithmetic, memory, and PaDiM's images by both."""
    side, words = 1536, 64 * 2**20
    left, right = torch.rand(side, side), torch.rand(side, side)
    flops = 2 * side**3 / _fastest(lambda: left @ right)
    memory = torch.rand(words)
    traffic = 4 * words / _fastest(memory.sum)
    trunk = PretrainedTrunk.Config().build()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trunk(torch.rand(1, 3, SIDE, SIDE))
    dim, places = trunk.embedding_dim, (SIDE // 8) ** 2
    arithmetic = (counter.get_total_flops() + 2 * places * dim**2) / flops
    gaussians = 4 * places * dim**2 / traffic
    return {
        "peak_gflops": flops / 1e9,
        "memory_gb_s": traffic / 1e9,
        "padim_bound_ips": 1 / (arithmetic + gaussians / BATCH),
        "padim_bound_ips_single": 1 / (arithmetic + gaussians),
    }


def _fastest(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


@contextmanager
def burned() -> Iterator[None]:
    """Processes that keep every core busy meanwhile, as somebody else's would."""
    command = [sys.executable, "-c", "while True: pass"]
    burning = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="unseen-throughput-"))
