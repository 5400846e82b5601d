"""Gradient descent of a pretext task: one step after the other, at a falling learning rate."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from models.contracts import Progress
from models.pretext._history import Losses
from models.pretext._schedule import cosine, epochs, num_steps

T = TypeVar("T")


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

    def over(
        self, batches: Iterable[Tensor], progress: Progress, description: str
    ) -> Iterator[Tensor]:
        """Every batch of every epoch, with the learning rate set for it."""
        total = num_steps(batches, self._num_epochs)
        yield from self.through(epochs(batches, self._num_epochs), total, progress, description)

    def through(
        self, steps: Iterable[tuple[int, T]], total: int, progress: Progress, description: str
    ) -> Iterator[T]:
        """What each of ``total`` steps is about, given with its epoch, likewise."""
        for step, (self.epoch, given) in enumerate(
            progress(steps, total=total, description=description)
        ):
            self.share = cosine(step, total)
            for group, highest in zip(self._optimizer.param_groups, self._highest, strict=True):
                group["lr"] = highest * self.share
            yield given

    def step(self, loss: Tensor) -> None:
        """Take a step against the gradient of a loss.

        Raises:
            TrainingError: If it is not finite.
        """
        self.losses.add(self.epoch, loss)
        self._optimizer.zero_grad()
        self.fabric.backward(loss)
        self._optimizer.step()
