"""ALOCC: a network refines normal patches, another one tells whether what comes out is normal.

Shapes: B = batch, C = channels, H W = image, N = patches, P = side of a patch, r c = rows and
columns of patches.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import LinearLR

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import (
    begin,
    check_fitted,
    check_rate,
    frozen,
    image_threshold,
    learned,
    require_pixels,
    statistics_of,
    value_of,
)
from models.functional.patches import crops, cut, patch_mean
from models.functional.shuffled import Shuffled
from models.training import Trainer

SMALLEST = 8
"""Side of the smallest patch."""
AT_ONCE = 1024
"""Patches that go through the networks at once."""
BETAS = (0.5, 0.999)
"""Of Adam, as is usual for two networks that oppose each other (Radford et al., 2016)."""
KERNEL, SLOPE, EPSILON = 5, 0.2, 1e-6
"""Side of every kernel, slope of the rectifiers below 0, and what batch norm adds to variances."""


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """Hyper-parameters of a refiner R and a discriminator D; those of the paper."""

    patch: int = 28
    """Side P of a patch, in pixels, >= 8."""
    stride: int = 14
    """Pixels from one patch of a larger image to the next, from 1 to ``patch``."""
    refined: bool = True
    """Score D(R(X)), the paper's second classifier; else D(X), its first."""
    width: int = 64
    """Channels of the first layer of both networks, >= 1."""
    depth: int = 4
    """Layers of stride 2 in D and in both halves of R, >= 1."""
    noise: float = 0.155
    """Standard deviation of the noise on what R sees, >= 0; that of the authors' code."""
    reconstruction_weight: float = 0.4
    """Weight lambda of R's squared error, the squared norm over a patch, >= 0."""
    stop_error: float = 0.1
    """Training stops once the squared error of held-out patches that R refined falls below this
    share of their variance, the paper's rho, >= 0."""
    check_interval: int = 50
    """Steps from one look at that error to the next, >= 1."""
    held_out_share: float = 0.1
    """Share of the training images that only this rule sees, in (0, 1)."""
    num_steps: int = 150
    """Steps of both networks at most, >= 1."""
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
        counts = self.width, self.depth, self.num_steps, self.check_interval
        if min(counts) < 1 or self.batch_size < 2:
            raise InvalidInputError(
                "width, depth, num_steps and check_interval must be >= 1 and batch_size >= 2, got "
                f"{', '.join(map(str, counts))} and {self.batch_size}."
            )
        if min(self.noise, self.reconstruction_weight, self.stop_error) < 0:
            raise InvalidInputError(
                "noise, reconstruction_weight and stop_error must be >= 0, got "
                f"{self.noise}, {self.reconstruction_weight} and {self.stop_error}."
            )
        if min(self.refiner_rate, self.discriminator_rate) <= 0 or not 0 < self.held_out_share < 1:
            raise InvalidInputError(
                "Learning rates must be > 0 and held_out_share in (0, 1), got "
                f"{self.refiner_rate}, {self.discriminator_rate} and {self.held_out_share}."
            )


class ALOCC(nn.Module):
    """Score by how little D takes for true what R makes of a patch.

    R is a denoising encoder-decoder, D a classifier; they are trained against each other on normal
    patches, D to tell true ones from those that R refined, R to mislead it and to keep what it was
    given. R then repairs normal patches and distorts others, so that D(R(X)) sets them further
    apart than D(X) does.

    D grows unsure as R improves, and the scores of two checkpoints differ by tens of points of AUC
    (so they do in the authors' code): the stopping rule decides much. ``OGNet`` mends that.

    An image of the size of a patch gets a score and no map. A larger one is covered by patches;
    each pixel gets the mean score of those that cover it, the image the largest of its pixels.
    Scores are log odds, of either sign; 0 is the mean of normal patches.

    Args:
        encoder: ``Pixels``: the networks learn from the images themselves.
        config: Hyper-parameters.

    Attributes:
        refiner, discriminator: R and D.
        centre_: Mean logit of normal patches.
        step_: Steps of training.
        error_: Squared error of held-out refined patches, relative to their variance.

    References:
        Sabokrou, Khalooei, Fathy and Adeli, 2018, "Adversarially Learned One-Class Classifier for
        Novelty Detection". https://arxiv.org/abs/1802.09088
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AdversarialConfig):
        """Hyper-parameters of ALOCC; width, depth and lambda are the paper's."""

        def build(self, encoder: Encoder) -> "ALOCC":
            """Return an unfitted detector.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return ALOCC(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    centre_: Tensor
    step_: Tensor
    error_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        require_pixels(encoder, "ALOCC")
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        self.refiner, self.discriminator = networks(config, encoder.embedding_dim)
        self.eval().requires_grad_(False)
        learned(self, threshold_=(), centre_=(), step_=(), error_=())

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
    ) -> "ALOCC":
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
        step, error = train(refiner, discriminator, patches, config, fabric, progress)
        self.refiner.load_state_dict(refiner.state_dict())
        self.discriminator.load_state_dict(discriminator.state_dict())
        self.step_.fill_(step)
        self.error_.fill_(error)
        with torch.no_grad():
            self.centre_.copy_(self._logits(patches.normal).double().mean())
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
        """Centre, steps and error, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _logits(self, patches: Float[Tensor, "N C P P"]) -> Float[Tensor, "N"]:
        """D(R(X)), or D(X): > 0 for what D takes for true and normal."""
        logits: Tensor = self.discriminator(
            self.refiner(patches) if self.config.refined else patches
        )
        return logits

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        encoded = self.encoder(images.clamp(0, 1))
        return scores_by_patches(
            encoded, self.config, lambda patches: self.centre_.float() - self._logits(patches)
        )


