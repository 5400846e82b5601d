"""Gradient descent of a pretext task: one step after the other, at a falling learning rate.

Several processes (``torchrun``) divide every batch and average their gradients. Each of them goes
through all batches, so that all take the same steps; where a batch cannot be divided evenly, losses
weigh as much as the images that they are about, so that the average is the mean over the batch. One
that is too small to divide is taken by all of them.
"""

from collections.abc import Iterable, Iterator

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from models.contracts import Progress
from models.pretext._history import Losses
from models.pretext._schedule import cosine, epochs, num_steps

FEWEST = 2
"""Images that every process must get at least; triplets need others to differ from."""


class Descent:
    """Steps of an optimizer whose learning rate falls along a half cosine, and their losses.

    Args:
        task: What to train; it is in training mode from now on.
        optimizer: Of its parameters, at the highest learning rate.
        num_epochs: Passes to come.
        fabric: Device and precision; the CPU in float32 if None.

    Attributes:
        fabric: Device and precision.
        network: ``task`` on them: what to call for a loss.
        epoch: The present epoch, counted from 0.
        share: The present share of the highest learning rate.
        whole: The present batch, of which this process has its part.
        losses: Of every step.

    Example:
        A task trains by::

            descent = Descent(self, optimizer, config.epochs, fabric)
            for images in descent.over(batches, progress, "Puzzles"):
                descent.step(self._loss(descent.network, images))
    """

    def __init__(
        self, task: nn.Module, optimizer: Optimizer, num_epochs: int, fabric: Fabric | None
    ) -> None:
        self.fabric = fabric or Fabric(accelerator="cpu", devices=1)
        self._highest = [group["lr"] for group in optimizer.param_groups]
        self.network, self._optimizer = self.fabric.setup(task.train(), optimizer)
        self._num_epochs = num_epochs
        self.losses = Losses(num_epochs)
        self.epoch, self.share = 0, 1.0
        self.whole: Tensor = torch.empty(0)
        self._weight = 1.0

    def seed(self, seed: int) -> int:
        """A seed of this process's own; the first one's is ``seed`` itself."""
        return seed + (int(self.fabric.global_rank) << 32)

    def over(
        self, batches: Iterable[Tensor], progress: Progress, description: str
    ) -> Iterator[Tensor]:
        """This process's part of every batch of every epoch, the learning rate set for it."""
        total = num_steps(batches, self._num_epochs)
        yield from self.through(epochs(batches, self._num_epochs), total, progress, description)

    def through(
        self, steps: Iterable[tuple[int, Tensor]], total: int, progress: Progress, description: str
    ) -> Iterator[Tensor]:
        """This process's part of what each of ``total`` steps is about, given with its epoch."""
        for step, (self.epoch, given) in enumerate(
            progress(steps, total=total, description=description)
        ):
            self.share = cosine(step, total)
            for group, highest in zip(self._optimizer.param_groups, self._highest, strict=True):
                group["lr"] = highest * self.share
            yield self._part(given)

    def step(self, loss: Tensor) -> None:
        """Take a step against the gradient of a loss.

        Raises:
            TrainingError: If it is not finite.
        """
        loss = loss * self._weight
        self.losses.add(self.epoch, self._mean(loss.detach()))
        self._optimizer.zero_grad()
        self.fabric.backward(loss)
        self._optimizer.step()

    def _part(self, batch: Tensor) -> Tensor:
        self.whole, num = batch, int(self.fabric.world_size)
        divisible = num > 1 and len(batch) >= FEWEST * num
        part = batch[self.fabric.global_rank :: num] if divisible else batch
        self._weight = len(part) * num / len(batch) if divisible else 1.0
        return part

    def _mean(self, loss: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.fabric.world_size == 1:
            return loss
        reduced = self.fabric.all_reduce(loss, reduce_op="mean")
        assert isinstance(reduced, Tensor)
        return reduced
