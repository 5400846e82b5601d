"""ADDA for a classifier: labels of the source, none of the target.

Shapes: B = batch, C = channels, H W = image, K = classes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.adaptation.adda import AdversaryConfig, Domain, check_alike, play
from models.contracts import EncoderConfig, Progress, silent
from models.encoders.lenet import LeNet
from models.errors import InvalidInputError, NotFittedError
from models.functional.augmentations import jittered
from models.functional.shuffled import Shuffled
from models.training import Trainer, cpu

LEVELS = ("logits", "features")
VIEWS = 5
"""Variations of each image of the source that the discriminator is shown, if they vary."""


class ADDAClassifier(nn.Module):
    """A classifier of the source, and its copy that an adversary has adapted to the target.

    The source's encoder M_s and classifier C are trained by cross-entropy. Then the target's
    network M_t starts as a copy of M_s, and learns to make outputs that a discriminator takes for
    those of M_s. What comes of it is the average of the last iterates: no iterate is ever chosen
    by labels of the target, of which ``fit`` sees none.

    Matched distributions do not say which class is which: classes can come out exchanged, with
    losses that look perfect, and nothing unlabelled tells. Before it is used, the result needs a
    few labelled images of the target.

    Args:
        config: Hyper-parameters.

    Attributes:
        history_: Figures of each step by name, as in ``models.adaptation.adda.History``;
            empty before ``fit``.
        accuracy_: Of the source's network on the images it was trained on, in [0, 1].

    References:
        Tzeng, Hoffman, Saenko and Darrell, 2017, "Adversarial Discriminative Domain Adaptation".
        https://arxiv.org/abs/1702.05464
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the classifier and its adaptation."""

        encoder: EncoderConfig = field(default_factory=LeNet.Config)
        """The encoder, before it is trained."""
        num_classes: int = 10
        """Classes K, >= 2."""
        source_steps: int = 1000
        """Steps of training on the source, >= 1. The paper has 10,000."""
        source_rate: float = 1e-3
        """Adam's learning rate on the source, > 0."""
        weight_decay: float = 2.5e-5
        """L2 penalty on the source, >= 0, as in the authors' code."""
        level: str = "logits"
        """What the discriminator sees. ``logits``, as in the authors' code: the target has a
        classifier of its own, which is adapted too. ``features``, as the paper draws it: the
        classifier stays that of the source."""
        shift: float = 0.0
        """Largest shift of the images of both domains in training, in sides, each way, in [0, 0.5).
        An extension, for classes that it does not change."""
        rotation: float = 0.0
        """Largest rotation of them, in degrees, each way, in [0, 180]; another extension."""
        adversary: AdversaryConfig = field(default_factory=AdversaryConfig)
        """The game."""
        seed: int = 0
        """Of all first weights and of the order of images."""

        def __post_init__(self) -> None:
            if self.num_classes < 2 or self.source_steps < 1:
                raise InvalidInputError(
                    "num_classes must be >= 2 and source_steps >= 1, got "
                    f"{self.num_classes} and {self.source_steps}."
                )
            if not self.source_rate > 0 or not self.weight_decay >= 0:
                raise InvalidInputError(
                    "source_rate must be > 0 and weight_decay >= 0, got "
                    f"{self.source_rate} and {self.weight_decay}."
                )
            if not (0 <= self.shift < 0.5 and 0 <= self.rotation <= 180):
                raise InvalidInputError(
                    "shift must be in [0, 0.5) and rotation in [0, 180], got "
                    f"{self.shift} and {self.rotation}."
                )
            if self.level not in LEVELS:
                raise InvalidInputError(
                    f"level must be one of {', '.join(LEVELS)}, got {self.level!r}."
                )

        def build(self) -> "ADDAClassifier":
            """Return a classifier that was not trained yet."""
            return ADDAClassifier(self)

    accuracy_: Tensor
    source: nn.Sequential
    target: nn.Sequential

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.source, self.target = _network(config), _network(config)
        self.history_: dict[str, list[float]] = {}
        self.register_buffer("accuracy_", torch.tensor(torch.nan, dtype=torch.float64))
        self.eval()

    def fit(
        self,
        source: Iterable[tuple[Float[Tensor, "_ C H W"], Int[Tensor, "_"]]],
        target: Iterable[Float[Tensor, "_ _ _ _"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "ADDAClassifier":
        """Learn the source's classes, then adapt to the target, forgetting any earlier fit.

        Args:
            source: Batches of images in [0, 1] with their classes 0 to K - 1; read once.
            target: Batches of images of the other domain, of the same size; read once.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the steps.

        Raises:
            InvalidInputError: If the domains differ in size or range, one has too few images, or a
                label is no class.
            TrainingError: If a loss is not finite.
        """
        fabric = fabric or cpu()
        self.accuracy_.fill_(torch.nan)  # a fit that fails leaves no half-fitted classifier
        labels: list[Tensor] = []
        ours, theirs = Domain("source"), Domain("target")
        known = Shuffled(ours.watch(_unlabelled(source, labels)), seed=self.config.seed)
        new = Shuffled(theirs.watch(target), seed=self.config.seed + 1)
        check_alike(ours, theirs)
        classes = torch.cat(labels).long()
        self._check_classes(classes)
        self.to(fabric.device)
        self._draw = Generator().manual_seed(self.config.seed)
        self.source.load_state_dict(_network(self.config).state_dict())
        self._learn_source(known, classes, fabric, progress)
        answers = self._rows(known, fabric, level=2).argmax(dim=1)
        self.target.load_state_dict(self.source.state_dict())
        self._adapt(known, new, fabric, progress)
        self.accuracy_.fill_((answers == classes).double().mean())
        self.eval()
        return self

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """Probability of each class for images of the target; rows sum to 1.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        logits: Tensor = self.target(images.to(self.accuracy_.device))
        return logits.float().softmax(dim=1)

    @torch.no_grad()
    def source_only(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """The same by the network of the source, which knows nothing of the target.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        logits: Tensor = self.source(images.to(self.accuracy_.device))
        return logits.float().softmax(dim=1)

    def _check_fitted(self) -> None:
        if self.accuracy_.isnan():
            raise NotFittedError("ADDAClassifier is not fitted. Call fit(source, target) first.")

    def _check_classes(self, classes: Int[Tensor, "N"]) -> None:
        num = self.config.num_classes
        if classes.min() < 0 or classes.max() >= num:
            raise InvalidInputError(
                f"Labels must be from 0 to {num - 1}, got {int(classes.min())} to "
                f"{int(classes.max())}. Set num_classes."
            )

    def _learn_source(
        self, known: Shuffled, classes: Int[Tensor, "N"], fabric: Fabric, progress: Progress
    ) -> None:
        config, size = self.config, self.config.adversary.batch_size
        optimizer = torch.optim.Adam(
            self.source.requires_grad_(True).train().parameters(),
            lr=config.source_rate,
            weight_decay=config.weight_decay,
        )
        trainer = Trainer(self.source, optimizer, fabric)
        steps = islice(known.epochs(size), config.source_steps)
        for ids, images in trainer.steps(steps, config.source_steps, progress, "Source"):
            logits = trainer.network(self._varied(fabric.to_device(images))).float()
            trainer.step(functional.cross_entropy(logits, fabric.to_device(classes[ids])))
        self.source.requires_grad_(False).eval()

    def _adapt(self, known: Shuffled, new: Shuffled, fabric: Fabric, progress: Progress) -> None:
        self.target.requires_grad_(True)
        level = 2 if self.config.level == "logits" else 1
        history = play(
            self._rows(known, fabric, level=level, views=VIEWS if self._varies else 0),
            self.target[:level],
            lambda network, images: network(self._varied(images)),
            new,
            self.config.adversary,
            seed=self.config.seed,
            fabric=fabric,
            progress=progress,
        )
        self.target.requires_grad_(False).eval()
        self.history_ = asdict(history)

    @property
    def _varies(self) -> bool:
        return self.config.shift > 0 or self.config.rotation > 0

    def _varied(self, images: Tensor) -> Tensor:
        return jittered(images, self.config.shift, self.config.rotation, self._draw)

    @torch.no_grad()
    def _rows(
        self, known: Shuffled, fabric: Fabric, *, level: int, views: int = 0
    ) -> Float[Tensor, "N D"]:
        """What the source's network makes of its images: features (1) or logits (2).

        Of the images as they are, or of so many variations of each.
        """
        network, size = fabric.setup_module(self.source[:level]), self.config.adversary.batch_size
        plain = [fabric.to_device(images) for _, images in known.in_order(size)]
        seen = (self._varied(images) for _ in range(views) for images in plain) if views else plain
        return torch.cat([network(images).float().cpu() for images in seen])


def _network(config: ADDAClassifier.Config) -> nn.Sequential:
    """Features and classifier, with first weights of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = config.encoder.build()
        features = nn.Sequential(encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network = nn.Sequential(features, nn.Linear(encoder.embedding_dim, config.num_classes))
    return network.requires_grad_(False)


def _unlabelled(source: Iterable[tuple[Tensor, Tensor]], labels: list[Tensor]) -> Iterator[Tensor]:
    """The images; their labels go into the list."""
    for images, classes in source:
        labels.append(classes.cpu())
        yield images
