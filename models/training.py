"""The one training loop of all networks: batches with progress, and steps at a schedule.

Several processes (``torchrun``) divide every batch and average their gradients. Each of them goes
through all batches, so that all take the same steps; where a batch cannot be divided evenly, losses
weigh as much as the images that they are about, so that the average is the mean over the batch. One
that is too small to divide is taken by all of them.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from models.contracts import Progress
from models.errors import TrainingError
from models.memory import keep_freed_memory

T = TypeVar("T")
FEWEST = 2
"""Images that every process must get at least; triplets need others to differ from."""


class Trainer:
    """Trains a network by the steps of one optimiser; two of them make an adversarial training.

    Args:
        module: What to train, in the mode it shall have meanwhile; its parameters are on the
            fabric's device from now on.
        optimizer: Of its parameters.
        fabric: Device and precision; the CPU in float32 if None.
        schedule: Of the optimiser's learning rate, taken one step further after each step.

    Attributes:
        fabric: Device and precision.
        network: ``module`` on them: what to call for a loss.
        epoch: The present epoch, counted from 0.
        whole: The present batch, of which this process has its part.

    Example:
        A method trains by::

            total = num_steps(batches, config.epochs)
            trainer = Trainer(self.train(), optimizer, fabric, cosine(optimizer, total))
            for images in trainer.epochs(batches, config.epochs, progress, "Jigsaw puzzles"):
                trainer.step(self._loss(trainer.network, images))
            self.history_ = trainer.history()
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        fabric: Fabric | None = None,
        schedule: LRScheduler | None = None,
    ) -> None:
        keep_freed_memory()
        self.fabric = fabric or cpu()
        self.network, self._optimizer = self.fabric.setup(module, optimizer)
        self._schedule = schedule
        self.epoch = 0
        self.whole: Tensor = torch.empty(0)
        self._weight = 1.0
        self._losses: dict[int, list[float]] = {}

    def seed(self, seed: int) -> int:
        """A seed of this process's own; the first one's is ``seed`` itself."""
        return seed + (int(self.fabric.global_rank) << 32)

    def epochs(
        self, batches: Iterable[Tensor], num_epochs: int, progress: Progress, description: str
    ) -> Iterator[Tensor]:
        """This process's part of every batch of every epoch."""
        given = ((epoch, images) for epoch in range(num_epochs) for images in batches)
        total = num_steps(batches, num_epochs)
        for images in self.steps(given, total, progress, description):
            yield self.part(images)

    def steps(
        self, steps: Iterable[tuple[int, T]], total: int, progress: Progress, description: str
    ) -> Iterator[T]:
        """What each of ``total`` steps is about, given with its epoch."""
        for self.epoch, given in progress(steps, total=total, description=description):
            yield given

    def part(self, batch: Tensor) -> Tensor:
        """This process's part of a batch, which the next loss is about."""
        self.whole, num = batch, int(self.fabric.world_size)
        divisible = num > 1 and len(batch) >= FEWEST * num
        part = batch[self.fabric.global_rank :: num] if divisible else batch
        self._weight = len(part) * num / len(batch) if divisible else 1.0
        return part

    def step(self, loss: Tensor) -> float:
        """Take a step against the gradient of a loss, and return the loss.

        Raises:
            TrainingError: If it is not finite.
        """
        loss = loss * self._weight
        value = self.check(loss)
        self._optimizer.zero_grad()
        self.fabric.backward(loss)
        self._optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        self._losses.setdefault(self.epoch, []).append(value)
        return value

    def check(self, loss: Tensor) -> float:
        """The value of a loss, as a mean over the processes.

        Raises:
            TrainingError: If it is not finite.
        """
        mean = loss.detach()
        if self.fabric.world_size > 1:
            reduced = self.fabric.all_reduce(mean, reduce_op="mean")
            assert isinstance(reduced, Tensor)
            mean = reduced
        value = mean.item()
        if not mean.isfinite():
            raise TrainingError(
                f"The loss must be finite, got {value} in epoch {self.epoch + 1}. Lower the "
                "learning rate, and check the images for NaN."
            )
        return value

    def history(self) -> list[float]:
        """Mean loss of each epoch in which there was a step."""
        return [sum(losses) / len(losses) for _, losses in sorted(self._losses.items())]


def cpu() -> Fabric:
    """The CPU in float32."""
    return Fabric(accelerator="cpu", devices=1)


def on(device: torch.device) -> Fabric:
    """One process in float32 on a device, for what lies there already."""
    if device.type == "cpu":
        return cpu()
    return Fabric(accelerator=device.type, devices=[device.index or 0])


def num_steps(batches: Iterable[Tensor], num_epochs: int) -> int:
    """Batches of all epochs; 0 if their number is not known."""
    return num_epochs * (len(batches) if isinstance(batches, Sized) else 0)


def cosine(optimizer: Optimizer, total: int) -> LRScheduler | None:
    """The rate falls to 0 along a half cosine in ``total`` steps; it stays if that is 0."""
    return CosineAnnealingLR(optimizer, total) if total else None


def one_cycle(optimizer: Optimizer, peak: float, total: int, rise: float = 0.3) -> LRScheduler:
    """The rate rises to a peak in a share ``rise`` of the steps, then falls to 0, by half cosines.

    References:
        Smith and Topin, 2018, "Super-Convergence". https://arxiv.org/abs/1708.07120
    """
    return OneCycleLR(optimizer, peak, total_steps=total + 1, pct_start=rise, cycle_momentum=False)


def initialise(module: nn.Module, seed: int) -> None:
    """Draw the first weights of every layer anew, from a seed and not from the global one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()


def lay_out(module: nn.Module, order: torch.memory_format) -> None:
    """Keep the weights of convolutions in another order in memory; they stay the same.

    ``torch.channels_last`` trains small networks 1.5 times as fast on a CPU.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.to(memory_format=order)
