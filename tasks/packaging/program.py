"""Run a detector's program on the engine that is fastest here, and gives what torch gives.

    program, choice = choose(folder / "program", threads=2)
    program(images)["image_score"]          # images: uint8 (N, C, H, W)

This file needs NumPy and one engine, no torch. Nothing is trusted that was not tried: before an
engine is taken it must give, on this machine, what torch gave for the same noise when the detector
was registered.

Shapes: N = images, C = window or channels, H W = image.
"""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.errors import InvalidInputError

FOLDER, FILE, RECORD, EXPECTED = "program", "detector.onnx", "program.json", "expected.safetensors"
INPUT, SCORE, FEATURES = "images", "image_score", "features"
PARITY = 1e-4
"""Difference from torch that a result may have, relative to the largest value."""
TORCH, AUTO, STEADY = "torch", "auto", "steady"
"""Beside names of engines: ``auto`` is what is fastest here; ``steady`` is the same everywhere,
ONNX Runtime where the package has a program, and torch where it has none."""
ENGINES = ("onnxruntime", "openvino", "openvino-bf16")
"""What can run a program; the last one is tried where the processor has bfloat16."""
TORCH_MARGIN = 1.5
"""How many times as fast as the best program torch must be to be taken: the timings are of batches
on quiet cores, and torch loses far more with one image alone, or beside other processes."""
PROBE = 4
"""Images of noise by which engines are checked and timed."""
TRIES, ENOUGH_SECONDS = 3, 0.5
"""Timings of each engine at most, and seconds after which one is enough."""

HEAVY_MILLISECONDS = 5.0
"""For an image, from which a program is heavy."""
heavy_threads: int | None = None
"""Threads of a heavy program, if not as many as of others. A server sets them."""

Results = dict[str, NDArray[Any]]
Run = Callable[[NDArray[np.uint8], list[str]], Results]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which engine a detector runs on, and why."""

    engine: str
    """One of ``ENGINES``, or ``torch``."""
    why: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    """For one image, in a batch of ``PROBE``; by engine, of those that were tried."""
    threads: int = 0

    def told(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Program:
    """A detector's program on one engine. Threads may call it at the same time.

    Args:
        folder: Holds the program and its record.
        engine: One of ``ENGINES``.
        threads: That compute.

    Attributes:
        engine: The engine.
        size: Channels, height and width of its images.
        outputs: Names of its results.
        clips_by_torch: Torch is quicker for windows of one clip, whose frames it looks at once; the
            program computes each window by itself. Only ``choose`` says so, and for ``auto``.
        milliseconds: For an image, where ``choose`` has measured it.

    Raises:
        InvalidInputError: If there is no such engine here.
    """

    clips_by_torch, milliseconds = False, math.inf

    def __init__(self, folder: Path, engine: str, threads: int) -> None:
        record = json.loads((folder / RECORD).read_text())
        self.engine = engine
        self.size: tuple[int, ...] = tuple(record["input"]["shape"][1:])
        self.outputs: tuple[str, ...] = tuple(record["outputs"])
        opened: dict[str, Callable[[Path, int], Run]] = {
            "onnxruntime": _onnxruntime,
            "openvino": _openvino,
            "openvino-bf16": partial(_openvino, precision="bf16"),
        }
        if engine not in opened:
            raise InvalidInputError(
                f"engine must be one of {', '.join(ENGINES)}, {TORCH} or {AUTO}, got {engine!r}."
            )
        try:
            self._run = opened[engine](folder / FILE, threads)
        except ImportError as error:
            raise InvalidInputError(
                f"The engine {engine} is not installed here: {error}. Install it, or choose "
                "another one."
            ) from error

    def fits(self, inputs: NDArray[np.uint8]) -> bool:
        """Whether these images have the size that it was made for."""
        return inputs.shape[1:] == self.size

    def note_torch(self, num: int, seconds: float) -> None:
        """Do clips from now on if torch, which took so long for so many windows, is slower now.

        Beside other processes torch loses up to 25 times its speed, and a program about half.
        """
        self.clips_by_torch = self.clips_by_torch and 1e3 * seconds <= num * self.milliseconds

    def __call__(self, inputs: NDArray[np.uint8], *, features: bool = False) -> Results:
        """Results by name, for images (N, C, H, W); ``features`` only if they are asked for."""
        wanted = [name for name in self.outputs if features or name != FEATURES]
        return self._run(np.ascontiguousarray(inputs), wanted)


def choose(
    folder: Path,
    wanted: str,
    threads: int,
    by_torch: Callable[[NDArray[np.uint8]], object] | None,
) -> tuple[Program | None, Choice]:
    """The program on the fastest engine here, or on the one that is wanted.

    Args:
        folder: Holds the program, its record and what torch gave for noise.
        wanted: One of ``ENGINES``, ``torch``, ``auto`` or ``steady``.
        threads: That compute.
        by_torch: Scores a batch by torch; to be timed where torch was the quicker one when the
            version was registered, so that elsewhere nothing waits for the import of torch. None
            if there is no torch.

    Returns:
        The program, None if torch is to be used; and the reasons.

    Raises:
        InvalidInputError: If the engine that is wanted is not here, or gives something else.
    """
    record = json.loads((folder / RECORD).read_text()) if (folder / RECORD).is_file() else None
    if wanted == TORCH:
        return None, Choice(engine=TORCH, why="It was asked for.", threads=threads)
    if record is None or not record["usable"]:
        why = record["why"] if record else "The package has no program: it is of an older version."
        if wanted not in (AUTO, STEADY):
            raise InvalidInputError(f"This version cannot run on {wanted}. {why} Take torch.")
        return None, Choice(engine=TORCH, why=why, threads=threads)
    probe = noise(tuple(record["input"]["shape"][1:]))
    if wanted != AUTO:
        program = Program(folder, ENGINES[0] if wanted == STEADY else wanted, threads)
        _check(program, folder, probe)
        why = "It is the same everywhere." if wanted == STEADY else "It was asked for."
        return program, Choice(engine=program.engine, why=why, threads=threads)
    found, choice = _fastest(folder, threads, probe, by_torch if record.get("slow") else None)
    if found and by_torch:
        found.clips_by_torch = record.get("slow_on_clips", False)
        found.milliseconds = choice.milliseconds[found.engine]
    return found, choice


def _fastest(
    folder: Path,
    threads: int,
    probe: NDArray[np.uint8],
    by_torch: Callable[[NDArray[np.uint8]], object] | None,
) -> tuple[Program | None, Choice]:
    programs: dict[str, Program] = {}
    spent, refused = dict[str, float](), list[str]()
    if by_torch:
        spent[TORCH] = milliseconds(by_torch, probe)
    for engine in ENGINES:
        if engine.endswith("bf16") and not _has_bfloat16():
            continue
        try:
            program = Program(folder, engine, threads)
            _check(program, folder, probe)
        except (InvalidInputError, RuntimeError) as error:
            refused.append(f"{engine}: {error}")
            continue
        programs[engine] = program
        spent[engine] = milliseconds(program, probe)
    margin = {TORCH: TORCH_MARGIN}
    counted = {engine: value * margin.get(engine, 1) for engine, value in spent.items()}
    best = min(counted, key=lambda engine: counted[engine]) if counted else TORCH
    if heavy_threads and best in programs and spent[best] >= HEAVY_MILLISECONDS:
        threads = heavy_threads
        programs[best] = Program(folder, best, threads)
    told = "It is the fastest here." if spent else "No engine is right here."
    if spent and spent[best] > min(spent.values()):
        told = f"It is the fastest here but for torch, by less than {TORCH_MARGIN:g} times."
    why = " ".join([told, *refused])
    return programs.get(best), Choice(engine=best, why=why, milliseconds=spent, threads=threads)


def difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, relative to the largest expected value; infinite if shapes differ."""
    if found.shape != expected.shape:
        return math.inf
    apart = np.abs(np.where(found == expected, 0, found.astype(np.float64) - expected))
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    worst = float(apart.max(initial=0.0))
    return worst / largest if worst and largest else worst


