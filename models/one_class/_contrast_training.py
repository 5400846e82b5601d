"""How ALOCC's D is trained once R is at rest: to tell good refined patches from bad ones.

Shapes: N = images, B = batch, C = channels, H W = image, P = side of a patch.
"""

import copy
import dataclasses

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor
from torch.optim import Adam

from models.contracts import Progress
from models.one_class._adversarial import Discriminator, Refiner
from models.one_class._adversarial_training import (
    BETAS,
    Schedule,
    Snapshot,
    check_finite,
    dealt,
    doubt,
)
from models.one_class._patches import crops
from models.one_class._pseudo_anomalies import pseudo_anomalies

TRUE_WEIGHT = 0.1
"""Of true patches beside 1 of refined ones; Zaheer et al. give 0.1 and 0.9."""


class Contrast:
    """D learns which refined patches were normal ones.

    Between rivals D only learns what R's strokes look like, and forgets it as R improves. Here R
    is frozen. Good is what it makes of normal patches, and these themselves; bad is what it makes
    of pseudo-anomalies.

    Args:
        refiner: R, in evaluation mode.
        discriminator: D.
        schedule: Of the training.
        fabric: Device and precision.

    References:
        Zaheer, Lee, Astrid and Lee, 2020, "Old is Gold: Redefining the Adversarially Learned
        One-Class Classifier Training Paradigm", section 3.2. Their bad patches are those of an
        early R, and refined means of two patches; both served worse here.
    """

    def __init__(
        self, refiner: Refiner, discriminator: Discriminator, schedule: Schedule, fabric: Fabric
    ) -> None:
        self._refine, self._raw = refiner, discriminator.train()
        self._schedule, self._fabric = schedule, fabric
        self._draw = Generator().manual_seed(schedule.seed)
        rate = schedule.discriminator_rate
        optimizer = Adam(self._raw.parameters(), lr=rate, betas=BETAS)
        self._judge, self._optimizer = fabric.setup(self._raw, optimizer)

    def step(self, images: Float[Tensor, "B C H W"]) -> None:
        """Take one step of D.

        Raises:
            TrainingError: If the loss is not finite.
        """
        patches = crops(images, self._schedule.patch, self._draw)
        spoilt = pseudo_anomalies(patches, self._draw, turning=self._schedule.turning)
        true = self._fabric.to_device(patches)
        with torch.no_grad(), self._fabric.autocast():
            good, bad = self._refine(true), self._refine(self._fabric.to_device(spoilt))
        loss = (
            doubt(self._judge(good), 1.0)
            + TRUE_WEIGHT * doubt(self._judge(true), 1.0)
            + doubt(self._judge(bad), 0.0)
        )
        self._optimizer.zero_grad()
        self._fabric.backward(loss)
        self._optimizer.step()
        check_finite(loss)

    def snapshot(self) -> Discriminator:
        """A copy of D in evaluation mode."""
        return copy.deepcopy(self._raw).eval()


def contrast(
    images: Float[Tensor, "N C H W"],
    rivals: Snapshot,
    schedule: Schedule,
    fabric: Fabric,
    progress: Progress,
) -> list[Snapshot]:
    """Train D on what a frozen R makes of normal patches and of pseudo-anomalies.

    Args:
        images: Normal images, no smaller than a patch.
        rivals: R and D after their adversarial training; they stay as they are.
        schedule: Of the training.
        fabric: Device and precision.
        progress: Shows the steps.

    Returns:
        ``num_snapshots`` snapshots of D with the same R, spread evenly over the steps.
    """
    training = Contrast(rivals.refiner, copy.deepcopy(rivals.discriminator), schedule, fabric)
    taken: list[Snapshot] = []
    total = schedule.contrast_steps
    steps = progress(dealt(images, schedule, total), total=total, description="Contrast training")
    for step, batch in enumerate(steps, start=1):
        training.step(batch)
        if step * schedule.num_snapshots // total > len(taken):
            taken.append(
                dataclasses.replace(
                    rivals, discriminator=training.snapshot(), step=rivals.step + step
                )
            )
    return taken
