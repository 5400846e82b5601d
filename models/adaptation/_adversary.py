"""The adversarial game of ADDA: one network tells two domains apart, another learns to fool it.

Shapes: B = batch, C = channels, H W = image, N = rows (feature vectors or logits), D = their width.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Progress
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled

BETAS = (0.5, 0.999)
"""Of Adam for both sides, as in the authors' code."""
SOURCE, TARGET = 1, 0
"""What the discriminator calls the domains, as in the authors' code."""

Rows: TypeAlias = Callable[[nn.Module, Tensor], Tensor]
"""From a network and images to what the discriminator sees of them, (N, D)."""


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """Hyper-parameters of the game."""

    steps: int = 3000
    """Steps of both sides, >= 1. The paper has 10,000."""
    batch_size: int = 128
    """Images of each domain in a step, >= 1."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator, > 0."""
    encoder_rate: float = 1e-4
    """Learning rate of the target's encoder, > 0."""
    gate: float = 0.0
    """Accuracy of the discriminator on a batch, in [0, 1), above which alone the encoder learns
    from it. CyCADA has 0.6; 0 lets every step through. Domains whose distributions differ by less
    than 2 gate - 1 in total variation cannot be told apart that well, so a gate also says where
    the adaptation stops."""
    averaged: float = 0.2
    """Share of the steps, the last ones, over which the encoder's weights are averaged, in [0, 1].
    0 takes the last iterate."""
    width: int = 500
    """Units of each of the discriminator's two hidden layers, >= 1."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} must be >= 1, got {getattr(self, name)}.")
        for name in ("discriminator_rate", "encoder_rate"):
            if not getattr(self, name) > 0:
                raise InvalidInputError(f"{name} must be > 0, got {getattr(self, name)}.")
        if not 0 <= self.gate < 1 or not 0 <= self.averaged <= 1:
            raise InvalidInputError(
                "gate must be in [0, 1) and averaged in [0, 1], got "
                f"{self.gate} and {self.averaged}."
            )


@dataclass(frozen=True)
class History:
    """What happened at each step; nothing in it needs a label of the target."""

    discriminator_accuracy: list[float] = field(default_factory=list)
    """On both domains, before the step, in [0, 1]; 0.5 is chance."""
    discriminator_loss: list[float] = field(default_factory=list)
    """Cross-entropy, nats."""
    encoder_loss: list[float] = field(default_factory=list)
    """Cross-entropy of the target's rows against the source's label, nats."""
    encoder_updated: list[float] = field(default_factory=list)
    """1 where the gate let the encoder learn, else 0."""


class Discriminator(nn.Module):
    """Tells from which domain a row comes: fc, ReLU, fc, ReLU, fc 2.

    Args:
        dim: Width D of the rows.
        width: Units of each hidden layer.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, 2),
        )

    def forward(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N 2"]:
        """Return logits of target and source."""
        logits: Tensor = self.layers(rows)
        return logits


class Average:
    """Mean of a network's parameters over the steps at which it is updated.

    Args:
        network: Whose parameters are averaged.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network, self._count = network, 0
        self._means = [weight.detach().clone() for weight in network.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present parameters."""
        self._count += 1
        for mean, weight in zip(self._means, self._network.parameters(), strict=True):
            mean.lerp_(weight, 1 / self._count)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the network the mean, if there is one."""
        if self._count:
            for mean, weight in zip(self._means, self._network.parameters(), strict=True):
                weight.copy_(mean)


def play(
    known: Float[Tensor, "N D"],
    target: nn.Module,
    rows: Rows,
    images: Shuffled,
    config: AdversaryConfig,
    *,
    seed: int,
    fabric: Fabric,
    progress: Progress,
) -> History:
    """Train ``target`` until a discriminator takes its rows for those of the source.

    The network of the source is frozen, so its rows are computed once and then drawn from. That of
    the target is in evaluation mode throughout: dropout would be a difference to be told by, and
    the statistics of batch normalisation stay those of the source.

    Args:
        known: Rows that M_s makes of images of the source.
        target: M_t; what of it requires gradients is trained.
        rows: What the discriminator sees of a network and images of the target.
        images: Of the target.
        config: Hyper-parameters.
        seed: Of the discriminator's first weights and of the order of the known rows.
        fabric: Device and precision.
        progress: Shows the steps.

    Raises:
        InvalidInputError: If the network has no weights to train.
        TrainingError: If a loss is not finite.

    References:
        Tzeng et al., 2017, section 4, eq. 9. The gate is that of Hoffman et al., 2018, "CyCADA".
    """
    game = _Game(target, rows, known.shape[1], config, fabric, seed)
    average, first = Average(target), config.steps - round(config.averaged * config.steps)
    dealt = (batch for _ in count() for _, batch in images.epoch(config.batch_size))
    shown = progress(range(config.steps), total=config.steps, description="Adversary")
    draw = torch.Generator().manual_seed(seed)
    for step, theirs in zip(shown, dealt, strict=False):
        made = game.make(fabric.to_device(theirs))
        drawn = torch.randint(len(known), (len(made),), generator=draw)
        game.step(fabric.to_device(known[drawn]), made)
        if step >= first:
            average.update()
    average.apply()
    return game.history


class _Game:
    """Both sides, their optimizers, and a step of each."""

    def __init__(
        self,
        target: nn.Module,
        rows: Rows,
        dim: int,
        config: AdversaryConfig,
        fabric: Fabric,
        seed: int,
    ) -> None:
        self._fabric, self._rows, self._gate = fabric, rows, config.gate
        trained = [weight for weight in target.eval().parameters() if weight.requires_grad]
        if not trained:
            raise InvalidInputError(
                "An encoder must have weights to be adapted, got none. Pixels cannot be adapted."
            )
        encoder = torch.optim.Adam(trained, lr=config.encoder_rate, betas=BETAS)
        self._target, self._encoder_optimizer = fabric.setup(target, encoder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            discriminator = Discriminator(dim, config.width)
        optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=config.discriminator_rate, betas=BETAS
        )
        self._discriminator, self._optimizer = fabric.setup(discriminator, optimizer)
        self.history = History()

    def make(self, images: Float[Tensor, "_ C H W"]) -> Float[Tensor, "N D"]:
        """Rows of images of the target."""
        return self._rows(self._target, images).float()

    def step(self, known: Float[Tensor, "N D"], made: Float[Tensor, "N D"]) -> None:
        """One step of the discriminator, and one of the encoder if the domains were told apart."""
        told = self._learn(known, made.detach())
        verdict = self._discriminator(made).float()
        loss = functional.cross_entropy(verdict, _all(verdict, SOURCE))
        taught = told > self._gate
        if taught:
            self._encoder_optimizer.zero_grad()
            self._fabric.backward(loss)
            self._encoder_optimizer.step()
        self.history.encoder_loss.append(_finite(loss))
        self.history.encoder_updated.append(float(taught))

    def _learn(self, known: Tensor, made: Tensor) -> float:
        """Train the discriminator; the accuracy it had before."""
        logits = self._discriminator(torch.cat([known, made])).float()
        truth = torch.cat([_all(known, SOURCE), _all(made, TARGET)])
        loss = functional.cross_entropy(logits, truth)
        accuracy = float((logits.argmax(dim=1) == truth).double().mean())
        self._optimizer.zero_grad()
        self._fabric.backward(loss)
        self._optimizer.step()
        self.history.discriminator_loss.append(_finite(loss))
        self.history.discriminator_accuracy.append(accuracy)
        return accuracy


def _all(rows: Float[Tensor, "N D"], domain: int) -> Int[Tensor, "N"]:
    return torch.full((len(rows),), domain, device=rows.device)


def _finite(loss: Float[Tensor, ""]) -> float:
    value = loss.item()
    if not loss.isfinite():
        raise TrainingError(
            f"The losses of both sides must be finite, got {value}. Lower encoder_rate and "
            "discriminator_rate, and check the images for NaN."
        )
    return value
