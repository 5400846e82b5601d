"""ALOCC: a network refines normal patches, another one tells whether what comes out is normal.

Shapes: B = batch, C = channels, H W = image, N = images, P = side of a patch, r c = rows and
columns of patches, M = snapshots.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from models.contracts import Encoder, Progress, Scores, shown
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.one_class._adversarial import Discriminator, Refiner
from models.one_class._adversarial_training import Schedule, Snapshot, train
from models.one_class._contrast_training import contrast
from models.one_class._detector import OneClassDetector, check_rate
from models.one_class._patches import crops, cut, voted

SMALLEST = 8
"""Side of the smallest patch."""
AT_ONCE = 1024
"""Patches that go through the networks at once."""


class ALOCC(OneClassDetector):
    """Score by how little D takes for true what R makes of a patch.

    R is a denoising encoder-decoder, D a classifier; they are trained against each other on normal
    patches, D to tell true ones from those that R refined, R to mislead it and to keep what it was
    given. R then repairs normal patches and distorts others, so that D(R(X)) sets them further
    apart than D(X) does.

    D grows unsure as R improves, and the scores of two checkpoints differ by tens of points of AUC
    (so they do in the authors' code). So a second phase follows, as in OGNet (Zaheer et al.): R
    stays as it is, and D learns to tell what R makes of normal patches from what it makes of
    pseudo-anomalies. Those are normal patches too, turned, warped or laid over each other; no
    label is asked for. The logits of M snapshots of D, spread evenly over that phase, are averaged.

    ``contrast_steps=0`` leaves that phase out: this is ALOCC as published. The snapshots are then
    those of both networks, spread over the adversarial training and each centred on normal
    patches; ``num_snapshots=1`` is the paper's single pair. Averaged weights are no substitute: on
    USPS they did no better than a single checkpoint.

    An image of the size of a patch gets a score and no map. A larger one is covered by patches;
    each pixel gets the mean score of those that cover it, the image the largest of its pixels.
    Scores are log odds, of either sign; 0 is the mean of normal patches.

    Args:
        encoder: ``Pixels``: the networks learn from the images themselves.
        config: Hyper-parameters.

    Attributes:
        refiners, discriminators: The snapshots of R and D; one R only if the second phase is on.
        centres_: Mean of each snapshot's logits of normal patches: first D(X), then D(R(X)).
            Shape (2, M).
        steps_: Steps of training before each snapshot. Shape (M,).
        errors_: Squared error of held-out refined patches at each snapshot, relative to their
            variance. Shape (M,).

    References:
        Sabokrou, Khalooei, Fathy and Adeli, 2018, "Adversarially Learned One-Class Classifier for
        Novelty Detection". https://arxiv.org/abs/1802.09088
        Zaheer, Lee, Astrid and Lee, 2020, "Old is Gold: Redefining the Adversarially Learned
        One-Class Classifier Training Paradigm". https://arxiv.org/abs/2004.07657
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of ALOCC; width and depth are made for a CPU."""

        patch: int = 28
        """Side P of a patch, in pixels, >= 8."""
        stride: int = 14
        """Pixels from one patch of a larger image to the next, from 1 to ``patch``."""
        refined: bool = True
        """Score D(R(X)), the paper's second classifier; else D(X), its first."""
        width: int = 16
        """Channels of the first layer of both networks, >= 1; 64 in the paper."""
        depth: int = 3
        """Layers of stride 2 in D and in both halves of R, >= 1; 4 in the paper."""
        noise: float = 0.155
        """Standard deviation of the noise on what R sees, >= 0."""
        reconstruction_weight: float = 0.4
        """Weight lambda of R's squared error, the squared norm over a patch, >= 0; the paper's."""
        stop_error: float = 0.1
        """Training stops once the squared error of held-out patches that R refined falls below
        this share of their variance, the paper's rho, >= 0. Looked at with each snapshot."""
        held_out_share: float = 0.1
        """Share of the training images that only this rule sees, in (0, 1)."""
        num_steps: int = 150
        """Steps of both networks at most, >= ``num_snapshots``."""
        num_snapshots: int = 3
        """Snapshots M whose scores are averaged, >= 1."""
        contrast_steps: int = 60
        """Steps of D after that, >= ``num_snapshots``; 0 leaves ALOCC as published. If it is on,
        the learning rates of the first phase fall to 0."""
        turning: bool = True
        """Whether pseudo-anomalies may be turned or mirrored: not where that leaves a patch as
        normal as any other."""
        batch_size: int = 64
        """Images for one step, >= 2."""
        refiner_rate: float = 1e-3
        """Learning rate of R, > 0."""
        discriminator_rate: float = 2e-4
        """Learning rate of D, > 0."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of first weights, order, crops and noise."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if self.patch < SMALLEST or not 1 <= self.stride <= self.patch:
                raise InvalidInputError(
                    f"patch must be >= {SMALLEST} and stride from 1 to patch, got {self.patch} and "
                    f"{self.stride}."
                )
            if not 1 <= self.num_snapshots <= self.num_steps or self.batch_size < 2:
                raise InvalidInputError(
                    "num_snapshots must be from 1 to num_steps, batch_size >= 2, got "
                    f"{self.num_snapshots}, {self.num_steps} and {self.batch_size}."
                )
            if self.contrast_steps != 0 and self.contrast_steps < self.num_snapshots:
                raise InvalidInputError(
                    "contrast_steps must be 0 or >= num_snapshots, got "
                    f"{self.contrast_steps} and {self.num_snapshots}."
                )
            if min(self.width, self.depth) < 1 or not 0 < self.held_out_share < 1:
                raise InvalidInputError(
                    "width and depth must be >= 1, held_out_share in (0, 1), got "
                    f"{self.width}, {self.depth} and {self.held_out_share}."
                )
            if min(self.noise, self.reconstruction_weight, self.stop_error) < 0:
                raise InvalidInputError(
                    "noise, reconstruction_weight and stop_error must be >= 0, got "
                    f"{self.noise}, {self.reconstruction_weight} and {self.stop_error}."
                )
            if min(self.refiner_rate, self.discriminator_rate) <= 0:
                raise InvalidInputError(
                    "Learning rates must be > 0, got "
                    f"{self.refiner_rate} and {self.discriminator_rate}."
                )

        def build(self, encoder: Encoder) -> "ALOCC":
            """Return an unfitted detector.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return ALOCC(encoder, self)

    refiners: nn.ModuleList
    discriminators: nn.ModuleList
    centres_: Tensor
    steps_: Tensor
    errors_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        if not isinstance(encoder, Pixels):
            raise InvalidInputError(
                "ALOCC learns from images themselves: its encoder must be Pixels, got "
                f"{type(encoder).__name__}. Set encoder=Pixels.Config() in the recipe."
            )
        super().__init__(encoder, config.false_alarm_rate)
        self.config = config
        number = config.num_snapshots
        pairs = [self._networks() for _ in range(number)]
        num_refiners = 1 if config.contrast_steps else number
        self.refiners = nn.ModuleList(refiner for refiner, _ in pairs[:num_refiners])
        self.discriminators = nn.ModuleList(discriminator for _, discriminator in pairs)
        self.requires_grad_(False).eval()
        self.learn_buffers(centres_=(2, number), steps_=(number,), errors_=(number,))

    def _networks(self) -> tuple[Refiner, Discriminator]:
        config = self.config
        size = self.encoder.embedding_dim, config.width, config.patch, config.depth
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Refiner(*size), Discriminator(*size)

    def _learn(self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress) -> None:
        config, draw = self.config, Generator().manual_seed(self.config.seed)
        encoded = (
            self.encoder(images.clamp(0, 1)) for images in shown(batches, progress, "Images")
        )
        images = Shuffled(encoded, seed=config.seed).images
        if len(images) < 2:
            raise TrainingError("ALOCC needs 2 images at least, got 1. Add some to train/good.")
        order = torch.randperm(len(images), generator=draw)
        number = min(max(round(config.held_out_share * len(images)), 1), len(images) - 1)
        held_out, normal = (
            fabric.to_device(crops(images[part], config.patch, draw))
            for part in (order[:number], order[:AT_ONCE])
        )
        self._keep(self._train(images[order[number:]], held_out, fabric, progress))
        with torch.no_grad():
            logits = torch.stack([self._logits(normal, refined=it) for it in (False, True)])
        self.centres_.copy_(logits.double().mean(dim=2))

    def _train(
        self, images: Tensor, held_out: Tensor, fabric: Fabric, progress: Progress
    ) -> list[Snapshot]:
        schedule = self._schedule()
        snapshots = train(images, held_out, self._networks(), schedule, fabric, progress)
        if not schedule.contrast_steps:
            return snapshots
        return contrast(images, snapshots[-1], schedule, fabric, progress)

    def _keep(self, snapshots: list[Snapshot]) -> None:
        for place, kept in enumerate(snapshots):
            self.refiners[place % len(self.refiners)].load_state_dict(kept.refiner.state_dict())
            self.discriminators[place].load_state_dict(kept.discriminator.state_dict())
            self.steps_[place], self.errors_[place] = kept.step, kept.error

    def _schedule(self) -> Schedule:
        names = Schedule.__dataclass_fields__
        return Schedule(**{name: getattr(self.config, name) for name in names})

    def _logits(self, patches: Float[Tensor, "N C P P"], *, refined: bool) -> Float[Tensor, "M N"]:
        """Each snapshot's logits: > 0 for what D takes for true and normal."""
        seen = [refine(patches) for refine in self.refiners] if refined else [patches]
        pairs = zip(cycle(seen), self.discriminators, strict=False)
        return torch.stack([judge(these) for these, judge in pairs])

    def _patch_scores(self, patches: Float[Tensor, "N C P P"]) -> Float[Tensor, "N"]:
        refined = self.config.refined
        parts = [
            self._logits(part, refined=refined).mean(dim=0)
            for part in torch.split(patches, AT_ONCE)
        ]
        return self.centres_[int(refined)].mean().float() - torch.cat(parts)

    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        config, (height, width) = self.config, images.shape[-2:]
        patches = cut(self.encoder(images.clamp(0, 1)), config.patch, config.stride)
        scores = self._patch_scores(patches.flatten(end_dim=2)).reshape(patches.shape[:3])
        if height == width == config.patch:
            return Scores(scores[:, 0, 0])
        anomaly_map = voted(scores, height, width, config.patch, config.stride)
        return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)
