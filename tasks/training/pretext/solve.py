"""Solve a pretext task, and keep what outlives the process: figures, pictures, the encoder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.contracts import PretextTask, silent
from tasks.packaging import tensors
from tasks.platform import files, progress
from tasks.training import devices
from tasks.training.batches import Batches
from tasks.training.pretext.track_pairs import TrackedPairs

NUM_EXAMPLES = 6
"""Images in the picture of the task and its solution."""
ENCODER, EXAMPLES, FIGURES = "encoder.safetensors", "examples.safetensors", "figures.json"


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A solved pretext task, without the network that solved it."""

    encoder: Mapping[str, Tensor]
    """All learned state of the encoder."""
    examples: Mapping[str, Tensor]
    """Pictures of the task and its solution, by title."""
    losses: tuple[float, ...]
    """Mean loss of each epoch."""
    figures: Mapping[str, float]
    """Of the task itself, on images that it was not trained on."""
    usage: Mapping[str, float]
    """What it cost."""
    device: str

    def write(self, folder: Path) -> None:
        """Write it to a folder, as plain files; ``read`` takes it back."""
        save_file(tensors.plain(dict(self.encoder)), folder / ENCODER)
        save_file(tensors.plain(dict(self.examples)), folder / EXAMPLES)
        described = {
            "losses": self.losses,
            "figures": dict(self.figures),
            "usage": dict(self.usage),
            "device": self.device,
            "titles": list(self.examples),
        }
        files.write(folder / FIGURES, json.dumps(described))


def read(folder: Path) -> Solution:
    """What ``Solution.write`` wrote.

    Raises:
        OSError: If nothing, or not all of it, was written.
    """
    described = json.loads((folder / FIGURES).read_text())
    pictures = load_file(folder / EXAMPLES)
    return Solution(
        encoder=load_file(folder / ENCODER),
        examples={title: pictures[title] for title in described.pop("titles")},
        **described,
    )


def solve(
    pretext: PretextTask,
    images: Batches | TrackedPairs,
    held_out: Batches | TrackedPairs,
    fabric: Fabric,
) -> Solution | None:
    """Solve a pretext task, alone or together with the other processes of the fabric.

    Args:
        pretext: Not solved yet.
        images: To train on; every process goes through all of them and trains on its part.
        held_out: Others, which the first process judges the solution by.
        fabric: Device, precision, and the processes.

    Returns:
        None in every process but the first.

    Raises:
        TrainingError: If training fails.
    """
    first = bool(fabric.is_global_zero)
    with devices.measured() as usage:
        shown = progress.bar if first else silent
        pretext.fit(usage.count(images), fabric=fabric, progress=shown)
    if not first:
        return None
    batch = next(iter(held_out))
    chosen = batch[:: max(len(batch) // NUM_EXAMPLES, 1)][:NUM_EXAMPLES]
    return Solution(
        encoder=tensors.plain(pretext.encoder.state_dict()),
        figures=dict(pretext.evaluate(held_out)),
        examples={title: each.cpu() for title, each in pretext.examples(chosen).items()},
        losses=tuple(pretext.history_),
        usage={**usage.metrics, "num_images": float(images.num_images)},
        device=devices.name_of(fabric.device),
    )
