"""ADDA for an encoder: adapt feature maps to another camera, with labels of neither.

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map, N = places.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from models.adaptation._adversary import AdversaryConfig, play
from models.adaptation._domains import Domain, check_alike
from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError
from models.functional.reservoir import Reservoir
from models.functional.shuffled import Shuffled


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
        history_: Figures of each step by name, as in ``models.adaptation._adversary.History``;
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
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
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