def sides(patch: int, depth: int) -> list[int]:
    """Side of the patch, and of the feature map after each of ``depth`` layers of stride 2.

    Example:
        >>> sides(28, 3)
        [28, 14, 7, 4]
    """
    found = [patch]
    for _ in range(depth):
        found.append((found[-1] + 1) // 2)
    return found


class Refiner(nn.Module):
    """R: a denoising convolutional encoder-decoder, which knows only normal patches.

    Args:
        channels: Of the images.
        width: Channels of the first layer; each further one has twice as many.
        patch: Side of a patch, in pixels.
        depth: Layers of the encoder, and of the decoder.
    """

    def __init__(self, channels: int, width: int, patch: int, depth: int) -> None:
        super().__init__()
        self.sides = sides(patch, depth)
        widths = [channels, *(width << level for level in range(depth))]
        self.encoder = nn.Sequential(
            *(_down(widths[level], widths[level + 1]) for level in range(depth))
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], KERNEL, stride=2, padding=2)
            for level in reversed(range(depth))
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(widths[level], eps=EPSILON) for level in reversed(range(1, depth))
        )
        _initialise(self)

    def forward(self, patches: Float[Tensor, "B C P P"]) -> Float[Tensor, "B C P P"]:
        """Return refined patches, with values in (0, 1)."""
        hidden: Tensor = self.encoder(patches)
        for level, layer in enumerate(self.upsample):
            side = self.sides[-2 - level]
            hidden = layer(hidden, output_size=[side, side])
            if level < len(self.norms):
                hidden = self.norms[level](hidden).relu()
        return hidden.sigmoid()


class Discriminator(nn.Module):
    """D: how much a patch looks like a true normal one, as a logit.

    Args:
        channels: Of the images.
        width: Channels of the first layer; each further one has twice as many.
        patch: Side of a patch, in pixels.
        depth: Layers before the last, which is fully connected.
    """

    def __init__(self, channels: int, width: int, patch: int, depth: int) -> None:
        super().__init__()
        widths = [channels, *(width << level for level in range(depth))]
        self.layers = nn.Sequential(
            _down(widths[0], widths[1], normalised=False),
            *(_down(widths[level], widths[level + 1]) for level in range(1, depth)),
            nn.Flatten(),
            nn.Linear(widths[-1] * sides(patch, depth)[-1] ** 2, 1),
        )
        _initialise(self)

    def forward(self, patches: Float[Tensor, "B C P P"]) -> Float[Tensor, "B"]:
        """Return logits, > 0 for what looks true and normal."""
        logits: Tensor = self.layers(patches)
        return logits[:, 0]


def _down(before: int, after: int, *, normalised: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, KERNEL, stride=2, padding=2)
    norm = [nn.BatchNorm2d(after, eps=EPSILON)] if normalised else []
    return nn.Sequential(convolution, *norm, nn.LeakyReLU(SLOPE))


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Patches:
    """Random patches of normal images to train on, and others of held-out images to stop by.

    Args:
        images: Normal images, no smaller than a patch.
        config: Hyper-parameters.
        fabric: Where the fixed patches lie.

    Attributes:
        held_out: One patch of each held-out image, shape (N, C, P, P).
        normal: One patch of each of ``AT_ONCE`` images at most, shape (N, C, P, P).

    Raises:
        TrainingError: If there are fewer than two images.
    """

    def __init__(self, images: Shuffled, config: AdversarialConfig, fabric: Fabric) -> None:
        if len(images) < 2:
            raise TrainingError("Training needs 2 images at least, got 1. Add some to train/good.")
        self._config = config
        draw = Generator().manual_seed(config.seed)
        order = torch.randperm(len(images), generator=draw)
        number = min(max(round(config.held_out_share * len(images)), 1), len(images) - 1)
        self.held_out, self.normal = (
            fabric.to_device(crops(images[ids], config.patch, draw))
            for ids in (order[:number], order[:AT_ONCE])
        )
        self._images = images.subset(order[number:], seed=config.seed)

    def steps(self, num_steps: int) -> Iterator[tuple[int, Tensor]]:
        """A full batch of images for each step; the same ones in every call."""
        images = self._images.subset(torch.arange(len(self._images)), seed=self._config.seed)
        size = min(self._config.batch_size, len(images))
        for _, (_, batch) in islice(images.epochs(size, smallest=size), num_steps):
            yield 0, batch


