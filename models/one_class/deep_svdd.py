"""Deep SVDD: a network that maps normal images close to one point.

Shapes: B = batch, C = channels, H W = image, S = side of the images, N = images, D = embedding.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import MultiStepLR

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
from models.functional.shuffled import Shuffled
from models.training import Trainer

NEAREST = 0.1
"""Least distance of each of the centre's coordinates from 0, which networks reach trivially."""
EPSILON = 1e-4
"""What batch norm adds to variances."""
PRETRAINING_DECAY, DECAY = 5e-4, 5e-7
"""Weight decay of both stages; the authors' is 5e-7 throughout."""
AT_ONCE = 1024
"""Images that are embedded together without gradients."""


class DeepSVDD(nn.Module):
    """Score by the squared distance of an image's embedding to the centre of the normal ones.

    The centre c is the mean embedding of the network before it is trained as a one-class model;
    training then shrinks the mean squared distance to c (``soft_boundary=False``), or the radius of
    a ball around c that all but a share ``nu`` of the images shall lie in, whose squared radius is
    then subtracted from the scores. The radius is 0 during the first ``warm_up_epochs``, as in the
    authors' code. Each image is first brought to mean 0 and mean absolute value
    1, and all to the range of the normal ones, as the authors do.

    Args:
        encoder: ``Pixels``: the network learns from the images themselves.
        config: Hyper-parameters.

    Attributes:
        network: From images to embeddings.
        centre_: Shape (D,).
        radius_: Of the ball; 0 without a soft boundary.
        low_, high_: Range of normal images after their contrast was normalised.
        losses_: Mean loss of the first and of the last epoch. Shape (2,).

    References:
        Ruff et al., 2018, "Deep One-Class Classification", eq. 3 and 4.
        http://proceedings.mlr.press/v80/ruff18a.html
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of Deep SVDD; its epochs are fewer and faster than the paper's."""

        side: int = 28
        """Side S in pixels that images are resized to, a multiple of 4."""
        embedding_dim: int = 32
        """Width D of the embedding, >= 1; the authors' 32."""
        soft_boundary: bool = False
        """Learn a ball that a share ``nu`` of the images may leave."""
        nu: float = 0.1
        """That share, in (0, 1]."""
        warm_up_epochs: int = 2
        """First epochs of a soft boundary in which the radius stays 0, >= 0; the authors' 10 of
        150."""
        pretrain_epochs: int = 20
        """Epochs as an autoencoder before that, >= 0; the authors' 150."""
        epochs: int = 20
        """Epochs as a one-class model, >= 1; the authors' 150."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; a tenth of it in the last third of the epochs. The authors' 1e-4."""
        batch_size: int = 200
        """Images for one step, >= 2."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of first weights and order."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if self.side < 4 or self.side % 4:
                raise InvalidInputError(f"side must be a multiple of 4, got {self.side}.")
            least = min(self.pretrain_epochs, self.warm_up_epochs)
            if min(self.embedding_dim, self.epochs, least + 1) < 1:
                raise InvalidInputError(
                    "embedding_dim and epochs must be >= 1, pretrain_epochs and warm_up_epochs "
                    f">= 0, got {self.embedding_dim}, {self.epochs}, {self.pretrain_epochs} and "
                    f"{self.warm_up_epochs}."
                )
            if not 0 < self.nu <= 1 or self.learning_rate <= 0 or self.batch_size < 2:
                raise InvalidInputError(
                    "nu must be in (0, 1], learning_rate > 0 and batch_size >= 2, got "
                    f"{self.nu}, {self.learning_rate} and {self.batch_size}."
                )

        def build(self, encoder: Encoder) -> "DeepSVDD":
            """Return an unfitted detector.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return DeepSVDD(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    centre_: Tensor
    radius_: Tensor
    low_: Tensor
    high_: Tensor
    losses_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        require_pixels(encoder, "DeepSVDD")
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        self.network = self._networks().encoder.eval().requires_grad_(False)
        learned(self, threshold_=(), centre_=(config.embedding_dim,), radius_=())
        learned(self, low_=(), high_=(), losses_=(2,))

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
    ) -> "DeepSVDD":
        """Learn what is normal, forgetting any earlier fit; see ``models.contracts.Detector``.

        Raises:
            TrainingError: If the images show nothing, or the training diverges.
        """
        config = self.config
        fabric = begin(self, self.threshold_, fabric)
        sized = (self._sized(images) for images in shown(batches, progress, "Images"))
        images = Shuffled(sized, seed=config.seed)
        self._fit_range(images)
        whole = self._networks().to(fabric.device)
        if config.pretrain_epochs:
            self._pretrain(whole, images, fabric, progress)
        self._shrink(whole.encoder, images, fabric, progress)
        self.network.load_state_dict(whole.encoder.state_dict())
        threshold = image_threshold(
            self._score, calibration, config.false_alarm_rate, progress, fabric.device
        )
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """Centre, radius, range of the images and losses, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _networks(self) -> "Autoencoder":
        size = self.encoder.embedding_dim, self.config.side, self.config.embedding_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return Autoencoder(SVDDEncoder(*size), *size)

    def _fit_range(self, images: Shuffled) -> None:
        ranges = [torch.stack(batch.aminmax()) for _, batch in self._normalised_in_order(images)]
        low, high = torch.stack(ranges)[:, 0].amin(), torch.stack(ranges)[:, 1].amax()
        if len(images) < 2 or not high > low:
            raise TrainingError(
                f"Deep SVDD needs images that show something, got {len(images)}. Check train/good."
            )
        self.low_.fill_(low)
        self.high_.fill_(high)

    def _normalised_in_order(self, images: Shuffled) -> Iterable[tuple[Tensor, Tensor]]:
        return ((ids, normalised(batch)) for ids, batch in images.in_order(AT_ONCE))

    def _pretrain(
        self, whole: "Autoencoder", images: Shuffled, fabric: Fabric, progress: Progress
    ) -> None:
        """Train as an autoencoder."""

        def loss(module: nn.Module, batch: Tensor, epoch: int) -> Tensor:  # noqa: ARG001
            return functional.mse_loss(module(batch).float(), batch)

        epochs = self.config.pretrain_epochs
        self._train(whole, loss, images, (epochs, PRETRAINING_DECAY), fabric, progress)

    def _shrink(
        self, network: "SVDDEncoder", images: Shuffled, fabric: Fabric, progress: Progress
    ) -> None:
        """Train as a one-class model (eq. 3 and 4)."""
        config = self.config
        centre = self._embedded(network.eval(), images, fabric).mean(dim=0)
        bound = torch.where(centre < 0, -NEAREST, NEAREST)
        centre = torch.where(centre.abs() < NEAREST, bound, centre)
        self.centre_.copy_(centre)
        self.radius_.zero_()

        def loss(module: nn.Module, batch: Tensor, epoch: int) -> Tensor:
            distance: Tensor = (module(batch).float() - centre).square().sum(dim=1)
            if not config.soft_boundary:
                return distance.mean()
            if epoch >= config.warm_up_epochs:
                self.radius_.copy_(distance.detach().quantile(1 - config.nu).sqrt())
            squared: Tensor = self.radius_.float().square()
            return squared + (distance - squared).clamp(min=0).mean() / config.nu

        losses = self._train(network, loss, images, (config.epochs, DECAY), fabric, progress)
        self.losses_.copy_(torch.tensor([losses[0], losses[-1]]))
        if config.soft_boundary:
            embedded = self._embedded(network.eval(), images, fabric)
            distance = (embedded - centre).square().sum(dim=1)
            self.radius_.copy_(distance.quantile(1 - config.nu).sqrt())

    def _train(
        self,
        module: nn.Module,
        loss_of: Callable[[nn.Module, Tensor, int], Tensor],
        images: Shuffled,
        stage: tuple[int, float],
        fabric: Fabric,
        progress: Progress,
    ) -> list[float]:
        """Train a module for so many epochs with such a weight decay; mean loss of each epoch."""
        (epochs, weight_decay), size = stage, self.config.batch_size
        optimizer = Adam(
            module.parameters(), lr=self.config.learning_rate, weight_decay=weight_decay
        )
        per_epoch = images.num_batches(size, smallest=2)  # of batch norm where a map has one place
        schedule = MultiStepLR(optimizer, [per_epoch * (epochs - epochs // 3)])
        trainer = Trainer(module.train(), optimizer, fabric, schedule)
        given = images.epochs(size, epochs, smallest=2)
        steps = trainer.steps(given, epochs * per_epoch, progress, type(module).__name__)
        for _, batch in steps:
            seen = fabric.to_device(self._ranged(normalised(batch)))
            trainer.step(loss_of(trainer.network, seen, trainer.epoch))
        return trainer.history()

    @torch.no_grad()
    def _embedded(
        self, network: "SVDDEncoder", images: Shuffled, fabric: Fabric
    ) -> Float[Tensor, "N D"]:
        parts = [
            network(fabric.to_device(self._ranged(batch)))
            for _, batch in self._normalised_in_order(images)
        ]
        return torch.cat(parts).float()

    def _sized(self, images: Tensor) -> Float[Tensor, "B C S S"]:
        size = (self.config.side, self.config.side)
        pixels: Tensor = self.encoder(images)
        if pixels.shape[-2:] == size:
            return pixels
        return functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)

    def _ranged(self, images: Tensor) -> Tensor:
        low, high = self.low_.to(images), self.high_.to(images)
        return (images - low) / (high - low)

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        embeddings = self.network(self._ranged(normalised(self._sized(images)))).float()
        distance = (embeddings - self.centre_.float()).square().sum(dim=1)
        return Scores(distance - self.radius_.float().square())


def normalised(images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B C S S"]:
    """Images brought to mean 0 and mean absolute value 1 each, as the authors do."""
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    return centred / centred.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)


class SVDDEncoder(nn.Module):
    """Two convolutions with pooling and a linear layer; no bias and no learned shift anywhere.

    With a bias it could map every image to one point, the trivial solution.

    Args:
        channels: Of the images.
        side: Of the images, in pixels, a multiple of 4.
        dim: Width D of the embedding.
    """

    def __init__(self, channels: int, side: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 5, padding=2, bias=False),
            nn.BatchNorm2d(8, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 4, 5, padding=2, bias=False),
            nn.BatchNorm2d(4, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * (side // 4) ** 2, dim, bias=False),
        )

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B D"]:
        """Return embeddings."""
        embeddings: Tensor = self.layers(images)
        return embeddings


class Autoencoder(nn.Module):
    """The encoder with a mirrored decoder, which is thrown away after pretraining.

    Args:
        encoder: To be pretrained.
        channels: Of the images.
        side: Of the images, in pixels, a multiple of 4.
        dim: Width D of the embedding.
    """

    def __init__(self, encoder: SVDDEncoder, channels: int, side: int, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Sequential(
            nn.Linear(dim, 4 * (side // 4) ** 2, bias=False),
            nn.Unflatten(1, (4, side // 4, side // 4)),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4, 8, 5, padding=2, bias=False),
            nn.BatchNorm2d(8, eps=EPSILON, affine=False),
            nn.LeakyReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, channels, 5, padding=2, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B C S S"]:
        """Return reconstructions, with values in (0, 1)."""
        restored: Tensor = self.decoder(self.encoder(images))
        return restored
