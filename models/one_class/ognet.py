"""OGNet: ALOCC with a second phase, in which D learns to tell good refined patches from bad ones.

Shapes: B = batch, C = channels, H W = image, N = patches, P = side of a patch, M = snapshots.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError
from models.fitting import (
    begin,
    check_fitted,
    frozen,
    image_threshold,
    learned,
    require_pixels,
    statistics_of,
    value_of,
)
from models.functional.patches import crops
from models.functional.shuffled import Shuffled
from models.one_class.alocc import (
    BETAS,
    AdversarialConfig,
    Discriminator,
    Patches,
    Refiner,
    false_loss,
    networks,
    scores_by_patches,
    train,
    true_loss,
)
from models.training import Trainer

TRUE_WEIGHT = 0.1
"""Of true patches beside 1 of refined ones; Zaheer et al. give 0.1 and 0.9."""
NODES = 4
"""Nodes on a side of the grid that is displaced; bicubic in between."""
LEAST, MOST = 0.1, 0.4
"""Standard deviation of a node's displacement, drawn for each patch, in halves of its side."""


class OGNet(nn.Module):
    """Score by how little D takes for good what a frozen R makes of a patch.

    The first phase is that of ``ALOCC``, with learning rates that fall to 0, so that R is at rest.
    There D only learns what R's strokes look like, and forgets it as R improves. In the second
    phase R is frozen, and D learns to tell good from bad: good is what R makes of normal patches,
    and these themselves; bad is what it makes of pseudo-anomalies. In the paper those are made by
    an early R, and of means of two patches; both served worse here, so that they are normal patches
    that are turned, warped or laid over each other. No label is asked for. The logits of M
    snapshots of D, spread evenly over that phase, are averaged.

    An image of the size of a patch gets a score and no map. A larger one is covered by patches;
    each pixel gets the mean score of those that cover it, the image the largest of its pixels.
    Scores are log odds, of either sign; 0 is the mean of normal patches.

    Args:
        encoder: ``Pixels``: the networks learn from the images themselves.
        config: Hyper-parameters.

    Attributes:
        refiner, discriminators: R, and the snapshots of D.
        centres_: Mean of each snapshot's logits of normal patches: first D(X), then D(R(X)).
            Shape (2, M).
        steps_: Steps of training before each snapshot. Shape (M,).
        error_: Squared error of held-out refined patches, relative to their variance.

    References:
        Zaheer, Lee, Astrid and Lee, 2020, "Old is Gold: Redefining the Adversarially Learned
        One-Class Classifier Training Paradigm", section 3.2. https://arxiv.org/abs/2004.07657
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AdversarialConfig):
        """Hyper-parameters of OGNet; width and depth are made for a CPU."""

        width: int = 16
        depth: int = 3
        contrast_steps: int = 60
        """Steps of D in the second phase, >= ``num_snapshots``."""
        num_snapshots: int = 3
        """Snapshots M of D whose scores are averaged, >= 1."""
        turning: bool = True
        """Whether pseudo-anomalies may be turned or mirrored: not where that leaves a patch as
        normal as any other."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 1 <= self.num_snapshots <= self.contrast_steps:
                raise InvalidInputError(
                    "num_snapshots must be from 1 to contrast_steps, got "
                    f"{self.num_snapshots} and {self.contrast_steps}."
                )

        def build(self, encoder: Encoder) -> "OGNet":
            """Return an unfitted detector.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return OGNet(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    centres_: Tensor
    steps_: Tensor
    error_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        require_pixels(encoder, "OGNet")
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        self.refiner, discriminator = networks(config, encoder.embedding_dim)
        self.discriminators = nn.ModuleList(
            copy.deepcopy(discriminator) for _ in range(config.num_snapshots)
        )
        self.eval().requires_grad_(False)
        number = config.num_snapshots
        learned(self, threshold_=(), centres_=(2, number), steps_=(number,), error_=())

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: the same."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "OGNet":
        """Learn what is normal, forgetting any earlier fit; see ``models.contracts.Detector``.

        Raises:
            TrainingError: If there are fewer than two images, or the training diverges.
            InvalidInputError: If images are smaller than a patch.
        """
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        encoded = (
            self.encoder(images.clamp(0, 1)) for images in shown(batches, progress, "Images")
        )
        patches = Patches(Shuffled(encoded, seed=config.seed), config, fabric)
        refiner, discriminator = networks(config, self.encoder.embedding_dim)
        step, error = train(refiner, discriminator, patches, config, fabric, progress, decay=True)
        self.refiner.load_state_dict(refiner.state_dict())
        self.error_.fill_(error)
        snapshots = contrast(refiner, discriminator, patches, config, fabric, progress)
        for place, (later, kept) in enumerate(snapshots):
            self.discriminators[place].load_state_dict(kept.state_dict())
            self.steps_[place] = step + later
        with torch.no_grad():
            normal = patches.normal
            logits = [self._logits(each) for each in (normal, self.refiner(normal))]
        self.centres_.copy_(torch.stack(logits).double().mean(dim=2))
        threshold = image_threshold(
            self._score, calibration, config.false_alarm_rate, progress, fabric.device
        )
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If they are smaller than a patch.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """Centres, steps and error, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _logits(self, patches: Float[Tensor, "N C P P"]) -> Float[Tensor, "M N"]:
        """Each snapshot's logits: > 0 for what D takes for good."""
        return torch.stack([judge(patches) for judge in self.discriminators])

    def _patch_scores(self, patches: Float[Tensor, "N C P P"]) -> Float[Tensor, "N"]:
        refined = self.config.refined
        logits = self._logits(self.refiner(patches) if refined else patches)
        return self.centres_[int(refined)].mean().float() - logits.mean(dim=0)

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        return scores_by_patches(self.encoder(images.clamp(0, 1)), self.config, self._patch_scores)