def networks(config: AdversarialConfig, channels: int) -> tuple["Refiner", "Discriminator"]:
    """R and D with first weights of the seed."""
    size = channels, config.width, config.patch, config.depth
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Refiner(*size), Discriminator(*size)


def train(
    refiner: Refiner,
    discriminator: Discriminator,
    patches: Patches,
    config: AdversarialConfig,
    fabric: Fabric,
    progress: Progress,
    *,
    decay: bool = False,
) -> tuple[int, float]:
    """Train R against D until held-out patches are refined well, or the steps are spent.

    Args:
        refiner: R; its patches shall look true, and like what they were made from.
        discriminator: D; tells true patches from refined ones.
        patches: Of normal images.
        config: Hyper-parameters.
        fabric: Device and precision.
        progress: Shows the steps.
        decay: Let both learning rates fall to 0 in ``num_steps``, so that R is at rest in the end.

    Returns:
        Steps taken, and the squared error of the held-out patches relative to their variance.

    Raises:
        TrainingError: If a loss is not finite.
    """
    draw = Generator().manual_seed(config.seed)
    rates = config.refiner_rate, config.discriminator_rate
    refining, judging = (
        _trainer(network, rate, fabric, config.num_steps if decay else 0)
        for network, rate in zip((refiner, discriminator), rates, strict=True)
    )
    steps = patches.steps(config.num_steps)
    shown_steps = refining.steps(steps, config.num_steps, progress, "Adversarial training")
    step, error = 0, 0.0
    for step, images in enumerate(shown_steps, start=1):
        batch = crops(images, config.patch, draw)
        noise = config.noise * torch.randn(batch.shape, generator=draw)
        noisy, true = fabric.to_device((batch + noise, batch))
        refined, judge = refining.network(noisy), judging.network
        judging.step(true_loss(judge(true)) + false_loss(judge(refined.detach())))
        distance = (refined.float() - true).square().flatten(start_dim=1).sum(dim=1).mean()
        refining.step(true_loss(judge(refined)) + config.reconstruction_weight * distance)
        if step % config.check_interval == 0 or step == config.num_steps:
            error = relative_error(refiner, patches.held_out)
            if error < config.stop_error:
                break
    refiner.eval()
    discriminator.eval()
    return step, error


def _trainer(network: nn.Module, rate: float, fabric: Fabric, decay: int) -> Trainer:
    optimizer = Adam(network.parameters(), lr=rate, betas=BETAS)
    falling = LinearLR(optimizer, 1.0, 0.0, decay) if decay else None
    return Trainer(network.train(), optimizer, fabric, falling)


@torch.no_grad()
def relative_error(refiner: nn.Module, patches: Float[Tensor, "N C P P"]) -> float:
    """Squared error of refined patches, relative to their variance; R stays in its mode."""
    training = refiner.training
    variance = patches.var(dim=0, correction=0).mean().clamp(min=1e-8)
    error = (refiner.eval()(patches) - patches).square().mean() / variance
    refiner.train(training)
    return float(error)


def true_loss(logits: Float[Tensor, "B"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of D's logits with the label true."""
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def false_loss(logits: Float[Tensor, "B"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of D's logits with the label false."""
    logits = logits.float()
    return functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def scores_by_patches(
    images: Float[Tensor, "B C H W"],
    config: AdversarialConfig,
    score: Callable[[Float[Tensor, "N C P P"]], Float[Tensor, "N"]],
) -> Scores:
    """Scores of images from those of their patches; no map of images as large as a patch.

    Args:
        images: No smaller than a patch.
        config: Hyper-parameters.
        score: From patches to their scores.
    """
    height, width = images.shape[-2:]
    patches = cut(images, config.patch, config.stride)
    found = [score(part) for part in torch.split(patches.flatten(end_dim=2), AT_ONCE)]
    scores = torch.cat(found).reshape(patches.shape[:3])
    if height == width == config.patch:
        return Scores(scores[:, 0, 0])
    anomaly_map = patch_mean(scores, height, width, config.patch, config.stride)
    return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)
