"""How a clustering autoencoder is trained: first to reconstruct, then towards sharper clusters.

Shapes: N = images, B = batch, C = channels, S = side, D = embedding width, K = clusters.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from sklearn.decomposition import PCA
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.clustering._autoencoder import Autoencoder
from models.clustering._schedule import Schedule
from models.contracts import Progress
from models.errors import TrainingError
from models.functional.augmentations import jittered
from models.functional.shuffled import Shuffled
from models.functional.soft_assignment import divergence, soft_assignment, target_distribution

EMBEDDED_AT_ONCE = 1024
"""Images that are embedded together without gradients."""
RISE = 0.3
"""Share of a cycle in which the learning rate rises."""
VIEWS = 20
"""Views of each image that link it to others at a spectral start."""
COMPONENTS = 50
"""Principal components of the images by which they are compared there, at most."""


class Refresh(NamedTuple):
    """What one refresh of the target found.

    Attributes:
        iteration: Steps of the second stage until then.
        changed: Share of images whose cluster is not that of the refresh before, in [0, 1].
        divergence: Mean KL(P || Q) of the steps since then, in nats; NaN at the first.
        reconstruction: Mean squared error per pixel of those steps; NaN without reconstruction.
    """

    iteration: int
    changed: float
    divergence: float
    reconstruction: float


class Trainer:
    """Trains a network on prepared images.

    Args:
        network: Autoencoder; trained in place.
        dealt: All images, of the network's size.
        schedule: Hyper-parameters.
        fabric: Device and precision.
        progress: Shows the steps.
        seed: Of the augmentation.
    """

    def __init__(
        self,
        network: Autoencoder,
        dealt: Shuffled,
        schedule: Schedule,
        *,
        fabric: Fabric,
        progress: Progress,
        seed: int,
    ) -> None:
        self._network, self._dealt, self._schedule = network, dealt, schedule
        self._fabric, self._progress = fabric, progress
        self._draw = Generator().manual_seed(seed)

    def pretrain(self) -> list[float]:
        """Learn to reconstruct; the mean squared error per pixel of each epoch.

        Raises:
            TrainingError: If the loss diverges.
        """
        schedule = self._schedule
        steps = self._dealt.num_batches(schedule.batch_size)
        network, optimizer = self._set_up([*self._network.parameters()])
        losses = torch.zeros(schedule.epochs, device=self._fabric.device)
        batches = self._batches()
        numbered = self._progress(
            range(schedule.epochs * steps), total=schedule.epochs * steps, description="Autoencoder"
        )
        for step in numbered:
            if schedule.peak_rate:
                _set_rate(optimizer, one_cycle(step / len(losses) / steps, schedule.peak_rate))
            images = self._varied(next(batches)[1], schedule.shift, schedule.rotation)
            _, painted = network(images)
            loss = functional.mse_loss(painted.float(), images)
            self._step(optimizer, loss)
            losses[step // steps] += loss.detach() / steps
        _check_finite(losses)
        return losses.tolist()

    def refine(
        self, centroids: nn.Parameter, labels: Int[Tensor, "N"]
    ) -> tuple[list[Refresh], Int[Tensor, "N"]]:
        """Sharpen the clusters until their members stay; what happened, and the members.

        Args:
            centroids: Of the clusters at the start; trained in place. Shape (K, D).
            labels: Cluster of each image at the start.

        Raises:
            TrainingError: If a cluster gets empty, or the loss diverges.
        """
        schedule, history = self._schedule, list[Refresh]()
        network, optimizer = self._set_up([*self._network.parameters(), centroids])
        target, sums, batches = torch.empty(0), torch.zeros(2), self._batches()
        adopted = functional.one_hot(labels, len(centroids)).float()
        most = schedule.max_iterations
        for step in self._progress(range(most + 1), total=most + 1, description="Clustering"):
            if step % schedule.update_interval == 0 or step == most:
                _check_finite(sums[0])
                target, found = self._targets(centroids)
                if step < schedule.adoption:
                    target = adopted
                since = step - history[-1].iteration if history else 0
                changed = float((found != labels).double().mean())
                labels = found
                mean = sums / since if since else torch.full((2,), torch.nan)
                history.append(Refresh(step, changed, *mean.tolist()))
                sums = torch.zeros(2, device=self._fabric.device)
                settled = step > schedule.adoption and changed < schedule.tolerance
                if step == most or settled:
                    break
            ids, images = next(batches)
            images = self._varied(images, schedule.shift, schedule.rotation)
            embedding, painted = network(images, reconstruct=schedule.reconstruction > 0)
            wanted = self._fabric.to_device(target[ids])
            far = divergence(wanted, soft_assignment(embedding.float(), centroids))
            error = far.new_tensor(torch.nan)
            loss = schedule.gamma * far
            if painted is not None:
                error = functional.mse_loss(painted.float(), images)
                loss = loss + schedule.reconstruction * error
            self._step(optimizer, loss)
            sums += torch.stack([far, error]).detach()
        return history, labels

    def components(self) -> tuple[Float[Tensor, "N P"], list[Float[Tensor, "N P"]]]:
        """Principal components of all images, and of ``VIEWS`` views of each, on the CPU.

        There are no views if the schedule has neither shift nor rotation for them.
        """
        schedule = self._schedule
        images = self._dealt.images.flatten(1)
        found = PCA(min(COMPONENTS, *images.shape), random_state=0).fit(images.numpy())

        def project(change: Callable[[Tensor], Tensor]) -> Tensor:
            parts = (
                found.transform(change(images).flatten(1).cpu().numpy())
                for _, images in self._dealt.in_order(EMBEDDED_AT_ONCE)
            )
            return torch.cat([torch.from_numpy(part) for part in parts])

        vary = partial(self._varied, shift=schedule.start_shift, rotation=schedule.start_rotation)
        wanted = VIEWS if schedule.start_shift or schedule.start_rotation else 0
        return project(self._placed), [project(vary) for _ in range(wanted)]

    @torch.no_grad()
    def embed(self) -> Float[Tensor, "N D"]:
        """Embedding of all images as they are, in the order they came, on the CPU."""
        parts = [
            self._network(self._placed(images), reconstruct=False)[0].float().cpu()
            for _, images in self._dealt.in_order(EMBEDDED_AT_ONCE)
        ]
        return torch.cat(parts)

    def _targets(self, centroids: Tensor) -> tuple[Float[Tensor, "N K"], Int[Tensor, "N"]]:
        """Target of every image, by its id, and its present cluster."""
        assignment = soft_assignment(self.embed(), centroids.detach().cpu())
        labels = assignment.argmax(dim=1)
        check_no_cluster_is_empty(labels, len(centroids))
        return target_distribution(assignment), labels

    def _set_up(self, parameters: list[Tensor]) -> tuple[nn.Module, torch.optim.Optimizer]:
        self._network.train().to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(parameters, lr=self._schedule.learning_rate)
        network, prepared = self._fabric.setup(self._network, optimizer)
        return network, prepared

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self._dealt.epoch(self._schedule.batch_size)

    def _placed(self, images: Tensor) -> Tensor:
        placed: Tensor = self._fabric.to_device(images)
        return placed.contiguous(memory_format=torch.channels_last)

    def _varied(self, images: Tensor, shift: float, rotation: float) -> Tensor:
        """Images on the device, shifted and turned, each by its own random amounts."""
        placed = self._placed(images)
        return self._placed(jittered(placed, shift, rotation, self._draw))

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self._fabric.backward(loss)
        optimizer.step()


def one_cycle(done: float, peak: float) -> float:
    """Learning rate of a training of which a share is done: half cosines, up and then down.

    Args:
        done: In [0, 1).
        peak: The highest rate, reached at 0.3; it begins at 1/25 of it and ends near 0.

    References:
        Smith and Topin, 2018, "Super-Convergence". https://arxiv.org/abs/1708.07120

    Example:
        >>> [round(one_cycle(done, 1.0), 6) for done in (0.0, 0.3, 0.65)]
        [0.04, 1.0, 0.5]
    """
    if done < RISE:
        return peak * (1 - (1 - 1 / 25) * (1 + math.cos(math.pi * done / RISE)) / 2)
    return peak * (1 + math.cos(math.pi * (done - RISE) / (1 - RISE))) / 2


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def check_no_cluster_is_empty(labels: Int[Tensor, "N"], num_clusters: int) -> None:
    """Refuse clusters without a member.

    Raises:
        TrainingError: If there is one.
    """
    empty = int((torch.bincount(labels, minlength=num_clusters) == 0).sum())
    if empty:
        raise TrainingError(
            f"Every cluster must have an image, and {empty} of {num_clusters} have none of the "
            f"{len(labels)}. Lower num_clusters, add images, or take another seed."
        )


def _check_finite(losses: Tensor) -> None:
    if not losses.isfinite().all():
        raise TrainingError(
            "The loss must be finite, and is not. Lower learning_rate, and check the images."
        )