def contrast(
    refiner: Refiner,
    discriminator: Discriminator,
    patches: Patches,
    config: OGNet.Config,
    fabric: Fabric,
    progress: Progress,
) -> list[tuple[int, Discriminator]]:
    """Train D on what a frozen R makes of normal patches and of pseudo-anomalies.

    Args:
        refiner: R, in evaluation mode.
        discriminator: D, trained in place.
        patches: Of normal images.
        config: Hyper-parameters.
        fabric: Device and precision.
        progress: Shows the steps.

    Returns:
        ``num_snapshots`` steps and copies of D, spread evenly over the training.

    Raises:
        TrainingError: If the loss is not finite.
    """
    draw = Generator().manual_seed(config.seed)
    optimizer = Adam(discriminator.parameters(), lr=config.discriminator_rate, betas=BETAS)
    trainer = Trainer(discriminator.train(), optimizer, fabric)
    total, snapshots = config.contrast_steps, list[tuple[int, Discriminator]]()
    steps = patches.steps(total)
    batches = trainer.steps(steps, total, progress, "Contrast training")
    for step, images in enumerate(batches, start=1):
        batch = crops(images, config.patch, draw)
        spoilt = pseudo_anomalies(batch, draw, turning=config.turning)
        true, anomalous = fabric.to_device((batch, spoilt))
        with torch.no_grad(), fabric.autocast():
            good, bad = refiner(true), refiner(anomalous)
        judge = trainer.network
        loss = true_loss(judge(good)) + TRUE_WEIGHT * true_loss(judge(true))
        trainer.step(loss + false_loss(judge(bad)))
        if step * config.num_snapshots // total > len(snapshots):
            snapshots.append((step, copy.deepcopy(discriminator).eval()))
    return snapshots


def pseudo_anomalies(
    patches: Float[Tensor, "B C P P"], draw: Generator, *, turning: bool
) -> Float[Tensor, "B C P P"]:
    """Turn a third of the patches, warp a third, and overlay the others with yet another one.

    Args:
        patches: Normal ones, in random order.
        draw: What is drawn, on the CPU.
        turning: Whether a turned patch is no normal one; if not, half of them are warped and half
            are overlaid.
    """
    if not turning:
        to_warp, below = patches.tensor_split(2)
        return torch.cat([warped(to_warp, draw), overlaid(below, warped(below.roll(1, 0), draw))])
    to_turn, to_warp, below = patches.tensor_split(3)
    on_top = turned(warped(below.roll(1, 0), draw), draw)
    return torch.cat([turned(to_turn, draw), warped(to_warp, draw), overlaid(below, on_top)])


def turned(patches: Float[Tensor, "B C P P"], draw: Generator) -> Float[Tensor, "B C P P"]:
    """Turn each patch by 90, 180 or 270 degrees, or mirror it, up-down or left-right.

    Strokes and textures stay what they are, only how they lie is new (Golan and El-Yaniv, 2018,
    "Deep Anomaly Detection Using Geometric Transformations", learn from the same changes).
    """
    ways = [
        patches.rot90(1, (2, 3)),
        patches.rot90(2, (2, 3)),
        patches.rot90(3, (2, 3)),
        patches.flip(2),
        patches.flip(3),
    ]
    chosen = torch.randint(len(ways), (len(patches),), generator=draw)
    return torch.stack(ways)[chosen, torch.arange(len(patches))]


def warped(patches: Float[Tensor, "B C P P"], draw: Generator) -> Float[Tensor, "B C P P"]:
    """Bend each patch smoothly, a node by a sixth of the side on average; from outside comes 0.

    Parts keep their looks but not their places: a near miss, where a turned patch is a far one.
    """
    number = len(patches)
    if not number:
        return patches
    strength = LEAST + (MOST - LEAST) * torch.rand(number, 1, 1, 1, generator=draw)
    nodes = strength * torch.randn(number, 2, NODES, NODES, generator=draw)
    displacement = functional.interpolate(
        nodes, size=patches.shape[-2:], mode="bicubic", align_corners=True
    )
    where = functional.affine_grid(
        torch.eye(2, 3).expand(number, 2, 3), list(patches.shape), align_corners=False
    )
    return functional.grid_sample(
        patches, where + displacement.permute(0, 2, 3, 1), align_corners=False
    )


def overlaid(
    patches: Float[Tensor, "B C P P"], others: Float[Tensor, "B C P P"]
) -> Float[Tensor, "B C P P"]:
    """Of two patches, keep at each place what stands out more from the ground.

    The ground is the median of the first patch: of bright strokes on black, the brighter is kept.
    There is more on such a patch than on a normal one.
    """
    ground = patches.flatten(start_dim=2).median(dim=2).values[:, :, None, None]
    return torch.where((patches - ground).abs() >= (others - ground).abs(), patches, others)
