"""ADDA for an encoder: adapt feature maps to another camera, with labels of neither.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map, N = places, or rows
of whatever width that a discriminator sees.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError
from models.functional.reservoir import Reservoir
from models.functional.shuffled import Shuffled
from models.training import Trainer, cpu

FEWEST = 8
"""Images that each domain must have."""
DARKEST = 1.5 / 255
"""If no pixel of any image is brighter, the images were divided by 255 twice."""
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
    than 2 gate - 1 in total variation cannot be distinguished that well, so a gate also says where
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


class ADDA:
    """Train a copy of an encoder until its features of the target look like those of the source.

    Encoder M_s is frozen and its copy M_t is trained against a discriminator, which sees feature
    vectors of single places: a detector with Gaussians judges places too, so what it has learned
    of the source keeps its meaning. Vectors are scaled by their spread in the source. The result
    is the average of the last iterates, chosen by nothing.

    Both domains must show the same kind of normal thing. The discriminator matches distributions
    and knows no meaning: whatever is rarer at the target is made to look like what is common at
    the source, and features can match while what they stand for was exchanged. Compare the
    adapted detector with the unadapted one on test images of the target before it serves.

    Args:
        encoder: M_s; it is copied, and never changes.
        config: Hyper-parameters.

    Attributes:
        encoder: M_t; before ``fit`` it computes what M_s does.
        history_: Figures of each step by name, as in ``History``;
            empty before ``fit``.

    References:
        Tzeng, Hoffman, Saenko and Darrell, 2017, "Adversarial Discriminative Domain Adaptation".
        https://arxiv.org/abs/1702.05464. Places in the stead of classes are ours.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the adaptation."""

        adversary: AdversaryConfig = field(
            default_factory=lambda: AdversaryConfig(
                steps=300, batch_size=16, discriminator_rate=1e-3, encoder_rate=1e-5
            )
        )
        """The game. A discriminator that learns far faster than the encoder keeps it stable."""
        places: int = 32
        """Places of each image that the discriminator sees in a step, >= 1."""
        known: int = 20_000
        """Feature vectors of the source that are kept to compare with, >= 1."""
        most_images: int = 400
        """Images of the target that are kept in memory to train on, >= 1."""
        seed: int = 0
        """Of everything that is drawn."""

        def __post_init__(self) -> None:
            for name in ("places", "known", "most_images"):
                if getattr(self, name) < 1:
                    raise InvalidInputError(f"{name} must be >= 1, got {getattr(self, name)}.")

        def build(self, encoder: Encoder) -> "ADDA":
            """Return an adapter of a trained encoder."""
            return ADDA(encoder, self)

    def __init__(self, encoder: Encoder, config: Config) -> None:
        self.config = config
        self._source = deepcopy(encoder).requires_grad_(False).eval()
        self.encoder = deepcopy(self._source)
        self.history_: dict[str, list[float]] = {}

    def fit(
        self,
        source: Iterable[Float[Tensor, "_ C H W"]],
        target: Iterable[Float[Tensor, "_ _ _ _"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "ADDA":
        """Adapt to the target, forgetting any earlier fit.

        Args:
            source: Batches of normal images in [0, 1] that M_s knows; read once.
            target: The same of the other domain, of the same size; read once.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the steps.

        Raises:
            InvalidInputError: If the domains differ in size or range, one of them has too few
                images, or the encoder has no weights.
            TrainingError: If a loss is not finite.
        """
        fabric = fabric or cpu()
        self.history_ = {}
        self.encoder.load_state_dict(self._source.state_dict())
        ours, theirs = Domain("source"), Domain("target")
        known = self._known(ours.watch(source), fabric)
        images = self._images(theirs.watch(target))
        check_alike(ours, theirs)
        assert known is not None
        mean, spread = known.mean(dim=0), known.std(dim=0)
        spread[spread == 0] = 1  # a feature that the source never shows
        draw = Generator().manual_seed(self.config.seed)

        def rows(network: nn.Module, images: Tensor) -> Tensor:
            vectors = _places(network(images), self.config.places, draw)
            return (vectors - mean.to(vectors.device)) / spread.to(vectors.device)

        history = play(
            (known - mean) / spread,
            self.encoder.requires_grad_(True),
            rows,
            images,
            self.config.adversary,
            seed=self.config.seed,
            fabric=fabric,
            progress=progress,
        )
        self.encoder.requires_grad_(False).eval()
        self.history_ = asdict(history)
        return self

    @torch.no_grad()
    def _known(self, source: Iterable[Tensor], fabric: Fabric) -> Float[Tensor, "N D"] | None:
        """A sample of the feature vectors that the source's encoder makes."""
        network = fabric.setup_module(self._source)
        kept = Reservoir(self.config.known, self.config.seed)
        for images in source:
            feature_map = network(fabric.to_device(images)).float()
            kept.update(feature_map.flatten(start_dim=2).transpose(1, 2).flatten(end_dim=1))
        return kept.samples() if kept.num_seen else None

    def _images(self, target: Iterable[Tensor]) -> Shuffled:
        """A sample of the target's images."""
        kept, shape = Reservoir(self.config.most_images, self.config.seed), torch.Size()
        for images in target:
            shape = images.shape[1:]
            kept.update(images.flatten(start_dim=1))
        sample = [kept.samples().reshape(-1, *shape)] if kept.num_seen else []
        return Shuffled(sample, seed=self.config.seed)


def _places(
    feature_map: Float[Tensor, "B D h w"], num: int, draw: Generator
) -> Float[Tensor, "N D"]:
    """Feature vectors of ``num`` places of each image, drawn with replacement."""
    vectors = feature_map.float().flatten(start_dim=2).transpose(1, 2)
    batch, places, dim = vectors.shape
    chosen = torch.randint(places, (batch, num), generator=draw).to(vectors.device)
    return vectors.gather(1, chosen[..., None].expand(-1, -1, dim)).flatten(end_dim=1)


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
    """Train ``target`` against a discriminator until its rows look like those of the source.

    The network of the source is frozen, so its rows are computed once and then drawn from. That of
    the target is in evaluation mode throughout: dropout would distinguish the domains, and
    the statistics of batch normalisation stay those of the source. What comes of it is the average
    of the last iterates (``torch.optim.swa_utils``).

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
    trained = [weight for weight in target.eval().parameters() if weight.requires_grad]
    if not trained:
        raise InvalidInputError(
            "An encoder must have weights to be adapted, got none. Pixels cannot be adapted."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Discriminator(known.shape[1], config.width)
    encoding, judging = (
        Trainer(network, torch.optim.Adam(weights, lr=rate, betas=BETAS), fabric)
        for network, weights, rate in (
            (target, trained, config.encoder_rate),
            (discriminator, discriminator.parameters(), config.discriminator_rate),
        )
    )
    average = AveragedModel(target)
    first = config.steps - round(config.averaged * config.steps)
    history, draw = History(), Generator().manual_seed(seed)
    batches = islice(images.epochs(config.batch_size), config.steps)
    steps = ((0, batch) for _, (_, batch) in batches)
    shown = encoding.steps(steps, config.steps, progress, "Adversary")
    for step, theirs in enumerate(shown):
        made = rows(encoding.network, fabric.to_device(theirs)).float()
        drawn = torch.randint(len(known), (len(made),), generator=draw)
        loss, accuracy = _discriminator_loss(
            judging.network, fabric.to_device(known[drawn]), made.detach()
        )
        history.discriminator_loss.append(judging.step(loss))
        history.discriminator_accuracy.append(accuracy)
        logits = judging.network(made).float()
        loss = functional.cross_entropy(logits, _all(logits, SOURCE))
        passed = accuracy > config.gate
        history.encoder_loss.append(encoding.step(loss) if passed else encoding.check(loss))
        history.encoder_updated.append(float(passed))
        if step >= first:
            average.update_parameters(target)
    if average.n_averaged:
        target.load_state_dict(average.module.state_dict())
    return history


def _discriminator_loss(
    discriminator: nn.Module, known: Float[Tensor, "N D"], made: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, ""], float]:
    """Cross-entropy of the discriminator on both domains, and its accuracy."""
    logits = discriminator(torch.cat([known, made])).float()
    truth = torch.cat([_all(known, SOURCE), _all(made, TARGET)])
    accuracy = float((logits.argmax(dim=1) == truth).double().mean())
    return functional.cross_entropy(logits, truth), accuracy


def _all(rows: Float[Tensor, "N D"], domain: int) -> Int[Tensor, "N"]:
    return torch.full((len(rows),), domain, device=rows.device)


class Domain:
    """Looks at the images of one domain as they pass by.

    Args:
        name: ``source`` or ``target``, for messages.

    Attributes:
        num_images: Images so far.
        shape: Channels, height and width; empty before the first image.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_images = 0
        self.shape: tuple[int, ...] = ()
        self._brightest = 0.0

    def watch(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Hand on the batches unchanged.

        Raises:
            InvalidInputError: If an image is not in [0, 1], or differs in size from the first.
        """
        for images in batches:
            self.shape = self.shape or tuple(images.shape[1:])
            if tuple(images.shape[1:]) != self.shape:
                raise InvalidInputError(
                    f"Images of the {self.name} must have one size (C, H, W), got {self.shape} and "
                    f"{tuple(images.shape[1:])}. Set image_size."
                )
            if len(images):
                self._check_range(images)
            self.num_images += len(images)
            yield images

    def check(self) -> None:
        """Say whether what passed by will do.

        Raises:
            InvalidInputError: If the images are too few, or black.
        """
        if self.num_images < FEWEST:
            raise InvalidInputError(
                f"Adaptation needs at least {FEWEST} images of each domain, got {self.num_images} "
                f"of the {self.name}. Add some."
            )
        if self._brightest < DARKEST:
            raise InvalidInputError(
                "Images of both domains must be scaled alike, to [0, 1], and the brightest pixel "
                f"of the {self.name} is {self._brightest:.2g}. Divide bytes by 255 once, not twice."
            )

    def _check_range(self, images: Float[Tensor, "B C H W"]) -> None:
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise InvalidInputError(
                f"Images of both domains must be in [0, 1], got {low:.4g} to {high:.4g} in the "
                f"{self.name}: an encoder would learn to undo the scale and nothing else. Divide "
                "bytes by 255, in both domains."
            )
        self._brightest = max(self._brightest, high)


def check_alike(source: Domain, target: Domain) -> None:
    """Hold two domains that have passed by to what adaptation needs.

    Raises:
        InvalidInputError: If one of them will not do, or they differ in size.
    """
    for domain in (source, target):
        domain.check()
    if source.shape != target.shape:
        raise InvalidInputError(
            f"Images of both domains must have one size (C, H, W), got {source.shape} in the "
            f"source and {target.shape} in the target. Resize both alike: set image_size."
        )
