"""Solve a pretext task on a set of images, and see where the time goes."""

import dataclasses
import importlib
import math
import pkgutil
import time
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks._comparators import new_trunk
from benchmarks._sets import Batches, ImageSet
from models import pretext
from models.contracts import Encoder

STARTED = ("models.pretext",)
"""Imported by their names: the sources of all of them count with a result's."""

SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "autoregressive": ({}, {"crop": 48}),
    "context_encoder": ({"width": 64}, {"width": 64, "crop": 48}),
    "jigsaw": (
        {"num_permutations": 30, "crop": 36, "tile": 10},
        {"num_permutations": 30, "crop": 72, "tile": 20},
    ),
    "transformation": ({}, {"crop": 48}),
}
"""Where tasks are made smaller than by default: on small images, and on tiles and frames, which
have a third of their own size here. Then most of them see every image about twice in an epoch."""
VIEWS = 12
"""Of each class of the Exemplar CNN; there are as many classes as make two views of an image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solved:
    """A pretext task after training.

    Attributes:
        trunk: What it has trained.
        figures: Its own figures on images held out from it.
        images_per_second: Training images by second, each counted once per epoch.
        preparation_share: Share of the time of training that was not forward, backward or step.
    """

    trunk: Encoder
    figures: dict[str, float]
    images_per_second: float
    preparation_share: float


class StepClock:
    """Counts the time of steps: from the first call of a layer to the end of the optimizer's step.

    What lies between, that is mining, cutting, augmenting and batching, is preparation.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began: float | None = None

    def begin(self, module: nn.Module, _: Any) -> None:
        """Begin a step, unless one is under way or the layer is an augmentation."""
        if self._began is None and not type(module).__module__.startswith("torchvision.transforms"):
            self._began = time.perf_counter()

    def on_after_optimizer_step(self, **_: Any) -> None:
        """End the step: Fabric calls this."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if self._began is not None:
            self.seconds += time.perf_counter() - self._began
        self._began = None


def tasks() -> dict[str, Any]:
    """Every pretext task of ours by name: the public class of each public file."""
    names = [found.name for found in pkgutil.iter_modules(pretext.__path__)]
    modules = {n: importlib.import_module(f"models.pretext.{n}") for n in names if n[0] != "_"}
    return {
        name: thing
        for name, module in modules.items()
        for thing in vars(module).values()
        if getattr(thing, "__module__", None) == module.__name__ and hasattr(thing, "Config")
    }


def solve(task_class: Any, images: ImageSet, *, seed: int, steps: int) -> Solved:
    """Train a new trunk by a pretext task, its hyper-parameters as ``SIZES`` says, else by default.

    Args:
        task_class: The task.
        images: Of their training part, the last tenth is held out.
        seed: Of the trunk, the task and the order of the images.
        steps: Batches to train on, rounded up to whole epochs.
    """
    training, held_out = images.split()
    batches, clock = Batches(training, seed=seed), StepClock()
    config = task_class.Config(
        seed=seed,
        epochs=math.ceil(steps / len(batches)),
        **_sizes(task_class.__module__, images, len(training)),
    )
    task = config.build(new_trunk(seed))
    hook = register_module_forward_pre_hook(clock.begin)
    began = time.perf_counter()
    try:
        task.fit(batches, fabric=_fabric(clock))
    finally:
        hook.remove()
    seconds = time.perf_counter() - began
    return Solved(
        trunk=task.encoder,
        figures={name: float(value) for name, value in task.evaluate(Batches(held_out)).items()},
        images_per_second=batches.num_seen / seconds,
        preparation_share=1 - clock.seconds / seconds,
    )


def _sizes(module: str, images: ImageSet, num: int) -> dict[str, int]:
    name = module.rpartition(".")[2]
    if name == "exemplar":
        return {"num_classes": max(2 * num // VIEWS, 2), "views_per_class": VIEWS}
    return SIZES.get(name, ({}, {}))[images.train_labels is None]


def _fabric(clock: StepClock) -> Fabric:
    gpu = torch.cuda.is_available()
    fabric = Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=1,
        precision="bf16-mixed" if gpu else "32-true",
        callbacks=[clock],
    )
    fabric.launch()
    return fabric
