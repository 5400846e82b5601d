"""How ALOCC's two networks are trained against each other, and what is kept of them on the way.

Shapes: N = images, B = batch, C = channels, H W = image, P = side of a patch.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from models.contracts import Progress
from models.errors import TrainingError
from models.functional.shuffled import Shuffled
from models.one_class._adversarial import Discriminator, Refiner
from models.one_class._patches import crops

BETAS = (0.5, 0.999)
"""Of Adam, as is usual for two networks that oppose each other (Radford et al., 2016)."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What decides the training, see ``ALOCC.Config``."""

    patch: int
    noise: float
    reconstruction_weight: float
    stop_error: float
    num_steps: int
    num_snapshots: int
    contrast_steps: int
    turning: bool
    batch_size: int
    refiner_rate: float
    discriminator_rate: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Both networks after some steps.

    Attributes:
        step: Steps taken.
        error: Squared error of held-out patches that were refined, relative to their variance.
    """

    refiner: Refiner
    discriminator: Discriminator
    step: int
    error: float


class Duel:
    """The refiner against the discriminator.

    Args:
        refiner: R; its patches shall look true, and like what they were made from.
        discriminator: D; tells true patches from refined ones.
        schedule: Of the training.
        fabric: Device and precision.
    """

    def __init__(
        self, refiner: Refiner, discriminator: Discriminator, schedule: Schedule, fabric: Fabric
    ) -> None:
        self._raw = refiner.train(), discriminator.train()
        self._schedule, self._fabric = schedule, fabric
        self._draw = Generator().manual_seed(schedule.seed)
        rates = schedule.refiner_rate, schedule.discriminator_rate
        optimizers = [
            Adam(network.parameters(), lr=rate, betas=BETAS)
            for network, rate in zip(self._raw, rates, strict=True)
        ]
        self._declines = [LambdaLR(optimizer, self._rate_share) for optimizer in optimizers]
        (self._refine, self._refiner_step), (self._judge, self._judge_step) = (
            fabric.setup(*pair) for pair in zip(self._raw, optimizers, strict=True)
        )

    def _rate_share(self, step: int) -> float:
        """Of a learning rate: it falls to 0 where only the last R counts, so that R is at rest."""
        return 1 - step / self._schedule.num_steps if self._schedule.contrast_steps else 1.0

    def step(self, images: Float[Tensor, "B C H W"]) -> None:
        """Take one step of each network.

        Raises:
            TrainingError: If a loss is not finite.
        """
        patches = crops(images, self._schedule.patch, self._draw)
        noise = torch.randn(patches.shape, generator=self._draw)
        noisy = self._fabric.to_device(patches + self._schedule.noise * noise)
        true = self._fabric.to_device(patches)
        refined = self._refine(noisy)
        told = doubt(self._judge(true), 1.0) + doubt(self._judge(refined.detach()), 0.0)
        self._judge_step.zero_grad()
        self._fabric.backward(told)
        self._judge_step.step()
        error = (refined.float() - true).square().flatten(start_dim=1).sum(dim=1).mean()
        loss = doubt(self._judge(refined), 1.0) + self._schedule.reconstruction_weight * error
        self._refiner_step.zero_grad()
        self._fabric.backward(loss)
        self._refiner_step.step()
        for decline in self._declines:
            decline.step()
        check_finite(told, loss)

    @torch.no_grad()
    def snapshot(self, step: int, held_out: Float[Tensor, "N C P P"]) -> Snapshot:
        """Copies of both networks, in evaluation mode, and how well R does on held-out patches."""
        refiner, discriminator = copy.deepcopy(self._raw)
        variance = held_out.var(dim=0, correction=0).mean().clamp(min=1e-8)
        refiner.eval()
        discriminator.eval()
        error = (refiner(held_out) - held_out).square().mean() / variance
        return Snapshot(refiner=refiner, discriminator=discriminator, step=step, error=float(error))


def doubt(logits: Float[Tensor, "B"], truth: float) -> Float[Tensor, ""]:
    """Mean cross-entropy of D's logits with what holds: 1 for true and normal, 0 for not."""
    return functional.binary_cross_entropy_with_logits(
        logits.float(), torch.full_like(logits, truth, dtype=torch.float32)
    )


def check_finite(*losses: Tensor) -> None:
    """Raise if the training has diverged.

    Raises:
        TrainingError: If a loss is not finite.
    """
    if not all(loss.isfinite() for loss in losses):
        raise TrainingError(
            f"The losses must be finite, got {' and '.join(str(it.item()) for it in losses)}. "
            "Lower the learning rates, and check the images for NaN."
        )


def train(
    images: Float[Tensor, "N C H W"],
    held_out: Float[Tensor, "_ C P P"],
    networks: tuple[Refiner, Discriminator],
    schedule: Schedule,
    fabric: Fabric,
    progress: Progress,
) -> list[Snapshot]:
    """Train until held-out patches are refined well, or the steps are spent.

    Args:
        images: Normal images, no smaller than a patch.
        held_out: Patches of other normal images, which say when to stop; on the fabric's device.
        networks: R and D, with their first weights.
        schedule: Of the training.
        fabric: Device and precision.
        progress: Shows the steps.

    Returns:
        ``num_snapshots`` snapshots, spread evenly over the training; some twice if it stopped
        before so many were taken.
    """
    duel = Duel(*networks, schedule, fabric)
    taken: list[Snapshot] = []
    steps = progress(
        dealt(images, schedule, schedule.num_steps),
        total=schedule.num_steps,
        description="Adversarial training",
    )
    for step, batch in enumerate(steps, start=1):
        duel.step(batch)
        if step * schedule.num_snapshots // schedule.num_steps > len(taken):
            taken.append(duel.snapshot(step, held_out))
            if taken[-1].error < schedule.stop_error:
                break
    spread = torch.linspace(0, len(taken) - 1, schedule.num_snapshots).round().long()
    return [taken[place] for place in spread.tolist()]


def dealt(
    images: Float[Tensor, "N C H W"], schedule: Schedule, num_steps: int
) -> Iterator[Float[Tensor, "B C H W"]]:
    """One full batch for each step, from epochs in ever new orders."""
    source = Shuffled([images], seed=schedule.seed)
    size, step = min(schedule.batch_size, len(source)), 0
    while True:
        for _, batch in source.epoch(size):
            if len(batch) < size:
                continue
            yield batch
            step += 1
            if step == num_steps:
                return