def noise(size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Images (N, C, H, W) that are the same everywhere and always, unlike those of generators."""
    number = np.arange(PROBE * math.prod(size), dtype=np.uint64)
    mixed = (number ^ (number >> np.uint64(5))) * np.uint64(2654435761)
    return (mixed >> np.uint64(23)).astype(np.uint8).reshape(PROBE, *size)


def default_threads() -> int:
    """As many as torch computes with, if it is loaded; as the environment says; or as cores."""
    if (torch := sys.modules.get("torch")) is not None:
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1


def _check(program: Program, folder: Path, probe: NDArray[np.uint8]) -> None:
    found, expected = program(probe), load_file(folder / EXPECTED)
    worst = max(difference(found[name], value) for name, value in expected.items())
    if not worst <= PARITY:
        raise InvalidInputError(
            f"{program.engine} must give here what torch gave within {PARITY:g} of the largest "
            f"value, and differs by {worst:.3g}."
        )


def milliseconds(run: Callable[[NDArray[np.uint8]], object], probe: NDArray[np.uint8]) -> float:
    """Time for an image of a batch, the least of a few tries."""
    run(probe)
    spent: list[float] = []
    while len(spent) < TRIES and sum(spent) < ENOUGH_SECONDS:
        began = time.perf_counter()
        run(probe)
        spent.append(time.perf_counter() - began)
    return round(1e3 * min(spent) / len(probe), 4)


def _onnxruntime(file: Path, threads: int) -> Run:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.32 on, it calls home on Linux too
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Threads that spin take from others what they do not use themselves.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(inputs: NDArray[np.uint8], wanted: list[str]) -> Results:
        return dict(zip(wanted, session.run(wanted, {INPUT: inputs}), strict=True))

    return run


def _openvino(file: Path, threads: int, precision: str = "f32") -> Run:
    import openvino

    settings: Mapping[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    request, lock = compiled.create_infer_request(), threading.Lock()
    place = {port.get_any_name(): number for number, port in enumerate(compiled.outputs)}

    def run(inputs: NDArray[np.uint8], wanted: list[str]) -> Results:
        with lock:
            request.infer([inputs], share_inputs=True)
            return {name: np.array(request.get_output_tensor(place[name]).data) for name in wanted}

    return run


def _has_bfloat16() -> bool:
    try:
        import openvino
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
