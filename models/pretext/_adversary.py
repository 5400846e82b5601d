"""Adversary of the context encoder: tells painted regions from true ones while both learn.

Shapes: B = batch, H W = image, h w = patches, eight pixels apart.
"""

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from models.pretext._hiding import Hidden

BETAS = (0.5, 0.999)
"""Of Adam for both sides, as the paper has them."""
SLOWER = 0.1
"""Learning rate of the critic relative to the painter's, as the paper has it."""


class Critic(nn.Module):
    """Judge patch by patch whether a region is true: a logit, > 0 for true.

    The batch normalisation of the paper is replaced by each image's own statistics, so that one
    image is enough and true and painted ones do not mix.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before in (width, 2 * width):
            layers += [
                nn.Conv2d(before, 2 * before, 4, stride=2, padding=1, bias=False),
                nn.GroupNorm(1, 2 * before),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, regions: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 h w"]:
        """Return one logit for each patch."""
        logits: Tensor = self.layers(regions)
        return logits


class Adversary:
    """A critic and how it is trained; it sees the region asked for, never the context.

    Args:
        width: Channels of the critic's first layer.
        learning_rate: Of the painter.
        fabric: Device and precision.
        seed: Of the critic's first weights.
    """

    def __init__(self, width: int, learning_rate: float, fabric: Fabric, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            critic = Critic(width)
        self._rate = SLOWER * learning_rate
        optimizer = torch.optim.Adam(critic.parameters(), lr=self._rate, betas=BETAS)
        self._fabric = fabric
        self._critic, self._optimizer = fabric.setup(critic, optimizer)

    def learn(self, hidden: Hidden, painted: Float[Tensor, "B 3 H W"], share: float) -> None:
        """Take one step at a share of the learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * share
        loss = self._loss(hidden, hidden.target, 1.0) + self._loss(hidden, painted.detach(), 0.0)
        self._optimizer.zero_grad()
        self._fabric.backward(loss)
        self._optimizer.step()

    def doubt(self, hidden: Hidden, painted: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """How little the critic takes a painting for true: the painter's adversarial loss."""
        return self._loss(hidden, painted, 1.0)

    def _loss(self, hidden: Hidden, pictures: Tensor, truth: float) -> Tensor:
        logits = self._critic(hidden.region(pictures)).float()
        covered = functional.adaptive_avg_pool2d((hidden.weight > 0).float(), logits.shape[-2:])
        verdict = functional.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, truth), weight=covered, reduction="sum"
        )
        return verdict / covered.sum()
