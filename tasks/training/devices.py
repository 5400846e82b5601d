"""Where a model is trained, and what that cost: device, precision, memory, images per second."""

import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.contracts import Detector
from models.errors import InvalidInputError

GIGABYTE = 1e9


def fabric(device: str, processes: int = 1) -> Fabric:
    """Device and precision to train with: bf16 autocast on a GPU, float32 on the CPU.

    Args:
        device: ``auto`` takes a GPU if there is one; ``cpu`` or ``cuda`` force it.
        processes: On this machine that average their gradients; more than one needs ``torchrun``.

    Raises:
        InvalidInputError: If ``cuda`` is asked for and there is none.
    """
    gpu = torch.cuda.is_available() and device != "cpu"
    if device == "cuda" and not gpu:
        raise InvalidInputError(
            "device 'cuda' needs a GPU that torch can use, and there is none. Choose 'auto' or "
            "'cpu'."
        )
    made = Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=processes,
        num_nodes=_num_machines() if processes > 1 else 1,
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if gpu else "32-true",
    )
    made.launch()
    return made


def _num_machines() -> int:
    """Machines that ``torchrun`` was started on, as it tells its processes."""
    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return max(world // local, 1)


def device_of(model: nn.Module | Detector) -> torch.device:
    """Device of a model's first tensor; the CPU if it has none."""
    for tensor in model.state_dict().values():
        return torch.device(tensor.device)
    return torch.device("cpu")


def name_of(device: torch.device) -> str:
    """``cpu``, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@dataclass
class Usage:
    """What a piece of work cost, as it is logged with its run."""

    seconds: float = 0.0
    num_images: int = 0
    """Images that a model saw, counted each time it saw them."""
    metrics: dict[str, float] = field(default_factory=dict)

    def count(self, batches: Iterable[Tensor]) -> "Counted":
        """The same batches, whose images are counted whenever they are iterated."""
        return Counted(batches, self)


class Counted:
    """Re-iterable batches that count their images into a ``Usage``."""

    def __init__(self, batches: Iterable[Tensor], usage: Usage) -> None:
        self._batches, self._usage = batches, usage

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self._batches:
            self._usage.num_images += len(batch)
            yield batch

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure the work in the block; the ``metrics`` are there after it."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    usage, start = Usage(), time.perf_counter()
    yield usage
    usage.seconds = time.perf_counter() - start
    usage.metrics = {
        "seconds": usage.seconds,
        "images_per_second": usage.num_images / usage.seconds,
        "peak_memory_gb": peak_memory() / GIGABYTE,
    }
    if gpu:
        usage.metrics["peak_gpu_memory_gb"] = torch.cuda.max_memory_allocated() / GIGABYTE


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
